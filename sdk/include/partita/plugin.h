/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The plugin ABI of Partita: everything a vendor needs to bring a backend as one shared object.
 *
 * A plugin exports one symbol, `partita_plugin_query` (see PTP_DEFINE_PLUGIN), links nothing of the host, and is loaded
 * with RTLD_NOW | RTLD_LOCAL. Services of the host come in a table, ptp_host.
 *
 * Rules that hold for every declaration here:
 * - Every struct that crosses starts with `size`, its sizeof at the writer's build. Fields are appended only. A reader
 *   takes the smaller of both sizes; a missing tail means the documented default, which is 0 unless said otherwise.
 * - A slot of a vtable is `required` or `optional: default is ...`; an optional slot may be NULL or missing.
 * - Calls return a partita_status. Before returning another code than PARTITA_OK a plugin hands the text to
 *   ptp_host.fail. No object crosses the border to be freed on the other side, unless said.
 * - No call may abort, exit, print, raise, change signal handlers, locale, rounding mode or working directory.
 * - Borrowed pointers are valid during the call, unless said. Text is UTF-8.
 * - Thread-safe: may be called from any thread at any time. Thread-compatible: from one thread at a time per object.
 */
#ifndef PARTITA_PLUGIN_H
#define PARTITA_PLUGIN_H

#include <partita/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** ABI version of this header, and the oldest that plugins built with it speak. PTP_DEFINE_PLUGIN agrees on one. */
#define PTP_ABI_VERSION 1
#define PTP_ABI_OLDEST  1

/* Objects of the host, opaque to the plugin. */
typedef struct ptp_value ptp_value;       /* a value of any kind */
typedef struct ptp_timeline ptp_timeline; /* a 64-bit counter that carries an error */
typedef struct ptp_team ptp_team;         /* workers that run one function at once */
typedef struct ptp_run ptp_run;           /* one execution of one part */
typedef struct ptp_job ptp_job;           /* one compilation */
typedef struct ptp_infer ptp_infer;       /* shape inference of one part; lives as long as the executable */

typedef struct ptp_operator_set ptp_operator_set; /* operators beyond the standard: <partita/operator_set.h> */

/* Objects of the plugin, opaque to the host. */
typedef struct ptp_plugin ptp_plugin;
typedef struct ptp_device ptp_device;
typedef struct ptp_buffer ptp_buffer;
typedef struct ptp_executable ptp_executable;
typedef struct ptp_instance ptp_instance; /* an executable at fixed shapes */

/** Typed extension: a chain hangs off structs that have `next`. Bit 31 of `id`: must be understood, else an error. */
typedef struct ptp_extension {
    uint32_t size;
    uint32_t id;
    const struct ptp_extension *next;
} ptp_extension;
#define PTP_EXTENSION_REQUIRED 0x80000000u

/* ==== The relocatable block ======================================================================================
 *
 * A model, or a part of one, as tables in one piece of memory: offsets from the block's start, no pointers, so that an
 * isolated plugin maps the same bytes. Rows are read through the accessors of <partita/block.h>, which respect
 * `stride`.
 */

/** `count` elements at `offset` bytes from the block's start. What an element is, the field says. */
typedef struct ptp_ref {
    uint32_t offset;
    uint32_t count;
} ptp_ref;

typedef struct ptp_table {
    uint32_t offset;
    uint32_t count;
    uint32_t stride; /* bytes from row to row */
    uint32_t reserved;
} ptp_table;

typedef struct ptp_block {
    uint32_t size;
    uint32_t version;     /* 1 */
    uint64_t bytes;       /* of the whole block */
    ptp_table graphs;     /* ptp_graph_row; row 0 is the model or part, the others are bodies */
    ptp_table nodes;      /* ptp_node_row, in topological order within each graph */
    ptp_table values;     /* ptp_value_row */
    ptp_table attributes; /* ptp_attribute_row */
    ptp_table units;      /* ptp_unit_row; in the block of a part: the groups in it that the device took whole */
    ptp_table opsets;     /* ptp_opset_row */
} ptp_block;

typedef struct ptp_opset_row {
    ptp_ref domain; /* char; "" is ai.onnx */
    int64_t version;
} ptp_opset_row;

typedef struct ptp_graph_row {
    ptp_ref name;        /* char */
    uint32_t first_node; /* nodes of a graph are neighbours in the table */
    uint32_t node_count;
    ptp_ref inputs;  /* uint32_t: rows of values. Of graph 0 of a part: its ports, in order */
    ptp_ref outputs; /* uint32_t */
    uint32_t parent; /* row of the node whose body this is; PARTITA_NONE for graph 0 */
    uint32_t reserved;
} ptp_graph_row;

/** Flags of a value. */
enum {
    PTP_VALUE_INPUT = 1u,       /* input of its graph */
    PTP_VALUE_OUTPUT = 2u,      /* output of its graph */
    PTP_VALUE_CONSTANT = 4u,    /* has a weight, or its bytes in `data` */
    PTP_VALUE_DATA_SHAPED = 8u, /* a dim depends on data: known only when its producer ran */
    PTP_VALUE_SMALL_KNOWN = 16u /* `data` holds the value for the nominal shapes; it follows from input shapes alone */
};

