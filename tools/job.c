/* SPDX-License-Identifier: Apache-2.0 */
/* Context, model, plan and session from the options; what is common to most commands. */
#include "job.h"
#include "interrupt.h"
#include "plan/pins.h"
#include <stdlib.h>

double tool_ms_since(uint64_t start_ns) { return (double)(pt_now_ns() - start_ns) / 1e6; }

/* Failures of the library keep their text in partita_last_error(); the command reports through pt_last_message(). */
static partita_status api(partita_status status) {
    if (status != PARTITA_OK && partita_last_error() != pt_last_message()) pt_fail_copy(status, partita_last_error());
    return status;
}

/* "KEY=VALUE" split at the first or last equals sign; `text` is changed. */
static partita_status split_pair(char *text, const char *option, bool last, char **out_value) {
    char *equals = last ? strrchr(text, '=') : strchr(text, '=');
    if (!equals) return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s: '%s' has no '='", option, text);
    *equals = '\0';
    *out_value = equals + 1;
    return PARTITA_OK;
}

static char *arena_copy(pt_arena *arena, const char *text) { return (char *)pt_arena_str(arena, pt_str(text)).data; }

partita_status tool_job_open(const tool_options *options, tool_job *out_job) {
    memset(out_job, 0, sizeof(*out_job));
    out_job->options = options;
    partita_status status = PARTITA_OK;
    pt_arena arena = {0};
    const tool_list *pairs = &options->values[OPTION_OPTION], *paths = &options->values[OPTION_PLUGIN_PATH];
    partita_option *rows = pt_arena_array(&arena, pairs->size + 1, sizeof(*rows));
    if (!rows) PT_CHECK(PT_OUT_OF_MEMORY());
    for (size_t i = 0; i < pairs->size; i++) {
        char *key = arena_copy(&arena, pairs->data[i]), *value = NULL;
        if (!key) PT_CHECK(PT_OUT_OF_MEMORY());
        PT_CHECK(split_pair(key, "option", false, &value));
        rows[i] = (partita_option){key, value};
    }
    partita_context_options context = {.size = sizeof(context),
                                       .threads = (uint32_t)tool_option_uint(options, OPTION_THREADS, 0),
                                       .plugin_paths = paths->data,
                                       .plugin_path_count = (uint32_t)paths->size,
                                       .options = rows,
                                       .option_count = (uint32_t)pairs->size};
    status = api(partita_context_create(&context, &out_job->context));
out:
    pt_arena_deinit(&arena);
    return status;
}

partita_status tool_job_load(tool_job *job, const char *path) {
    partita_model_options options = {.size = sizeof(options), .copy_weights = job->options->given[OPTION_COPY_WEIGHTS]};
    const char **names;
    uint64_t start = pt_now_ns();
    PT_TRY(tool_inputs_names(job, &names, &options.overridable_count));
    job->given_ms = tool_ms_since(start);
    options.overridable = names; /* what is given replaces the model's default */
    partita_status status = api(partita_model_load_file(job->context, path, &options, &job->model));
    pt_free(names);
    PT_TRY(status);
    job->input_count = partita_model_input_count(job->model);
    job->output_count = partita_model_output_count(job->model);
    job->inputs = pt_calloc(job->input_count + 1, sizeof(*job->inputs));
    job->outputs = pt_calloc(job->output_count + 1, sizeof(*job->outputs));
    return job->inputs && job->outputs ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

partita_status tool_job_inputs(tool_job *job) { return tool_inputs_make(job); }

/* ---- plan options ---------------------------------------------------------------------------- */

static partita_status parse_choice(const tool_options *options, int option, const char *const *words, uint32_t count,
                                   uint32_t *out_index) {
    const char *text = tool_option_text(options, option, words[0]);
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(words[i], text) != 0) continue;
        *out_index = i;
        return PARTITA_OK;
    }
    return pt_fail(PARTITA_INVALID_ARGUMENT, "'%s' is none of the words that the option takes", text);
}

