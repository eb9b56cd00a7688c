/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Partita's API for applications.
 *
 *     partita_context *context; partita_model *model; partita_plan *plan; partita_session *session;
 *     partita_context_create(NULL, &context);
 *     partita_model_load_file(context, "model.onnx", NULL, &model);
 *     partita_plan_create(model, NULL, &plan);              // which device runs which node, and why
 *     partita_session_create(plan, NULL, &session);         // compiled
 *     partita_session_run(session, NULL, inputs, 1, outputs, 1);
 *
 * Conventions. Calls return a partita_status; after a failure partita_last_error() of the same thread names file, node
 * and cause. Out parameters are written on success only. `create`/`destroy` pairs own; destroy accepts NULL. Children
 * keep their parents alive: a context may be destroyed before its models, a model before its plans, and so on.
 * Option structs start with `size` = sizeof; zero fields are the defaults; NULL options are all defaults.
 * A pointer that is needed and is NULL gives INVALID_ARGUMENT; what returns no status then returns NULL, 0 or nothing.
 * Any call that returns a status may give INVALID_ARGUMENT and OUT_OF_MEMORY; its declaration names the others.
 * Strings are UTF-8. Thread-safe: from any thread at any time. Thread-compatible: from one thread at a time per object.
 * Contexts, models, plans, sessions and requests are thread-safe, but for their destruction, which nobody else's call
 * may overlap. Values may be retained, released and read from any thread, and written while nobody else uses them. The
 * child of a fork makes a context of its own. Of what its parent made it may run and destroy sessions on the CPU alone,
 * with the calling thread for all work; threads of drivers are gone.
 */
#ifndef PARTITA_PARTITA_H
#define PARTITA_PARTITA_H

#include <partita/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PARTITA_API __attribute__((visibility("default")))
#else
#define PARTITA_API
#endif

#define PARTITA_VERSION "0.1.0"

typedef struct partita_context partita_context;
typedef struct partita_model partita_model;
typedef struct partita_plan partita_plan;
typedef struct partita_session partita_session;
typedef struct partita_request partita_request;
typedef struct partita_value partita_value;

/** Version of the library at run time, as PARTITA_VERSION. Thread-safe. */
PARTITA_API const char *partita_version(void);
/** Text of a status. Thread-safe. */
PARTITA_API const char *partita_status_text(partita_status status);
/** Exit code of the `partita` command for a status. Thread-safe. */
PARTITA_API int partita_status_exit_code(partita_status status);
/** What went wrong in this thread's last failed call: one line. Valid until the thread's next call. */
PARTITA_API const char *partita_last_error(void);
/** "float32", ...; "undefined" for a number that is no element type. Thread-safe. */
PARTITA_API const char *partita_dtype_name(partita_dtype dtype);
/** Bits of one element; 0 for strings. Thread-safe. */
PARTITA_API uint32_t partita_dtype_bits(partita_dtype dtype);

/* ---- context: plugins, devices, threads ------------------------------------------------------ */

/** Work on the application's own threads. All slots are required. */
typedef struct partita_thread_pool {
    uint32_t size;
    uint32_t workers; /* in all, the calling thread included */
    void *user;
    /** Runs fn(arg, worker) for worker 0 .. count - 1 at once, worker 0 on the calling thread; returns when all did.
     *  count is at most `workers`. When it cannot run them at once it returns 0 and runs none, else 1. */
    int32_t (*run)(void *user, void (*fn)(void *arg, uint32_t worker), void *arg, uint32_t count);
} partita_thread_pool;

typedef struct partita_option {
    const char *key; /* "DEVICE.KEY", as in `--option` */
    const char *value;
} partita_option;