typedef struct ptp_value_row {
    ptp_ref name;       /* char */
    uint32_t kind;      /* partita_kind */
    uint32_t dtype;     /* of the tensor, of a sequence's or optional's tensors, of a map's values */
    uint32_t key_dtype; /* of a map */
    uint32_t element;   /* partita_kind of a sequence's or optional's item */
    int32_t rank;       /* -1: not known */
    uint32_t flags;
    ptp_ref dims;      /* int64_t[rank]: exact, or -1 where only a run tells */
    ptp_ref nominal;   /* int64_t[rank]: those that costs are for; -1 where not known */
    ptp_ref dim_names; /* ptp_ref[rank] to char; empty for an exact or unnamed dim */
    uint32_t producer; /* row of a node; PARTITA_NONE for inputs and constants */
    uint32_t weight;   /* index of ptp_compile.weights; PARTITA_NONE when not a weight */
    ptp_ref data;      /* bytes of a small constant (at most 4 KiB), packed, row-major; empty otherwise */
    uint64_t bytes;    /* at nominal shapes; 0 when not known */
} ptp_value_row;

typedef struct ptp_node_row {
    ptp_ref op;     /* char */
    ptp_ref domain; /* char; "" is ai.onnx */
    ptp_ref name;   /* char: the source node, as people see it */
    int32_t since;  /* version of the operator: since_version of the schema in force */
    uint32_t graph;
    ptp_ref inputs;     /* uint32_t: rows of values; PARTITA_NONE for an absent optional input */
    ptp_ref outputs;    /* uint32_t */
    ptp_ref attributes; /* a run of rows of `attributes`: offset is the first row, count the number */
    ptp_ref bodies;     /* uint32_t: rows of graphs */
    ptp_ref captures;   /* uint32_t: values that bodies take from outside */
    uint32_t unit;      /* the outermost it belongs to; in the block of a part: its group, else PARTITA_NONE */
    uint32_t reserved;
    uint64_t flops; /* at nominal shapes; 2 per multiply-add */
} ptp_node_row;

/** Type of an attribute, and what `data` holds. */
enum {
    PTP_ATTRIBUTE_INT = 1,     /* int64_t, one */
    PTP_ATTRIBUTE_FLOAT = 2,   /* float, one */
    PTP_ATTRIBUTE_STRING = 3,  /* char */
    PTP_ATTRIBUTE_TENSOR = 4,  /* uint32_t, one: row of values */
    PTP_ATTRIBUTE_GRAPH = 5,   /* uint32_t, one: row of graphs */
    PTP_ATTRIBUTE_INTS = 6,    /* int64_t */
    PTP_ATTRIBUTE_FLOATS = 7,  /* float */
    PTP_ATTRIBUTE_STRINGS = 8, /* ptp_ref to char */
    PTP_ATTRIBUTE_TENSORS = 9, /* uint32_t */
    PTP_ATTRIBUTE_GRAPHS = 10  /* uint32_t */
};

/** Defaults of the schema are filled in; an attribute without default that the model leaves out has no row. */
typedef struct ptp_attribute_row {
    ptp_ref name; /* char */
    uint32_t type;
    uint32_t reserved;
    ptp_ref data;
} ptp_attribute_row;

/** What a unit is. Units are what a device is asked about; a unit goes to one device as a whole. */
enum {
    PTP_UNIT_NODE = 0,        /* one node */
    PTP_UNIT_GROUP = 1,       /* nodes that belong together: a QDQ group, a fused operator's body. A yes is for all of
                                 them, a no leads to its pieces, which are asked in the same call */
    PTP_UNIT_CONTROL_FLOW = 2 /* a node with bodies and captures, as one */
};

typedef struct ptp_unit_row {
    uint32_t kind;
    uint32_t graph;
    ptp_ref nodes;   /* uint32_t: rows of nodes of `graph`, in order */
    uint32_t parent; /* unit that this one is a piece of; PARTITA_NONE */
    uint32_t reserved;
} ptp_unit_row;

/* ==== Values at run time ========================================================================================= */

/**
 * A view of a value. Dense tensors are described in full; of other kinds `value` is the handle that the accessors of
 * ptp_host take. Sub-byte types are packed, low bits first, as in ONNX's raw_data.
 */
typedef struct ptp_tensor {
    uint32_t size;
    partita_kind kind;
    partita_dtype dtype;
    uint32_t rank;
    const int64_t *dims;
    uint32_t domain; /* index into the device's domains; of a part on the host PTP_DOMAIN_HOST */
    uint32_t reserved;
    ptp_buffer *buffer; /* of the device that runs; NULL in host memory */
    uint64_t offset;    /* bytes into `buffer` */
    void *data;         /* in host memory; else NULL. NULL too for an absent optional input */
    uint64_t bytes;
    ptp_value *value; /* handle; NULL for a dense tensor of numbers */
} ptp_tensor;

