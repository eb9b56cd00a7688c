/* SPDX-License-Identifier: Apache-2.0 */
/* What most commands share: context, model, inputs, plan and session made from the options. */
#ifndef TOOLS_JOB_H
#define TOOLS_JOB_H

#include "file.h"
#include "npy.h"
#include "options.h"
#include "plan/json_text.h"

typedef struct tool_job {
    const tool_options *options;
    partita_context *context;
    partita_model *model;
    partita_plan *plan;
    partita_session *session;
    tool_values given;      /* inputs from archives */
    pt_arena arena;         /* of names */
    partita_value **inputs; /* by model input; held */
    uint32_t input_count;
    partita_value **outputs; /* by model output; held */
    uint32_t output_count;
    double given_ms; /* to read the archives of inputs: no part of load_ms */
    double load_ms;  /* from opening the model to a session ready to run, plugin discovery included */
} tool_job;

/* Each step makes the ones before it. */
partita_status tool_job_open(const tool_options *options, tool_job *out_job);
partita_status tool_job_load(tool_job *job, const char *path);
partita_status tool_job_inputs(tool_job *job);
partita_status tool_job_plan(tool_job *job);
partita_status tool_job_session(tool_job *job, bool measure);
partita_status tool_job_run(tool_job *job);
/* The same for a single run, which Ctrl-C cancels: tool_interrupt_watch() was called. */
partita_status tool_job_run_watched(tool_job *job);
void tool_job_deinit(tool_job *job);
double tool_ms_since(uint64_t start_ns);

/* --input NAME=VALUE and --inputs, and random values for the rest: inputs.c. */
partita_status tool_inputs_make(tool_job *job);
/* Names of the inputs that are given; the array is pt_free'd, the names live as long as the job. */
partita_status tool_inputs_names(tool_job *job, const char ***out_names, uint32_t *out_count);
/* The nominal shape of an input under --shape and --dim; a symbolic dim that nobody names is 1. */
partita_status tool_input_shape(const tool_job *job, const partita_value_info *info, int64_t *out_dims);

/* Names of the plan's devices, as an array. */
json_t *tool_plan_devices(const partita_plan *plan);

/* Outputs: outputs.c. */
json_t *tool_value_json(const partita_value *value, bool with_data);
partita_status tool_outputs_check(const char *path); /* before the run: can there be such a file */
partita_status tool_outputs_write(const tool_job *job, const char *path);
void tool_outputs_print(const tool_job *job, FILE *stream);
/* Text of a model or a run, on one line. */
void tool_show(partita_str text, FILE *stream);

/* compare.c: |a - b| <= atol + rtol |b| for floats, NaN equal to NaN; all else equal. MISMATCH with the worst element.
 */
typedef struct tool_tolerance {
    double rtol, atol;
    bool widen_bfloat16; /* rtol 2^-6 for bfloat16, as ONNX's own comparison */
} tool_tolerance;
partita_status tool_value_compare(const char *name, const partita_value *got, const partita_value *expected,
                                  const tool_tolerance *tolerance);

/* Prints the document as the last line of stdout; releases it. */
partita_status tool_json_print(json_t *document);
/* True once a document was printed: a command prints one, also when it fails after it. */
bool tool_json_is_printed(void);
json_t *tool_json_document(void); /* {"schema": 1} */
/* "error" of a status, with the thread's last message. */
void tool_json_set_error(json_t *document, partita_status status);
/* Takes `value` over. The key is cleaned as pt_json_text does. */
void tool_json_set(json_t *object, const char *key, json_t *value);

/* The commands. */
partita_status tool_devices(const tool_options *options);
partita_status tool_inspect(const tool_options *options);
partita_status tool_plan(const tool_options *options);
partita_status tool_explain(const tool_options *options);
partita_status tool_run(const tool_options *options);
partita_status tool_bench(const tool_options *options);
partita_status tool_test(const tool_options *options);
partita_status tool_doctor(const tool_options *options);

#endif