typedef struct partita_context_options {
    uint32_t size;
    uint32_t threads;                /* workers for CPU work; 0: what affinity and cgroup allow */
    const char *const *plugin_paths; /* folders searched before PARTITA_PLUGIN_PATH and the built-in one */
    uint32_t plugin_path_count;
    uint32_t option_count;
    const partita_option *options;   /* an unknown device or key is an error when the device is opened */
    const partita_thread_pool *pool; /* used instead of own threads; outlives the context */
    /** Hears of this context and of what was made from it, from any thread, several at once; no longer once the last
     *  of these objects is destroyed. NULL: warnings and errors to stderr. */
    void (*log)(void *user, int32_t level, const char *message);
    void *log_user;
} partita_context_options;

/** Finds plugins by their manifests; opens none. IO never: a manifest that cannot be read is a plugin problem
 *  that partita_context_plugins reports; a named folder that cannot is INVALID_ARGUMENT. Thread-safe. */
PARTITA_API partita_status partita_context_create(const partita_context_options *options,
                                                  partita_context **out_context);
/** Gives the application's reference up: devices are closed with the last object that was made from the context. */
PARTITA_API void partita_context_destroy(partita_context *context);

typedef struct partita_plugin_info {
    uint32_t size;
    partita_status status; /* of loading it: OK, or why not */
    const char *name;
    const char *path;    /* of the library, or of the manifest that could not be read */
    const char *version; /* "" when not loaded */
    const char *message; /* why it did not load or has no device; "" when fine */
    uint32_t abi;
    uint32_t device_count;
    uint32_t operator_count;    /* of its operator set */
    uint32_t domain_count;      /* operator domains that its manifest names */
    const char *const *domains; /* "ai.onnx" for the standard's own */
} partita_plugin_info;

typedef struct partita_device_info {
    uint32_t size;
    uint32_t flags;   /* PARTITA_DEVICE_* */
    const char *name; /* "cpu", "opencl:0": as --devices takes it */
    const char *kind; /* "opencl" */
    const char *plugin;
    const char *description, *vendor, *driver;
    const char *const *resources;
    uint32_t resource_count;
    uint32_t reserved;
    uint64_t memory_bytes; /* 0: host memory or not known */
    double flops_per_us, bytes_per_us;
} partita_device_info;

enum {
    PARTITA_DEVICE_FALLBACK = 1u,
    PARTITA_DEVICE_REFERENCE = 2u,
    PARTITA_DEVICE_SIMULATED = 4u,
    PARTITA_DEVICE_EMULATED = 8u,
    PARTITA_DEVICE_DEFAULT = 65536u /* chosen when nobody names devices */
};

typedef struct partita_option_info {
    uint32_t size;
    uint32_t reserved;
    const char *device, *name, *type, *default_value, *text;
} partita_option_info;

/** Opens every plugin found and lists it, also those that did not load. Strings live as long as the context.
 *  Thread-safe. */
PARTITA_API partita_status partita_context_plugins(partita_context *context, const partita_plugin_info **out_plugins,
                                                   uint32_t *out_count);
/** Devices of all plugins, in a stable order: by plugin name, then by index. Thread-safe. */
PARTITA_API partita_status partita_context_devices(partita_context *context, const partita_device_info **out_devices,
                                                   uint32_t *out_count);
/** Options that devices take. Thread-safe. */
PARTITA_API partita_status partita_context_options_of(partita_context *context, const partita_option_info **out_options,
                                                      uint32_t *out_count);

/* ---- values ---------------------------------------------------------------------------------- */

/** What an input or output is. dims[i] is -1 where symbolic; dim_names[i] "" where unnamed. */
typedef struct partita_value_info {
    uint32_t size;
    partita_kind kind;
    const char *name;
    partita_dtype dtype;     /* of a sequence's, optional's or map's elements too */
    partita_dtype key_dtype; /* of a map */
    partita_kind element;    /* of a sequence's or optional's item */
    int32_t rank;            /* -1: not known */
    const int64_t *dims;
    const char *const *dim_names;
    uint32_t has_default; /* 1: of an input that a run may leave out: partita_model_options.overridable */
} partita_value_info;