/** Domain number of ordinary host memory, for every device. */
#define PTP_DOMAIN_HOST UINT32_MAX

typedef struct ptp_shape {
    int32_t rank; /* -1: not known */
    uint32_t reserved;
    const int64_t *dims; /* -1 where not known */
} ptp_shape;

/** A value of a timeline. `timeline` NULL: nothing to wait for or to signal. */
typedef struct ptp_point {
    ptp_timeline *timeline;
    uint64_t value;
} ptp_point;

/* ==== Services of the host ======================================================================================= */

/**
 * Valid from ptp_plugin_vtable.start until stop returned. Every function is thread-safe unless said, and takes `self`
 * of the table. A field beyond `size` is absent.
 */
typedef struct ptp_host {
    uint32_t size;
    uint32_t abi; /* the version that both sides agreed on */
    void *self;

    /** Text of the failure that the plugin is about to return. Copied. */
    void (*fail)(void *self, partita_status code, const char *message);
    void (*log)(void *self, int32_t level, const char *message); /* one line, copied; PARTITA_LOG_* */

    /** Host memory from the host's budget; alignment a power of two. NULL when there is none. Freed by `free`. */
    void *(*alloc)(void *self, uint64_t bytes, uint64_t alignment);
    void (*free)(void *self, void *block); /* NULL is accepted */

    /** Workers of the host's pool, the caller's thread included. */
    uint32_t (*workers)(void *self);
    /** Runs fn over [0, n) in ranges of at least `grain` on the pool; returns when all is done. */
    void (*parallel)(void *self, void (*fn)(void *user, uint64_t begin, uint64_t end, uint32_t worker), void *user,
                     uint64_t n, uint64_t grain);
    /** Runs fn on up to n workers at once (`count` of them); returns when all returned. */
    void (*team)(void *self, void (*fn)(void *user, ptp_team *team, uint32_t worker, uint32_t count), void *user,
                 uint32_t n);
    void (*team_barrier)(ptp_team *team); /* from `fn`, by all workers of the team: returns when all are here */

    /** Moves the timeline to `value`, which is above its present one. code other than PARTITA_OK: it failed; waiters
     *  get code and message. Copied. May be called from a driver's callback thread. */
    void (*timeline_signal)(void *self, ptp_timeline *timeline, uint64_t value, partita_status code,
                            const char *message);
    /** Waits on the calling thread. deadline_ns: CLOCK_MONOTONIC, 0 for none. PARTITA_DEADLINE, or the stored error. */
    partita_status (*timeline_wait)(void *self, ptp_timeline *timeline, uint64_t value, uint64_t deadline_ns);

    /** 1 when the run was cancelled or is past its deadline: return PARTITA_CANCELLED soon. */
    int32_t (*run_stopped)(void *self, ptp_run *run);
    /** Room for a data-dependent output, in the domain that its port names. Fills `out`; lives as the run's outputs.
     *  Of a bounded one the memory that exec found in `outputs`, with these dims; an error when they need more. */
    partita_status (*run_alloc_output)(void *self, ptp_run *run, uint32_t index, partita_dtype dtype, uint32_t rank,
                                       const int64_t *dims, ptp_tensor *out);
    /** Gives an output as a handle (strings, sparse, sequence, map, optional; a tensor too). The host keeps its own
     *  reference. */
    partita_status (*run_set_output)(void *self, ptp_run *run, uint32_t index, ptp_value *value);

    /* Values. Accessors borrow from the handle. Functions value_new_* return a handle of the caller's, to be given to
     * value_release; items given to them are retained by the host. */
    partita_kind (*value_kind)(void *self, const ptp_value *value);
    /** Dense tensor in host memory, or the dims of a string or sparse tensor. */
    partita_status (*value_tensor)(void *self, const ptp_value *value, ptp_tensor *out);
    /** Strings: string i is bytes[offsets[i] .. offsets[i + 1]). */
    partita_status (*value_strings)(void *self, const ptp_value *value, const uint64_t **out_offsets,
                                    const char **out_bytes, uint64_t *out_count);
    /** Sparse: values [nnz], indices int64 [nnz] (linear) or [nnz, rank], as ONNX's SparseTensorProto. */
    partita_status (*value_sparse)(void *self, const ptp_value *value, ptp_value **out_values, ptp_value **out_indices);
    /** Items of a sequence; of an optional 0 or 1; of a map 2: keys (a tensor), values (a tensor or sequence). */
    uint64_t (*value_count)(void *self, const ptp_value *value);
    ptp_value *(*value_item)(void *self, const ptp_value *value, uint64_t index); /* borrowed; NULL past the end */
    /** Uninitialised dense tensor in host memory; `value_tensor` gives its address. */
    partita_status (*value_new_tensor)(void *self, partita_dtype dtype, uint32_t rank, const int64_t *dims,
                                       ptp_value **out);
    partita_status (*value_new_strings)(void *self, uint32_t rank, const int64_t *dims, const uint64_t *offsets,
                                        const char *bytes, ptp_value **out); /* copied; offsets do not decrease */
    partita_status (*value_new_sparse)(void *self, uint32_t rank, const int64_t *dims, ptp_value *values,
                                       ptp_value *indices, ptp_value **out); /* as value_sparse gives them */
    /** kind SEQUENCE, OPTIONAL (n 0 or 1) or MAP (n 2). dtype: of an empty one's elements. */
    partita_status (*value_new_container)(void *self, partita_kind kind, partita_dtype dtype, ptp_value *const *items,
                                          uint64_t n, ptp_value **out);
    void (*value_retain)(void *self, ptp_value *value);  /* one more owner */
    void (*value_release)(void *self, ptp_value *value); /* one less; with the last one it goes. NULL is accepted */

    /** Shapes of one node's outputs from its actual inputs: the host's own inference, for plugins that meet shapes only
     *  while running. `node`: row in the part's block. Inputs whose value matters for shapes must be in host memory.
     *  Writes up to `m` shapes; dims land in `dims`, at most 16 per output. PARTITA_UNSUPPORTED when only the data
     *  tells (NonZero). */
    partita_status (*infer)(void *self, ptp_infer *infer, uint32_t node, const ptp_tensor *inputs, uint32_t n,
                            ptp_shape *out_shapes, int64_t *dims, uint32_t m);

    /** Progress of a compilation, 0 to 1; another code than PARTITA_OK: stop and return it. */
    partita_status (*job_progress)(void *self, ptp_job *job, float done, const char *what);
    /** The part as an ONNX model, for vendors with their own parser: ports keep their order, inputs and outputs their
     *  names. A constant of more than 1 KiB of numbers is external data at location "weight/ID", where ID in decimal is
     *  a ptp_weight.id of this compilation, whose `data`, or `fd` at `fd_offset`, are the bytes; others are inside.
     *  Borrowed until compile returns. */
    partita_status (*job_onnx)(void *self, ptp_job *job, const void **out_bytes, uint64_t *out_size);

    /** A span of work for the profiler; CLOCK_MONOTONIC. This version drops them. */
    void (*trace)(void *self, ptp_run *run, const char *name, uint64_t begin_ns, uint64_t end_ns, uint32_t lane);
} ptp_host;