typedef PT_ARRAY(partita_pin) pin_list;

static partita_status add_pin(pt_arena *arena, const char *text, pin_list *pins) {
    char *pattern = arena_copy(arena, text), *device = NULL;
    if (!pattern) return PT_OUT_OF_MEMORY();
    PT_TRY(split_pair(pattern, "pin", true, &device));
    if (!*pattern) return pt_fail(PARTITA_INVALID_ARGUMENT, "--pin: '%s' names no node", text);
    if (!*device) return pt_fail(PARTITA_INVALID_ARGUMENT, "--pin: '%s' names no device", text);
    partita_pin pin = {pattern, device};
    return pt_array_push(pins, pin) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* --pin FILE: a line per pin, without the blanks around it; "#" starts a comment. */
static partita_status add_pin_file(pt_arena *arena, const char *path, pin_list *pins) {
    char *data;
    size_t bytes;
    PT_TRY(tool_file_read(path, (void **)&data, &bytes));
    partita_status status = PARTITA_OK;
    for (size_t at = 0; at < bytes && status == PARTITA_OK;) {
        size_t end = at, next;
        while (end < bytes && data[end] != '\n') end++;
        next = end + 1;
        while (at < end && is_blank(data[at])) at++;
        while (at < end && is_blank(data[end - 1])) end--;
        partita_str line = pt_arena_str(arena, (partita_str){data + at, end - at});
        at = next;
        if (!line.data)
            status = PT_OUT_OF_MEMORY();
        else if (strlen(line.data) != line.size)
            status = pt_fail(PARTITA_INVALID_ARGUMENT, "--pin: '%s' is followed by a zero byte", line.data);
        else if (line.size && line.data[0] != '#')
            status = add_pin(arena, line.data, pins);
    }
    pt_free(data);
    return status == PARTITA_OK ? status : pt_annotate(status, "%s", path);
}

typedef struct plan_parts {
    pt_arena arena;
    pin_list pins;
    PT_ARRAY(partita_dim) dims;
    PT_ARRAY(partita_input_shape) shapes;
    char *plan_json;
} plan_parts;

static partita_status parse_pins(const tool_options *options, plan_parts *parts, partita_plan_options *plan) {
    const tool_list *list = &options->values[OPTION_PIN];
    for (size_t i = 0; i < list->size; i++) {
        const char *text = list->data[i];
        if (strncmp(text, "random:", 7) == 0) {
            if (plan->pin_random) return pt_fail(PARTITA_INVALID_ARGUMENT, "--pin: random: is given twice");
            plan->pin_random = 1;
            if (!tool_parse_uint(text + 7, UINT64_MAX, &plan->random_seed))
                return pt_fail(PARTITA_INVALID_ARGUMENT, "--pin: '%s': the seed is no whole number from 0 to %llu",
                               text, (unsigned long long)UINT64_MAX);
        } else if (strchr(text, '=')) {
            PT_TRY(add_pin(&parts->arena, text, &parts->pins));
        } else {
            PT_TRY(add_pin_file(&parts->arena, text, &parts->pins));
        }
    }
    return PARTITA_OK;
}

static partita_status parse_dims(const tool_options *options, plan_parts *parts) {
    const tool_list *list = &options->values[OPTION_DIM];
    for (size_t i = 0; i < list->size; i++) {
        char *name = arena_copy(&parts->arena, list->data[i]), *value = NULL;
        uint64_t size;
        if (!name) return PT_OUT_OF_MEMORY();
        PT_TRY(split_pair(name, "dim", true, &value));
        if (!tool_parse_uint(value, INT64_MAX, &size))
            return pt_fail(PARTITA_INVALID_ARGUMENT, "--dim: '%s': '%s' is no size of a dim", list->data[i], value);
        partita_dim dim = {name, (int64_t)size};
        if (!pt_array_push(&parts->dims, dim)) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

/* Nominal shapes are those of the inputs at hand, so that plans are priced for what will run. */
static partita_status gather_shapes(const tool_job *job, plan_parts *parts) {
    for (uint32_t i = 0; i < job->input_count; i++) {
        partita_value_view view = {.size = sizeof(view)};
        if (!job->inputs[i]) continue;
        PT_TRY(api(partita_value_view_of(job->inputs[i], &view)));
        if (view.kind != PARTITA_KIND_TENSOR) continue;
        partita_input_shape shape = {partita_model_input(job->model, i)->name, view.rank, 0, view.dims};
        if (!pt_array_push(&parts->shapes, shape)) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

json_t *tool_plan_devices(const partita_plan *plan) {
    char *text;
    if (partita_plan_json(plan, &text) != PARTITA_OK) return json_array();
    json_t *document = json_loads(text, 0, NULL), *devices = json_incref(json_object_get(document, "devices"));
    json_decref(document);
    partita_text_destroy(text);
    return devices ? devices : json_array();
}

/* "sim" is "sim:0". */
static bool is_same_device(const char *a, size_t a_size, const char *b) {
    size_t kind = strcspn(b, ":");
    const char *number = b[kind] ? b + kind + 1 : "0";
    const char *colon = memchr(a, ':', a_size);
    size_t a_kind = colon ? (size_t)(colon - a) : a_size;
    partita_str a_number = colon ? (partita_str){colon + 1, a_size - a_kind - 1} : pt_str("0");
    return a_kind == kind && memcmp(a, b, kind) == 0 && pt_str_is(a_number, number);
}

/* An option of a device that the plan does not have changes nothing, and is told so. */
static void warn_of_unused_options(const tool_job *job) {
    const tool_list *pairs = &job->options->values[OPTION_OPTION];
    if (!pairs->size) return;
    json_t *devices = tool_plan_devices(job->plan), *device;
    size_t at;
    for (size_t i = 0; i < pairs->size; i++) {
        bool used = false;
        size_t size = strcspn(pairs->data[i], ".");
        json_array_foreach(devices, at, device) used |= is_same_device(pairs->data[i], size, json_string_value(device));
        if (!used)
            pt_log(PARTITA_LOG_WARNING, "option-unused: --option %s changes nothing: --devices leaves %.*s out",
                   pairs->data[i], (int)size, pairs->data[i]);
    }
    json_decref(devices);
}

static partita_status pass_row(void *user, const char *node, const char *op, const char *device) {
    (void)user, (void)node, (void)op, (void)device;
    return PARTITA_OK;
}

/* --plan: what is wrong with the document is told with the file's name. */
static partita_status read_plan(const char *path, pt_arena *arena, char **out_json) {
    char *data;
    size_t bytes;
    PT_TRY(tool_file_read(path, (void **)&data, &bytes));
    char *text = (char *)pt_arena_str(arena, (partita_str){data, bytes}).data;
    pt_free(data);
    if (!text) return PT_OUT_OF_MEMORY();
    partita_status status = pt_plan_json_placement(text, pass_row, NULL);
    if (status != PARTITA_OK) return pt_annotate(status, "%s", path);
    *out_json = text;
    return PARTITA_OK;
}

partita_status tool_job_plan(tool_job *job) {
    static const char *const objectives[] = {"latency", "throughput", "memory"};
    static const char *const precisions[] = {"exact", "fast"};
    const tool_options *options = job->options;
    partita_plan_options plan = {.size = sizeof(plan),
                                 .devices = tool_option_text(options, OPTION_DEVICES, NULL),
                                 .fallback = options->given[OPTION_FALLBACK],
                                 .strict = options->given[OPTION_STRICT],
                                 .max_memory = tool_option_uint(options, OPTION_MAX_MEMORY, 0)};
    plan_parts parts = {0};
    partita_status status;
    PT_CHECK(parse_choice(options, OPTION_OBJECTIVE, objectives, PT_COUNT_OF(objectives), &plan.objective));
    PT_CHECK(parse_choice(options, OPTION_PRECISION, precisions, PT_COUNT_OF(precisions), &plan.precision));
    if (plan.precision == PARTITA_PRECISION_FAST)
        PT_CHECK(pt_fail(PARTITA_NOT_IN_VERSION, "--precision fast: not in this version"));
    PT_CHECK(parse_pins(options, &parts, &plan));
    PT_CHECK(parse_dims(options, &parts));
    PT_CHECK(gather_shapes(job, &parts));
    const char *path = tool_option_text(options, OPTION_PLAN, NULL);
    if (path) PT_CHECK(read_plan(path, &parts.arena, &parts.plan_json));
    plan.plan_json = parts.plan_json;
    plan.pins = parts.pins.data;
    plan.pin_count = (uint32_t)parts.pins.size;
    plan.dims = parts.dims.data;
    plan.dim_count = (uint32_t)parts.dims.size;
    plan.shapes = parts.shapes.data;
    plan.shape_count = (uint32_t)parts.shapes.size;
    PT_CHECK(api(partita_plan_create(job->model, &plan, &job->plan)));
    warn_of_unused_options(job);
out:
    pt_array_deinit(&parts.pins);
    pt_array_deinit(&parts.dims);
    pt_array_deinit(&parts.shapes);
    pt_arena_deinit(&parts.arena);
    return status;
}

partita_status tool_job_session(tool_job *job, bool measure) {
    uint64_t start = pt_now_ns();
    if (!job->context) PT_TRY(tool_job_open(job->options, job));
    if (!job->model) PT_TRY(tool_job_load(job, job->options->arguments[0]));
    double load_ms = tool_ms_since(start) - job->given_ms;
    PT_TRY(tool_job_inputs(job));
    start = pt_now_ns();
    PT_TRY(tool_job_plan(job));
    partita_session_options options = {.size = sizeof(options), .measure = measure};
    PT_TRY(api(partita_session_create(job->plan, &options, &job->session)));
    job->load_ms = load_ms + tool_ms_since(start);
    return PARTITA_OK;
}

partita_status tool_job_run(tool_job *job) {
    partita_run_options options = {.size = sizeof(options),
                                   .deadline_ms = tool_option_uint(job->options, OPTION_DEADLINE, 0)};
    for (uint32_t i = 0; i < job->output_count; i++) {
        partita_value_release(job->outputs[i]);
        job->outputs[i] = NULL;
    }
    return api(
        partita_session_run(job->session, &options, job->inputs, job->input_count, job->outputs, job->output_count));
}

partita_status tool_job_run_watched(tool_job *job) {
    partita_run_options options = {.size = sizeof(options),
                                   .deadline_ms = tool_option_uint(job->options, OPTION_DEADLINE, 0)};
    partita_request *request;
    PT_TRY(api(partita_request_start(job->session, &options, job->inputs, job->input_count, NULL, job->output_count,
                                     &request)));
    tool_interrupt_running(request);
    partita_status status = api(partita_request_wait(request, UINT64_MAX));
    tool_interrupt_running(NULL);
    for (uint32_t i = 0; i < job->output_count && status == PARTITA_OK; i++) {
        job->outputs[i] = partita_request_output(request, i);
        partita_value_retain(job->outputs[i]);
    }
    partita_request_destroy(request);
    return status == PARTITA_CANCELLED ? pt_annotate(status, "interrupted") : status;
}

void tool_job_deinit(tool_job *job) {
    for (uint32_t i = 0; job->inputs && i < job->input_count; i++) partita_value_release(job->inputs[i]);
    for (uint32_t i = 0; job->outputs && i < job->output_count; i++) partita_value_release(job->outputs[i]);
    pt_free(job->inputs);
    pt_free(job->outputs);
    tool_values_deinit(&job->given);
    pt_arena_deinit(&job->arena);
    partita_session_destroy(job->session);
    partita_plan_destroy(job->plan);
    partita_model_destroy(job->model);
    partita_context_destroy(job->context);
    memset(job, 0, sizeof(*job));
}