/** A view of a value's content; borrowed from the value. */
typedef struct partita_value_view {
    uint32_t size;
    partita_kind kind;
    partita_dtype dtype;
    uint32_t rank;
    const int64_t *dims;
    void *data; /* dense tensor of numbers: packed, row-major. NULL when it lies on a device */
    uint64_t bytes;
    const uint64_t *offsets; /* strings: string i is data[offsets[i] .. offsets[i + 1]) */
    uint64_t count;          /* elements of a tensor; items of a sequence; 0 or 1 of an optional; pairs of a map */
    const char *device;      /* where it lies; "" in host memory */
} partita_value_view;

/** Dense tensor over the caller's memory, which outlives the value: `bytes` must be what dtype and dims need.
 *  As an output it is bound: the run writes here. */
PARTITA_API partita_status partita_value_create_borrowed(partita_dtype dtype, uint32_t rank, const int64_t *dims,
                                                         void *data, uint64_t bytes, partita_value **out_value);
/** Dense tensor with memory of its own, copied from `data`, or zeroed when NULL. BAD_INPUT: dims that overflow. */
PARTITA_API partita_status partita_value_create(partita_dtype dtype, uint32_t rank, const int64_t *dims,
                                                const void *data, partita_value **out_value);
/** Tensor of strings, row-major; texts are copied. BAD_INPUT: dims that overflow. */
PARTITA_API partita_status partita_value_create_strings(uint32_t rank, const int64_t *dims, const partita_str *strings,
                                                        partita_value **out_value);
/** Sparse tensor: values [nnz], indices int64 [nnz] or [nnz, rank]. Both are retained; what they hold is checked by
 *  those who use it. */
PARTITA_API partita_status partita_value_create_sparse(uint32_t rank, const int64_t *dims, partita_value *values,
                                                       partita_value *indices, partita_value **out_value);
/** SEQUENCE (any n), OPTIONAL (n 0 or 1), MAP (n 2: keys, values). Items are retained. dtype: of an empty one. */
PARTITA_API partita_status partita_value_create_container(partita_kind kind, partita_dtype dtype,
                                                          partita_value *const *items, uint64_t n,
                                                          partita_value **out_value);
/** Dense tensor in a device's own memory, uninitialised; bound as an output it stays there, as an input it is not
 *  copied when the consumer runs on that device. In host memory where the device has none of its own. DEVICE_ABSENT, or
 *  what the device says. The value keeps the context alive. */
PARTITA_API partita_status partita_value_create_on_device(partita_context *context, const char *device,
                                                          partita_dtype dtype, uint32_t rank, const int64_t *dims,
                                                          partita_value **out_value);
/** Copies between host memory of the caller and a dense tensor of numbers wherever it lies; `bytes` is the tensor's
 *  size, INVALID_ARGUMENT otherwise; DEVICE_FAILED when its device cannot. */
PARTITA_API partita_status partita_value_read(const partita_value *value, void *data, uint64_t bytes);
PARTITA_API partita_status partita_value_write(partita_value *value, const void *data, uint64_t bytes);
/** View; pointers live as long as the value. */
PARTITA_API partita_status partita_value_view_of(const partita_value *value, partita_value_view *out_view);
/** Item of a sequence or optional; of a map 0: keys, 1: values; of a sparse tensor 0: values, 1: indices. Borrowed from
 *  the value; NULL past the end. */
PARTITA_API partita_value *partita_value_item(const partita_value *value, uint64_t index);
/** One more and one less owner; with the last one it goes. NULL is accepted. Thread-safe. */
PARTITA_API void partita_value_retain(partita_value *value);
PARTITA_API void partita_value_release(partita_value *value);

/* ---- model ----------------------------------------------------------------------------------- */