/* ==== Devices ==================================================================================================== */

/** Roles and properties of a device. */
enum {
    PTP_DEVICE_FALLBACK = 1u,    /* folds constants at load; what --fallback adds */
    PTP_DEVICE_REFERENCE = 2u,   /* exact and complete; never chosen unless named */
    PTP_DEVICE_SIMULATED = 4u,   /* never chosen unless named */
    PTP_DEVICE_EMULATED = 8u,    /* the driver emulates a device on the host's cores: not chosen unless named */
    PTP_DEVICE_ASYNC = 16u,      /* exec and copy return before the work is done */
    PTP_DEVICE_IN_ORDER = 32u,   /* work enqueued later starts after work enqueued earlier is complete: the host need
                                    not wait between two steps on this device */
    PTP_DEVICE_ALL_KINDS = 64u,  /* takes values of every kind; otherwise dense tensors of numbers only */
    PTP_DEVICE_CONCURRENT = 128u /* exec and copy may be called from several threads at once for different
                                    instances or runs, unless the executable is serial; otherwise the host
                                    serialises calls per device */
};

/** What memory a domain is. */
enum { PTP_MEMORY_HOST = 0, PTP_MEMORY_PINNED = 1, PTP_MEMORY_DEVICE = 2, PTP_MEMORY_UNIFIED = 3 };

/** Kinds of handles under which memory is exported and imported; bit numbers of masks. */
enum {
    PTP_HANDLE_HOST_POINTER = 0, /* handle is an address */
    PTP_HANDLE_OPAQUE_FD = 1,    /* Vulkan/CUDA opaque fd; the importer owns a duplicate */
    PTP_HANDLE_DMA_BUF = 2,
    PTP_HANDLE_MEMFD = 3, /* ordinary shared memory: mmap it */
    PTP_HANDLE_CUDA_IPC = 4,
    PTP_HANDLE_COUNT = 5
};

typedef struct ptp_domain_info {
    uint32_t size;
    uint32_t memory; /* PTP_MEMORY_* */
    char name[32];
    uint64_t bytes_total; /* 0: not known */
    uint64_t bytes_free;
    uint64_t max_buffer;       /* largest buffer; 0: no limit known */
    uint64_t max_binding;      /* largest tensor a kernel can see (a storage buffer's range); 0: no limit known */
    uint32_t alignment;        /* of buffers' and tensors' offsets */
    uint32_t import_alignment; /* of address and size of an imported host pointer; 0: cannot import one */
    uint32_t export_mask;      /* 1u << PTP_HANDLE_* */
    uint32_t import_mask;
} ptp_domain_info;

#define PTP_MAX_DOMAINS   4
#define PTP_MAX_RESOURCES 4

typedef struct ptp_device_info {
    uint32_t size;
    uint32_t flags; /* PTP_DEVICE_* */
    char kind[32];  /* "cpu", "opencl": the host numbers devices of one kind from 0 */
    char description[128];
    char vendor[64];
    char driver[64];                       /* version */
    char resources[PTP_MAX_RESOURCES][48]; /* "host-cores", "pci:0000:01:00.0"; devices that share one take turns */
    uint32_t domain_count;                 /* 0: works in host memory only */
    uint32_t reserved;
    ptp_domain_info domains[PTP_MAX_DOMAINS]; /* domain 0 is where parts compute */
    double flops_per_us;                      /* float32, sustained; 0: not known */
    double bytes_per_us;                      /* of its memory */
    double launch_us;                         /* one part */
    double copy_us;                           /* one copy from or to host memory: fixed part */
    double copy_bytes_per_us;
    uint64_t uuid[2];
} ptp_device_info;

typedef struct ptp_option_row {
    uint32_t size;
    uint32_t reserved;
    const char *name;
    const char *type; /* "int", "float", "bool", "string" or "a|b|c" */
    const char *default_value;
    const char *text;
} ptp_option_row;

typedef struct ptp_option {
    const char *name;
    const char *value;
} ptp_option;

/** Answer to one unit. */
enum { PTP_NO = 0, PTP_YES = 1, PTP_ONLY_IF = 2 };
/** Conditions of PTP_ONLY_IF. */
enum {
    PTP_IF_FAST_PRECISION = 1u, /* only under precision `fast` */
    PTP_IF_EXACT_SHAPES = 2u    /* only where every dim is exact at compile */
};

typedef struct ptp_answer {
    uint32_t size;
    uint32_t can; /* PTP_NO, PTP_YES, PTP_ONLY_IF */
    uint32_t condition;
    uint32_t reason;       /* partita_reason: for a no, never NONE */
    double us;             /* time at nominal shapes, without launch; < 0: not known, the host's roofline counts */
    uint64_t weight_bytes; /* kept on the device */
    uint64_t scratch_bytes;
    char text[160]; /* the cause with its numbers: "rank 6, at most 5" */
} ptp_answer;

typedef struct ptp_ask {
    uint32_t size;
    uint32_t precision; /* PTP_PRECISION_* */
    const ptp_block *block;
    const uint32_t *units; /* rows of units to answer, `count` of them */
    uint32_t count;
    uint32_t reserved;
} ptp_ask;

enum { PTP_PRECISION_EXACT = 0, PTP_PRECISION_FAST = 1 };

/** Verdict on a whole cluster. */
enum { PTP_ACCEPT = 0, PTP_TRIM = 1, PTP_DECLINE = 2 };

typedef struct ptp_offer {
    uint32_t size;
    uint32_t precision;
    const ptp_block *block; /* the cluster as a part */
    uint8_t *drop;          /* out, for PTP_TRIM: per node of graph 0, 1 to give back; zeroed by the host */
    uint32_t verdict;       /* out: PTP_ACCEPT by default */
    uint32_t reason;        /* out: for PTP_TRIM and PTP_DECLINE */
    double us;              /* out: time of the whole cluster; < 0: sum of the units */
    char text[160];         /* out */
} ptp_offer;

/** How two memories are joined. */
enum { PTP_ROUTE_NONE = 0, PTP_ROUTE_SHARE = 1, PTP_ROUTE_IMPORT = 2, PTP_ROUTE_COPY = 3 };

/** Asked of both sides of an edge; the cheapest route that both can do is taken. */
typedef struct ptp_route {
    uint32_t size;
    uint32_t outgoing;           /* 1: this device is the source, 0: the target */
    uint32_t domain;             /* of this device */
    uint32_t peer_memory;        /* PTP_MEMORY_* of the other side; host memory: PTP_MEMORY_HOST */
    const ptp_device_info *peer; /* NULL: host memory */
    uint32_t route;              /* in: the route considered; out: PTP_ROUTE_NONE when this side cannot */
    uint32_t handle;             /* of PTP_ROUTE_IMPORT: PTP_HANDLE_* */
    double us;                   /* out: price, fixed part */
    double us_per_byte;          /* out */
} ptp_route;

/* ==== Compile ==================================================================================================== */

/** What the plugin does with a weight; it sets `mode` during compile. */
enum {
    PTP_WEIGHT_BORROW = 0,         /* reads `data` while the executable lives */
    PTP_WEIGHT_UPLOAD = 1,         /* has its own copy on the device; `data` is not read again */
    PTP_WEIGHT_REPACK_RELEASE = 2, /* has its own repacked copy; the source's pages may be dropped */
    PTP_WEIGHT_REPACK_SHARED = 3   /* as above, and shares it between executables under `id` */
};