typedef struct partita_model_options {
    uint32_t size;
    uint32_t copy_weights;  /* 1: read files instead of mapping them, for files that may change */
    uint64_t memory_budget; /* bytes that loading may allocate besides weights; 0: 16 MiB and 20 times the file's
                               structure */
    uint32_t borrow;        /* load_memory: 1: the bytes outlive the model and are not copied */
    uint32_t optimize;      /* 0: default passes; 1: none */
    const char *base_dir;   /* load_memory: folder of external data; NULL: external data is an error */
    /** Inputs for which the model has a default: an initializer of the same name. Those named here (all for "*") are
     *  inputs that a run may give, or leave out as NULL; the others are constants and no inputs, so that models which
     *  list every weight as an input lose nothing. Names of no such input are passed over. */
    const char *const *overridable;
    uint32_t overridable_count;
} partita_model_options;

/** Imports, checks, infers and optimises. BAD_MODEL, IO, OVER_BUDGET, UNSUPPORTED. A file that is mapped stays so until
 *  the model and what was compiled from it are gone; it may be unlinked, not changed. Thread-safe. */
PARTITA_API partita_status partita_model_load_file(partita_context *context, const char *path,
                                                   const partita_model_options *options, partita_model **out_model);
PARTITA_API partita_status partita_model_load_memory(partita_context *context, const void *data, uint64_t bytes,
                                                     const partita_model_options *options, partita_model **out_model);
/** Gives the application's reference up; plans and sessions keep the model. */
PARTITA_API void partita_model_destroy(partita_model *model);

/* A model is immutable: all of this is thread-safe, and strings live as long as it. */
PARTITA_API uint32_t partita_model_input_count(const partita_model *model);
PARTITA_API uint32_t partita_model_output_count(const partita_model *model);
/** In the order of runs; NULL past the end. */
PARTITA_API const partita_value_info *partita_model_input(const partita_model *model, uint32_t index);
PARTITA_API const partita_value_info *partita_model_output(const partita_model *model, uint32_t index);
/** NULL when there is no such key. */
PARTITA_API const char *partita_model_metadata(const partita_model *model, const char *key);
PARTITA_API uint32_t partita_model_metadata_count(const partita_model *model);
/** Both NULL past the end. */
PARTITA_API void partita_model_metadata_at(const partita_model *model, uint32_t index, const char **out_key,
                                           const char **out_value);

/** The model as one JSON document, as `partita inspect --json` prints it. Released by partita_text_destroy. */
PARTITA_API partita_status partita_model_inspect(const partita_model *model, char **out_json);
PARTITA_API void partita_text_destroy(char *text);

/* ---- plan ------------------------------------------------------------------------------------ */

enum { PARTITA_OBJECTIVE_LATENCY = 0, PARTITA_OBJECTIVE_THROUGHPUT = 1, PARTITA_OBJECTIVE_MEMORY = 2 };
enum { PARTITA_PRECISION_EXACT = 0, PARTITA_PRECISION_FAST = 1 };

typedef struct partita_dim {
    const char *name; /* symbolic dim */
    int64_t value;
} partita_dim;

typedef struct partita_input_shape {
    const char *input;
    uint32_t rank;
    uint32_t reserved;
    const int64_t *dims;
} partita_input_shape;

typedef struct partita_pin {
    const char *pattern; /* POSIX extended regular expression, matched against whole source node names and "op:OP" */
    const char *device;
} partita_pin;

typedef struct partita_plan_options {
    uint32_t size;
    uint32_t objective;
    const char *devices; /* closed set, "cpu,opencl:0"; NULL: PARTITA_DEVICES, else the default devices */
    uint32_t fallback;   /* 1: adds the fallback device as last resort */
    uint32_t strict;     /* 1: a demotion is an error */
    uint32_t precision;
    uint32_t pin_count;
    const partita_pin *pins;
    uint64_t random_seed; /* with pin_random 1: each unit to a random willing device */
    uint32_t pin_random;
    uint32_t dim_count;
    const partita_dim *dims; /* nominal sizes of symbolic dims; 1 where not given */
    const partita_input_shape *shapes;
    uint32_t shape_count;
    uint32_t reserved;
    const char *plan_json; /* placement to take over instead of planning */
    uint64_t max_memory;   /* bytes of each memory, that of a device or the host's, which devices without their own
                              share. Planning counts no more as there and fails with OVER_BUDGET when weights alone need
                              more. A session holds no more of it for weights, arenas, outputs that it allocates, copies
                              and what plugins take from the host: a run that would fails with OUT_OF_MEMORY naming
                              memory, need and node. 0: what there is */
    /** Asked for each device of the set: 1 keeps it, 0 drops it. NULL: keeps all. */
    int32_t (*choose)(void *user, const partita_device_info *device);
    void *choose_user;
} partita_plan_options;

/**
 * Asks the devices and places every node. UNPLACED with each device's reason when a node fits nowhere; DEVICE_ABSENT
 * when a listed device is not there. Thread-safe.
 */
PARTITA_API partita_status partita_plan_create(partita_model *model, const partita_plan_options *options,
                                               partita_plan **out_plan);
/** Gives the application's reference up; sessions keep the plan. */
PARTITA_API void partita_plan_destroy(partita_plan *plan);
/** As `partita plan --json` prints it; partita_plan_options.plan_json takes it back. */
PARTITA_API partita_status partita_plan_json(const partita_plan *plan, char **out_json);
/** For people: clusters, crossing edges, estimates; `why` 1: each source node with every device's answer. */
PARTITA_API partita_status partita_plan_print(const partita_plan *plan, uint32_t why, char **out_text);
/** As Graphviz text, and as a picture by itself. All texts of a plan are released by partita_text_destroy. */
PARTITA_API partita_status partita_plan_dot(const partita_plan *plan, char **out_text);
PARTITA_API partita_status partita_plan_svg(const partita_plan *plan, char **out_text);
/** Estimated time of one run at the nominal shapes, in microseconds. Thread-safe. */
PARTITA_API double partita_plan_estimate_us(const partita_plan *plan);

/* ---- session --------------------------------------------------------------------------------- */

typedef struct partita_session_options {
    uint32_t size;
    uint32_t measure;          /* 1: takes times of each part and transfer, for partita_session_explain */
    uint64_t max_shapes_bytes; /* budget of the cache of sized instances; 0: 256 MiB */
    /** Progress of compiling, 0 to 1; another return than 0 cancels. */
    int32_t (*progress)(void *user, float done, const char *what);
    void *progress_user;
} partita_session_options;

/** Compiles the parts. A part that its device cannot compile goes to another device of the plan's set, with a warning
 *  and an entry in `demotions`, unless strict. Thread-safe. */
PARTITA_API partita_status partita_session_create(partita_plan *plan, const partita_session_options *options,
                                                  partita_session **out_session);
/** Waits for requests that are under way, but for none that was left, at its deadline or cancelled: until that is back
 * it holds what it needs, up to the context and the application's thread pool. */
PARTITA_API void partita_session_destroy(partita_session *session);

typedef struct partita_run_options {
    uint32_t size;
    uint32_t reserved;
    /** From now; 0: none, and a run takes as long as its devices do. The call returns DEADLINE when it has passed, also
     *  when a device hangs: the run then lives on until the device is back (partita_counters.stuck), on copies of what
     *  the caller lent, and a second later the device counts as failed for further requests. */
    uint64_t deadline_ms;
} partita_run_options;

/**
 * Runs once. inputs: by model input; NULL where it has a default. outputs: by model output; a NULL entry is allocated
 * by the run and is the caller's to release, a value is bound and must have the output's type and bytes. BAD_INPUT
 * naming the input, DEADLINE, DEVICE_FAILED, ... On failure bound outputs hold nothing defined and NULL entries stay
 * NULL. Thread-safe.
 */
PARTITA_API partita_status partita_session_run(partita_session *session, const partita_run_options *options,
                                               partita_value *const *inputs, uint32_t input_count,
                                               partita_value **outputs, uint32_t output_count);

/** A run in the background, which can be cancelled. Inputs and bound outputs are retained until it ends, memory that
 * the application lends is copied: inputs before this returns, bound outputs in host memory when the run has ended
 * well. Thread-safe. */