typedef struct ptp_weight {
    uint32_t size;
    uint32_t mode;    /* out */
    uint64_t id;      /* equal ids are equal bytes, within this process */
    const void *data; /* packed, row-major, aligned to the element and at least 16 bytes */
    uint64_t bytes;
    int32_t fd; /* file that holds it; -1 */
    uint32_t reserved;
    uint64_t fd_offset;
    ptp_value *value; /* of a string or sparse weight; else NULL */
} ptp_weight;

typedef struct ptp_compile {
    uint32_t size;
    uint32_t precision;
    const ptp_block *block; /* the part; valid until the executable is destroyed */
    ptp_weight *weights;    /* by ptp_value_row.weight */
    uint32_t weight_count;
    uint32_t blob_is_set;
    const void *blob; /* from the host's cache: what `save` gave, checked by the host; NULL: compile. This version has
                         no cache: always NULL */
    uint64_t blob_bytes;
    ptp_job *job;     /* for job_progress and job_onnx */
    ptp_infer *infer; /* for ptp_host.infer, valid until the executable is destroyed */
    const ptp_extension *next;
    uint32_t flags; /* out: PTP_EXECUTABLE_*; 0 when not written */
    uint32_t reserved;
} ptp_compile;

/** What an executable is. */
enum {
    PTP_EXECUTABLE_SERIAL = 1u /* calls of its exec must not overlap, though its device is concurrent: the host makes
                                  them one after the other */
};

/** What an output is. */
enum {
    PTP_PORT_STATIC = 0,  /* its shape follows from input shapes: the host allocates it */
    PTP_PORT_BOUNDED = 1, /* the host allocates the most that it may have: exec finds these bytes in `outputs`, with
                             dims NULL, and tells the real dims through run_alloc_output */
    PTP_PORT_DATA_DEPENDENT = 2 /* the run calls run_alloc_output or run_set_output */
};

/** No bound is known. */
#define PTP_NO_BOUND UINT64_MAX

typedef struct ptp_port {
    uint32_t size;
    uint32_t domain;    /* index of the device's domains, or PTP_DOMAIN_HOST */
    uint32_t alignment; /* of the address or offset; at least the element's */
    uint32_t output;    /* PTP_PORT_*; of inputs 0 */
    uint32_t alias;     /* output: input whose bytes it may take over, when both have as many and nobody else reads the
                           input later. The host gives both the same memory or not, run by run. PARTITA_NONE: never */
    uint32_t reserved;
    uint64_t max_bytes; /* of a bounded output, at any shape; 0: ptp_resize.bounds tells it for each */
    /* Of an input of known rank: int64_t[rank], the smallest and the largest dims that the executable takes; NULL: any.
       They live as long as the executable. A run outside of them goes to another device. */
    const int64_t *min_dims;
    const int64_t *max_dims;
} ptp_port;

/** An executable at fixed shapes. */
typedef struct ptp_resize {
    uint32_t size;
    uint32_t shape_count;       /* values of the part's block */
    const ptp_shape *shapes;    /* by row of values; unknown where data decides */
    uint64_t scratch_bytes;     /* out: in the device's domain 0, or host memory; the host gives it to each exec */
    uint32_t scratch_alignment; /* out */
    uint32_t output_count;      /* of `bounds` */
    uint64_t *bounds; /* by output; in: ptp_port.max_bytes, PTP_NO_BOUND where that is 0; out: bytes that a bounded
                         output has at most at these shapes. PTP_NO_BOUND: in this instance it is data-dependent */
} ptp_resize;

typedef struct ptp_exec {
    uint32_t size;
    uint32_t input_count;
    ptp_run *run;
    const ptp_tensor *inputs; /* by port */
    ptp_tensor *outputs;      /* by port: static and bounded ones are allocated; others, and the dims of bounded ones,
                                 are told through the host */
    uint32_t output_count;
    uint32_t wait_count;
    const ptp_point *waits; /* points of this same device that come before, in order: only when IN_ORDER is unset */
    ptp_point done;         /* to be signalled, by an async device when the work is complete, else before return */
    ptp_buffer *scratch;    /* NULL: host memory at scratch_data */
    uint64_t scratch_offset;
    void *scratch_data;
    uint64_t scratch_bytes;
    const ptp_extension *next;
} ptp_exec;

/* ==== Vtables ==================================================================================================== */

/** One copy. A side without buffer is host memory at the address. */
typedef struct ptp_copy {
    uint32_t size;
    uint32_t reserved;
    ptp_buffer *source;
    uint64_t source_offset;
    const void *source_data;
    ptp_buffer *target;
    uint64_t target_offset;
    void *target_data;
    uint64_t bytes;
} ptp_copy;

enum { PTP_MAP_READ = 1, PTP_MAP_WRITE = 2 };