PARTITA_API partita_status partita_request_start(partita_session *session, const partita_run_options *options,
                                                 partita_value *const *inputs, uint32_t input_count,
                                                 partita_value *const *bound, uint32_t output_count,
                                                 partita_request **out_request);
/** Waits up to timeout_ms (UINT64_MAX: for ever). The run's status; DEADLINE when it is still running. */
PARTITA_API partita_status partita_request_wait(partita_request *request, uint64_t timeout_ms);
/** Asks it to stop, from any thread; wait then gives CANCELLED, unless it had ended. It does so a tenth of a second
 * later at the latest, also when a device hangs: the run then lives on as after a deadline (partita_run_options). */
PARTITA_API void partita_request_cancel(partita_request *request);
/** Output of a request that ended well, by model output; borrowed from the request. NULL before, and past the end. */
PARTITA_API partita_value *partita_request_output(partita_request *request, uint32_t index);
/** Asks it to stop when still running, and waits until it has: at most until its deadline and, where it was cancelled
 *  before, no longer than a wait does. */
PARTITA_API void partita_request_destroy(partita_request *request);

/** What a session did so far. */
typedef struct partita_counters {
    uint32_t size;
    uint32_t parts; /* compiled parts, nested ones included */
    uint64_t plans; /* plans made, replans after demotions included */
    uint64_t compiles;
    uint64_t resizes;       /* new combinations of dims */
    uint64_t resize_ns_max; /* processor time of the dearest one */
    uint64_t runs;
    uint64_t copies; /* transfers that moved bytes */
    uint64_t bytes_copied;
    uint64_t imports;    /* buffers imported */
    uint64_t host_waits; /* times the host waited between two devices for want of a common handle */
    uint64_t demotions;
    uint64_t stuck; /* runs that were left, at their deadline or cancelled, and are still held by a device */
} partita_counters;
/** Sums since the session was made; those of a run that is under way are in it by and by. Thread-safe. */
PARTITA_API void partita_session_counters(const partita_session *session, partita_counters *out_counters);
/** The plan with measured times, bytes moved and copies, of the runs so far (needs options.measure): as
 *  `partita explain --json` prints it, and for people. Released by partita_text_destroy. Thread-safe. */
PARTITA_API partita_status partita_session_explain_json(const partita_session *session, char **out_json);
PARTITA_API partita_status partita_session_explain_print(const partita_session *session, char **out_text);

/** What one device of the session's set did so far (times need options.measure). */
typedef struct partita_device_usage {
    uint32_t size;
    uint32_t parts;        /* compiled for it, nested ones included */
    const char *device;    /* "" ends the list: the host's own control flow has no row */
    uint64_t launches;     /* parts run */
    double busy_us;        /* sum of its parts' measured times, over all runs */
    double flops;          /* of its nodes at the nominal shapes, one run; bodies counted once */
    uint64_t copied_bytes; /* that the device itself counted since it was opened, by any session */
} partita_device_usage;
/** Row of the device list of the plan. INVALID_ARGUMENT past its end. Thread-safe. */
PARTITA_API partita_status partita_session_device(const partita_session *session, uint32_t index,
                                                  partita_device_usage *out_usage);

/** A value that crosses between two devices, or from or to host memory ("(host)"). */
typedef struct partita_edge_usage {
    uint32_t size;
    uint32_t staged; /* 1: in two steps through host memory */
    const char *value, *from, *to;
    const char *route;    /* "share", "import", "copy", "staged" */
    uint64_t bytes_moved; /* counted where they moved, over all runs */
    uint64_t copies;
    uint64_t runs; /* times it crossed */
} partita_edge_usage;
/** Row of the plan's crossing edges. INVALID_ARGUMENT past their end. Strings live as long as the session.
 *  Thread-safe. */
PARTITA_API partita_status partita_session_edge(const partita_session *session, uint32_t index,
                                                partita_edge_usage *out_usage);

#ifdef __cplusplus
}
#endif
#endif