/** Memory of a device. Absent as a whole: the device works in host memory. All thread-safe. */
typedef struct ptp_memory_vtable {
    uint32_t size;
    uint32_t reserved;
    /** required. Uninitialised. PARTITA_OUT_OF_MEMORY when there is none. */
    partita_status (*alloc)(ptp_device *device, uint32_t domain, uint64_t bytes, ptp_buffer **out_buffer);
    /** required. No work that uses the buffer is under way. NULL is accepted. */
    void (*free)(ptp_device *device, ptp_buffer *buffer);
    /** required. Batched: all sources are ready when it is called; `done` is signalled when all are complete. */
    partita_status (*copy)(ptp_device *device, const ptp_copy *copies, uint32_t count, ptp_point done);
    /** optional: default is that the host copies. The range is the host's to read or write until unmap; blocks until
     *  the device's earlier work on it is complete. Of an imported host pointer it returns that address, and is how
     *  the device's writes become visible. */
    partita_status (*map)(ptp_device *device, ptp_buffer *buffer, uint64_t offset, uint64_t bytes, uint32_t access,
                          void **out_data);
    partita_status (*unmap)(ptp_device *device, ptp_buffer *buffer, void *data); /* required with `map` */
    /** optional: default is that nothing is exported. The handle lives as long as the buffer. */
    partita_status (*export_handle)(ptp_device *device, ptp_buffer *buffer, uint32_t handle_kind, int64_t *out_handle);
    /** optional: default is that nothing is imported. The buffer is freed by `free` before its memory goes. */
    partita_status (*import_handle)(ptp_device *device, uint32_t domain, uint32_t handle_kind, int64_t handle,
                                    uint64_t bytes, ptp_buffer **out_buffer);
} ptp_memory_vtable;

typedef struct ptp_executable_vtable {
    uint32_t size;
    uint32_t reserved;
    /** required. No run is under way. NULL is accepted. */
    void (*destroy)(ptp_executable *executable);
    /** required. Arrays of as many ports as graph 0 has inputs and outputs, `size` set by the host. */
    partita_status (*ports)(ptp_executable *executable, ptp_port *inputs, ptp_port *outputs);
    /** required. Cheap: sizes and offsets only, never compile or pack. Thread-compatible per executable. */
    partita_status (*resize)(ptp_executable *executable, ptp_resize *resize, ptp_instance **out_instance);
    /** required. NULL is accepted. */
    void (*release)(ptp_executable *executable, ptp_instance *instance);
    /** required. Enqueues or runs. On an error return `done` is not signalled. */
    partita_status (*exec)(ptp_executable *executable, ptp_instance *instance, const ptp_exec *exec);
    /** optional: default is that nothing is cached. Calls `put` once or more. Not called by this version. */
    partita_status (*save)(ptp_executable *executable, void *sink,
                           partita_status (*put)(void *sink, const void *bytes, uint64_t size));
} ptp_executable_vtable;

typedef struct ptp_usage {
    uint32_t size;
    uint32_t programs_built; /* kernels compiled since the device was opened */
    uint64_t weight_bytes;
    uint64_t buffer_bytes;
    uint64_t copies; /* as the device counted them */
    uint64_t copied_bytes;
    uint64_t launches; /* kernels or parts started */
    uint64_t busy_ns;  /* time spent computing, as the device measures it; 0: not measured */
} ptp_usage;

typedef struct ptp_device_vtable {
    uint32_t size;
    uint32_t reserved;
    /** required. Thread-safe. */
    partita_status (*info)(ptp_device *device, ptp_device_info *out_info);
    /** required. One answer per asked unit, `size` set by the host. Thread-safe. Answers depend on the block and the
     *  device alone. */
    partita_status (*ask)(ptp_device *device, const ptp_ask *ask, ptp_answer *answers);
    /** optional: default is to accept. Thread-safe. */
    partita_status (*offer)(ptp_device *device, ptp_offer *offer);
    /** required. PARTITA_CANNOT_COMPILE is a normal answer: the part goes elsewhere. Thread-safe. */
    partita_status (*compile)(ptp_device *device, ptp_compile *compile, ptp_executable **out_executable);
    /** optional: default is copy from and to host memory at the prices of ptp_device_info. Thread-safe. */
    partita_status (*route)(ptp_device *device, ptp_route *route);
    /** optional: descriptor of what a cached blob needs (driver, firmware: from live versions). Not called by this
     *  version. */
    partita_status (*cache_need)(ptp_device *device, char *text, uint64_t capacity);
    /** optional: default is zeros. Thread-safe. */
    partita_status (*usage)(ptp_device *device, ptp_usage *out_usage);
    /** optional: default is nothing. Gives back cached memory. Not called by this version. */
    partita_status (*trim)(ptp_device *device, uint64_t keep_bytes);
} ptp_device_vtable;

typedef struct ptp_plugin_vtable {
    uint32_t size;
    uint32_t reserved;
    /** required. Finds devices, without opening them. PARTITA_DEVICE_ABSENT with a message that names the missing
     *  library or driver: the plugin is fine, the machine has no device. */
    partita_status (*start)(const ptp_host *host, ptp_plugin **out_plugin);
    /** required. Joins threads, frees everything. PARTITA_BUSY while devices are open. */
    partita_status (*stop)(ptp_plugin *plugin);
    /** required. Devices that can be opened. */
    uint32_t (*device_count)(ptp_plugin *plugin);
    /** required. Opens device `index`, 0 .. device_count - 1, with options that the rows name. */
    partita_status (*open)(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                           ptp_device **out_device);
    /** required. NULL is accepted. */
    void (*close)(ptp_device *device);
    /** optional: default is the info of the opened device. Info without opening it. */
    partita_status (*peek)(ptp_plugin *plugin, uint32_t index, ptp_device_info *out_info);
    /** optional: default is none. Rows live as long as the library. */
    const ptp_option_row *(*options)(ptp_plugin *plugin, uint32_t index, uint32_t *out_count);
} ptp_plugin_vtable;

/** What the query returns; constant data. */
typedef struct ptp_plugin_info {
    uint32_t size;
    uint32_t abi; /* the version agreed on */
    const char *name;
    const char *version;
    const char *sanitizer;                   /* "", "address", "thread", "memory": must match the host's */
    const ptp_plugin_vtable *plugin;         /* required, unless the plugin is an operator set only */
    const ptp_device_vtable *device;         /* required, unless the plugin is an operator set only */
    const ptp_executable_vtable *executable; /* required with `device` */
    const ptp_memory_vtable *memory;         /* optional: devices work in host memory */
    const ptp_operator_set *operator_set;    /* optional: operators that it brings */
    const ptp_extension *next;
} ptp_plugin_info;

/** What the host tells when it queries. */
typedef struct ptp_query {
    uint32_t size;
    uint32_t abi_min; /* versions that the host speaks */
    uint32_t abi_max;
    uint32_t reserved;
    void *self;
    /** Why the query returns NULL. */
    void (*refuse)(void *self, const char *message);
} ptp_query;

typedef const ptp_plugin_info *(*ptp_query_fn)(const ptp_query *query);

#if defined(__SANITIZE_ADDRESS__)
#define PTP_SANITIZER "address"
#elif defined(__SANITIZE_THREAD__)
#define PTP_SANITIZER "thread"
#else
#define PTP_SANITIZER ""
#endif

#ifdef __cplusplus
#define PTP_EXTERN_C extern "C"
#else
#define PTP_EXTERN_C
#endif
#if defined(__GNUC__)
#define PTP_EXPORT PTP_EXTERN_C __attribute__((visibility("default")))
#else
#define PTP_EXPORT PTP_EXTERN_C
#endif

/** The newest version that host and plugin both speak; 0, and the host knows why, when their ranges do not meet. */
static inline uint32_t ptp_agree(const ptp_query *query, uint32_t oldest, uint32_t newest, const char *refusal) {
    uint32_t abi = query->abi_max < newest ? query->abi_max : newest;
    if (abi >= oldest && abi >= query->abi_min && abi > 0) return abi;
    if (query->refuse) query->refuse(query->self, refusal);
    return 0;
}

#define PTP_TEXT_OF(number) #number
#define PTP_TEXT(number)    PTP_TEXT_OF(number)

/** Versions from PTP_ABI_OLDEST to PTP_ABI_VERSION, a row for each. */
#define PTP_ABI_ROWS(X, ...) X(1, __VA_ARGS__)

#define PTP_PLUGIN_INFO(abi, name, version, plugin, device, executable, memory, next)                                  \
    {sizeof(ptp_plugin_info), abi, name, version, PTP_SANITIZER, plugin, device, executable, memory, NULL, next},

/**
 * Defines the one exported symbol: agrees on the ABI version (the newest that both sides know) and returns the plugin's
 * tables. PTP_DEFINE_PLUGIN("name", "1.0", &plugin_vtable, &device_vtable, &executable_vtable, &memory_vtable, NULL);
 * the last one is the chain of extensions.
 */
#define PTP_DEFINE_PLUGIN(name, version, plugin, device, executable, memory, extensions)                               \
    PTP_EXPORT const ptp_plugin_info *partita_plugin_query(const ptp_query *query);                                    \
    PTP_EXPORT const ptp_plugin_info *partita_plugin_query(const ptp_query *query) {                                   \
        static const ptp_plugin_info infos[] = {                                                                       \
            PTP_ABI_ROWS(PTP_PLUGIN_INFO, name, version, plugin, device, executable, memory, extensions)};             \
        uint32_t abi = ptp_agree(query, PTP_ABI_OLDEST, PTP_ABI_VERSION,                                               \
                                 "it speaks ABI " PTP_TEXT(PTP_ABI_OLDEST) " to " PTP_TEXT(PTP_ABI_VERSION));          \
        return abi ? &infos[abi - PTP_ABI_OLDEST] : NULL;                                                              \
    }

#ifdef __cplusplus
}
#endif
#endif
