/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin that takes values of every kind: Echo takes one apart by the host's accessors and builds it anew, NonZero
 * and NonMaxSuppression have outputs whose shape depends on data, Mapped wants a weight that lies in a file, Fail
 * fails. Everything runs on a thread of the plugin's own, so that nothing borrowed during a call may be used later.
 * Options make its outputs bounded, or what it says of its ports wrong.
 */
#include <partita/block.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HOST(call, ...) host->call(host->self, __VA_ARGS__)

enum { MOST_OUTPUTS = 8 };

struct ptp_plugin {
    const ptp_host *host;
    int open;
};

typedef struct task task;
struct ptp_device {
    ptp_plugin *plugin;
    const ptp_host *host;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    task *first, *last;
    int closing;
    uint64_t launches;
    uint64_t bound; /* bytes of each output; 0: they depend on data */
    char lie[16];   /* about ports: "alias", "output", "domain", "alignment"; "" */
};

struct ptp_executable {
    ptp_device *device;
    const ptp_block *block;
    ptp_value **constants; /* by row of values; NULL where not constant */
};

/* What exec leaves for the thread. */
struct task {
    task *next;
    ptp_executable *executable;
    ptp_run *run;
    ptp_point done;
    ptp_value **values;       /* by row of values */
    void *room[MOST_OUTPUTS]; /* memory that was there before, of bounded outputs */
    uint64_t room_bytes[MOST_OUTPUTS];
    char message[256];
};

static partita_status fail(const ptp_host *host, partita_status code, const char *text) {
    HOST(fail, code, text);
    return code;
}

static partita_status task_fail(task *t, partita_status code, const char *text) {
    snprintf(t->message, sizeof(t->message), "%s", text);
    return code;
}

/* ---- values ---------------------------------------------------------------------------------- */

static partita_status new_dense(const ptp_host *host, const ptp_tensor *from, ptp_value **out) {
    ptp_tensor to = {.size = sizeof(to)};
    partita_status status = HOST(value_new_tensor, from->dtype, from->rank, from->dims, out);
    if (status == PARTITA_OK) status = HOST(value_tensor, *out, &to);
    if (status == PARTITA_OK && from->bytes) memcpy(to.data, from->data, (size_t)from->bytes);
    return status;
}

static partita_status rebuild(const ptp_host *host, const ptp_value *from, ptp_value **out);

static partita_status rebuild_tensor(const ptp_host *host, const ptp_value *from, ptp_value **out) {
    ptp_tensor tensor = {.size = sizeof(tensor)};
    partita_status status = HOST(value_tensor, from, &tensor);
    const uint64_t *offsets;
    const char *bytes;
    uint64_t count;
    if (status != PARTITA_OK) return status;
    if (tensor.dtype != PARTITA_STRING) return new_dense(host, &tensor, out);
    status = HOST(value_strings, from, &offsets, &bytes, &count);
    if (status != PARTITA_OK) return status;
    return HOST(value_new_strings, tensor.rank, tensor.dims, offsets, bytes, out);
}

static partita_status rebuild_sparse(const ptp_host *host, const ptp_value *from, ptp_value **out) {
    ptp_tensor dense = {.size = sizeof(dense)};
    ptp_value *values, *indices, *new_values = NULL, *new_indices = NULL;
    partita_status status = HOST(value_tensor, from, &dense);
    if (status == PARTITA_OK) status = HOST(value_sparse, from, &values, &indices);
    if (status == PARTITA_OK) status = rebuild(host, values, &new_values);
    if (status == PARTITA_OK) status = rebuild(host, indices, &new_indices);
    if (status == PARTITA_OK) status = HOST(value_new_sparse, dense.rank, dense.dims, new_values, new_indices, out);
    if (new_values) HOST(value_release, new_values);
    if (new_indices) HOST(value_release, new_indices);
    return status;
}

static partita_status rebuild_container(const ptp_host *host, const ptp_value *from, partita_kind kind,
                                        ptp_value **out) {
    uint64_t count = HOST(value_count, from), made = 0;
    ptp_value **items = calloc((size_t)count + 1, sizeof(*items));
    partita_status status = items ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
    for (; status == PARTITA_OK && made < count; made++) {
        status = rebuild(host, HOST(value_item, from, made), &items[made]);
    }
    if (status == PARTITA_OK) status = HOST(value_new_container, kind, PARTITA_FLOAT32, items, count, out);
    for (uint64_t i = 0; items && i < made; i++) {
        if (items[i]) HOST(value_release, items[i]);
    }
    free(items);
    return status;
}

static partita_status rebuild(const ptp_host *host, const ptp_value *from, ptp_value **out) {
    partita_kind kind = HOST(value_kind, from);
    *out = NULL;
    if (kind == PARTITA_KIND_TENSOR) return rebuild_tensor(host, from, out);
    if (kind == PARTITA_KIND_SPARSE) return rebuild_sparse(host, from, out);
    return rebuild_container(host, from, kind, out);
}

/* ---- operators ------------------------------------------------------------------------------- */

static ptp_value *input_of(const task *t, const ptp_node_row *node, uint32_t index) {
    uint32_t row = ptp_ref_id(t->executable->block, node->inputs, index);
    if (row == PARTITA_NONE) return NULL;
    return t->executable->constants[row] ? t->executable->constants[row] : t->values[row];
}

static partita_status tensor_of(const ptp_host *host, const ptp_value *value, ptp_tensor *out) {
    *out = (ptp_tensor){.size = sizeof(*out)};
    return value ? HOST(value_tensor, value, out) : PARTITA_INVALID_ARGUMENT;
}

static partita_status new_indices(const ptp_host *host, uint32_t rows, uint32_t columns, const int64_t *data,
                                  ptp_value **out) {
    const int64_t dims[] = {rows, columns};
    const ptp_tensor tensor = {.size = sizeof(tensor),
                               .dtype = PARTITA_INT64,
                               .rank = 2,
                               .dims = dims,
                               .data = (void *)(uintptr_t)data,
                               .bytes = (uint64_t)rows * columns * sizeof(*data)};
    return new_dense(host, &tensor, out);
}

/* Of a matrix of float32: row and column of what isn't 0, as [2, n]. */
static partita_status non_zero(task *t, const ptp_node_row *node, ptp_value **out) {
    const ptp_host *host = t->executable->device->host;
    ptp_tensor x;
    int64_t found[2 * 64];
    uint32_t n = 0, count;
    partita_status status = tensor_of(host, input_of(t, node, 0), &x);
    if (status != PARTITA_OK) return status;
    if (x.rank != 2 || x.dtype != PARTITA_FLOAT32 || x.bytes > 64 * sizeof(float))
        return task_fail(t, PARTITA_BAD_INPUT, "NonZero");
    count = (uint32_t)(x.bytes / sizeof(float));
    for (uint32_t i = 0; i < count; i++) n += ((const float *)x.data)[i] != 0;
    for (uint32_t i = 0, k = 0; i < count; i++) {
        if (((const float *)x.data)[i] == 0) continue;
        found[k] = (int64_t)i / x.dims[1];
        found[n + k++] = (int64_t)i % x.dims[1];
    }
    return new_indices(host, 2, n, found, out);
}

static float overlap(const float *a, const float *b) {
    float top = a[0] > b[0] ? a[0] : b[0], left = a[1] > b[1] ? a[1] : b[1];
    float bottom = a[2] < b[2] ? a[2] : b[2], right = a[3] < b[3] ? a[3] : b[3];
    float both = top < bottom && left < right ? (bottom - top) * (right - left) : 0;
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both);
}

/* One batch, one class, corners in order: indices [n, 3] of the boxes that stay, best first. */
static partita_status suppress(task *t, const ptp_node_row *node, ptp_value **out) {
    const ptp_host *host = t->executable->device->host;
    ptp_tensor boxes, scores, most, threshold;
    int64_t kept[3 * 16];
    uint32_t n = 0, count;
    int taken[16] = {0};
    if (tensor_of(host, input_of(t, node, 0), &boxes) != PARTITA_OK ||
        tensor_of(host, input_of(t, node, 1), &scores) != PARTITA_OK ||
        tensor_of(host, input_of(t, node, 2), &most) != PARTITA_OK ||
        tensor_of(host, input_of(t, node, 3), &threshold) != PARTITA_OK || scores.bytes > 16 * sizeof(float)) {
        return task_fail(t, PARTITA_BAD_INPUT, "NonMaxSuppression");
    }
    count = (uint32_t)(scores.bytes / sizeof(float));
    for (uint32_t round = 0; round < count && n < *(const int64_t *)most.data; round++) {
        uint32_t best = count;
        int stays = 1;
        for (uint32_t i = 0; i < count; i++) {
            if (!taken[i] && (best == count || ((const float *)scores.data)[i] > ((const float *)scores.data)[best]))
                best = i;
        }
        taken[best] = 1;
        for (uint32_t i = 0; i < n; i++) {
            stays &= overlap((const float *)boxes.data + 4 * best, (const float *)boxes.data + 4 * kept[3 * i + 2]) <=
                     *(const float *)threshold.data;
        }
        if (!stays) continue;
        kept[3 * n] = kept[3 * n + 1] = 0;
        kept[3 * n++ + 2] = best;
    }
    return new_indices(host, n, 3, kept, out);
}

static partita_status echo(task *t, const ptp_node_row *node, ptp_value **out) {
    return rebuild(t->executable->device->host, input_of(t, node, 0), out);
}

static partita_status fail_later(task *t, const ptp_node_row *node, ptp_value **out) {
    (void)node;
    (void)out;
    usleep(2000);
    return task_fail(t, PARTITA_DEVICE_FAILED, "the queue ran dry");
}

static const struct {
    const char *op;
    partita_status (*run)(task *t, const ptp_node_row *node, ptp_value **out);
} operators[] = {
    {"Echo", echo}, {"Mapped", echo}, {"Fail", fail_later}, {"NonZero", non_zero}, {"NonMaxSuppression", suppress}};

static int operator_of(const ptp_block *block, const ptp_node_row *node) {
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        if (ptp_str_is(ptp_ref_str(block, node->op), operators[i].op)) return (int)i;
    }
    return -1;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Dense outputs get the host's memory, others go as handles. */
static partita_status give(task *t, uint32_t port, ptp_value *value) {
    const ptp_host *host = t->executable->device->host;
    ptp_tensor tensor = {.size = sizeof(tensor)}, out = {.size = sizeof(out)};
    partita_status status;
    if (HOST(value_kind, value) != PARTITA_KIND_TENSOR) return HOST(run_set_output, t->run, port, value);
    status = HOST(value_tensor, value, &tensor);
    if (status != PARTITA_OK || tensor.dtype == PARTITA_STRING) return HOST(run_set_output, t->run, port, value);
    if (port < MOST_OUTPUTS && t->room[port] && tensor.bytes <= t->room_bytes[port])
        memcpy(t->room[port], tensor.data, (size_t)tensor.bytes); /* computed first, told then */
    status = HOST(run_alloc_output, t->run, port, tensor.dtype, tensor.rank, tensor.dims, &out);
    if (status == PARTITA_OK && port < MOST_OUTPUTS && t->room[port])
        return out.data == t->room[port] ? status : task_fail(t, PARTITA_INTERNAL, "the output moved");
    if (status == PARTITA_OK && tensor.bytes) memcpy(out.data, tensor.data, (size_t)tensor.bytes);
    return status;
}

static partita_status task_run(task *t) {
    const ptp_block *block = t->executable->block;
    ptp_graph_row graph = ptp_graph_at(block, 0);
    partita_status status = PARTITA_OK;
    for (uint32_t i = 0; i < graph.node_count && status == PARTITA_OK; i++) {
        ptp_node_row node = ptp_node_at(block, graph.first_node + i);
        status = operators[operator_of(block, &node)].run(t, &node, &t->values[ptp_ref_id(block, node.outputs, 0)]);
    }
    for (uint32_t i = 0; i < graph.outputs.count && status == PARTITA_OK; i++) {
        status = give(t, i, t->values[ptp_ref_id(block, graph.outputs, i)]);
    }
    return status;
}

static void task_destroy(task *t) {
    const ptp_host *host = t->executable->device->host;
    for (uint32_t i = 0; t->values && i < t->executable->block->values.count; i++) {
        if (t->values[i]) HOST(value_release, t->values[i]);
    }
    free(t->values);
    free(t);
}

static void *thread_run(void *user) {
    ptp_device *device = user;
    const ptp_host *host = device->host;
    pthread_mutex_lock(&device->lock);
    while (device->first || !device->closing) {
        task *t = device->first;
        if (!t) {
            pthread_cond_wait(&device->changed, &device->lock);
            continue;
        }
        device->first = t->next;
        if (!device->first) device->last = NULL;
        device->launches++;
        pthread_mutex_unlock(&device->lock);
        partita_status status = task_run(t);
        ptp_point done = t->done;
        char message[sizeof(t->message)];
        memcpy(message, t->message, sizeof(message));
        task_destroy(t);
        HOST(timeline_signal, done.timeline, done.value, status, status == PARTITA_OK ? NULL : message);
        pthread_mutex_lock(&device->lock);
    }
    pthread_mutex_unlock(&device->lock);
    return NULL;
}

/* ---- executables ----------------------------------------------------------------------------- */

static void executable_destroy(ptp_executable *executable) {
    if (!executable) return;
    const ptp_host *host = executable->device->host;
    for (uint32_t i = 0; executable->constants && i < executable->block->values.count; i++) {
        if (executable->constants[i]) HOST(value_release, executable->constants[i]);
    }
    free(executable->constants);
    free(executable);
}

/* A weight is kept as a value, made of its bytes or the handle that it comes as. */
static partita_status take_weight(const ptp_host *host, const ptp_value_row *row, const ptp_block *block,
                                  ptp_weight *weight, ptp_value **out) {
    ptp_tensor tensor = {.size = sizeof(tensor),
                         .dtype = row->dtype,
                         .rank = (uint32_t)row->rank,
                         .dims = ptp_ref_data(block, row->dims),
                         .data = (void *)(uintptr_t)weight->data,
                         .bytes = weight->bytes};
    weight->mode = PTP_WEIGHT_UPLOAD;
    if (!weight->value) return new_dense(host, &tensor, out);
    HOST(value_retain, weight->value);
    *out = weight->value;
    return PARTITA_OK;
}

/* The file that holds the weight has the same bytes at the place that the host names. */
static int is_mapped(const ptp_weight *weight) {
    char *bytes = malloc((size_t)weight->bytes);
    int same = bytes && weight->fd >= 0 &&
               pread(weight->fd, bytes, (size_t)weight->bytes, (off_t)weight->fd_offset) == (ssize_t)weight->bytes &&
               memcmp(bytes, weight->data, (size_t)weight->bytes) == 0;
    free(bytes);
    return same;
}

static ptp_weight *weight_at(const ptp_compile *compile, uint32_t index) {
    return (ptp_weight *)(void *)((char *)compile->weights + (size_t)index * compile->weights->size);
}

static partita_status device_compile(ptp_device *device, ptp_compile *compile, ptp_executable **out_executable) {
    const ptp_host *host = device->host;
    const ptp_block *block = compile->block;
    ptp_graph_row graph = ptp_graph_at(block, 0);
    ptp_executable *executable = calloc(1, sizeof(*executable));
    partita_status status = executable ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
    *out_executable = NULL;
    if (!executable) return fail(host, status, "out of memory");
    executable->device = device;
    executable->block = block;
    executable->constants = calloc(block->values.count + 1u, sizeof(ptp_value *));
    if (!executable->constants) status = fail(host, PARTITA_OUT_OF_MEMORY, "out of memory");
    for (uint32_t i = 0; i < block->values.count && status == PARTITA_OK; i++) {
        ptp_value_row row = ptp_value_at(block, i);
        if (row.weight == PARTITA_NONE) continue;
        status = take_weight(host, &row, block, weight_at(compile, row.weight), &executable->constants[i]);
    }
    for (uint32_t i = 0; i < graph.node_count && status == PARTITA_OK; i++) {
        ptp_node_row node = ptp_node_at(block, graph.first_node + i);
        if (!ptp_str_is(ptp_ref_str(block, node.op), "Mapped")) continue;
        ptp_value_row row = ptp_value_at(block, ptp_ref_id(block, node.inputs, 0));
        if (row.weight == PARTITA_NONE || !is_mapped(weight_at(compile, row.weight))) {
            status = fail(host, PARTITA_CANNOT_COMPILE, "the weight does not lie in a file");
        }
    }
    if (status != PARTITA_OK) {
        executable_destroy(executable);
        return status;
    }
    *out_executable = executable;
    return PARTITA_OK;
}

static void lie_about(const char *what, ptp_port *port) {
    if (strcmp(what, "alias") == 0) port->alias = 77;
    if (strcmp(what, "output") == 0) port->output = 77;
    if (strcmp(what, "domain") == 0) port->domain = 77;
    if (strcmp(what, "alignment") == 0) port->alignment = 77;
}

static partita_status executable_ports(ptp_executable *executable, ptp_port *inputs, ptp_port *outputs) {
    ptp_graph_row graph = ptp_graph_at(executable->block, 0);
    for (uint32_t i = 0; i < graph.inputs.count; i++) {
        ptp_port *port = (ptp_port *)(void *)((char *)inputs + (size_t)i * inputs->size);
        port->domain = PTP_DOMAIN_HOST;
        port->alignment = 16;
    }
    for (uint32_t i = 0; i < graph.outputs.count; i++) {
        ptp_port *port = (ptp_port *)(void *)((char *)outputs + (size_t)i * outputs->size);
        port->domain = PTP_DOMAIN_HOST;
        port->alignment = 16;
        port->output = PTP_PORT_DATA_DEPENDENT;
        port->alias = PARTITA_NONE;
        if (executable->device->bound) {
            port->output = PTP_PORT_BOUNDED;
            port->max_bytes = executable->device->bound;
        }
        lie_about(executable->device->lie, port);
    }
    return PARTITA_OK;
}

static partita_status executable_resize(ptp_executable *executable, ptp_resize *resize, ptp_instance **out_instance) {
    resize->scratch_bytes = 0;
    resize->scratch_alignment = 1;
    *out_instance = (ptp_instance *)(void *)executable; /* shapes make no difference */
    return PARTITA_OK;
}

static void executable_release(ptp_executable *executable, ptp_instance *instance) {
    (void)executable;
    (void)instance;
}

static partita_status executable_exec(ptp_executable *executable, ptp_instance *instance, const ptp_exec *exec) {
    ptp_device *device = executable->device;
    const ptp_host *host = device->host;
    ptp_graph_row graph = ptp_graph_at(executable->block, 0);
    partita_status status = PARTITA_OK;
    task *t = calloc(1, sizeof(*t));
    (void)instance;
    if (!t) return fail(host, PARTITA_OUT_OF_MEMORY, "out of memory");
    t->executable = executable;
    t->run = exec->run;
    t->done = exec->done;
    t->values = calloc(executable->block->values.count + 1u, sizeof(*t->values));
    if (!t->values) status = fail(host, PARTITA_OUT_OF_MEMORY, "out of memory");
    for (uint32_t i = 0; i < exec->output_count && i < MOST_OUTPUTS; i++) {
        const ptp_tensor *tensor =
            (const ptp_tensor *)(const void *)((const char *)exec->outputs + (size_t)i * exec->outputs->size);
        t->room[i] = tensor->data;
        t->room_bytes[i] = tensor->bytes;
    }
    for (uint32_t i = 0; i < exec->input_count && status == PARTITA_OK; i++) {
        const ptp_tensor *tensor =
            (const ptp_tensor *)(const void *)((const char *)exec->inputs + (size_t)i * exec->inputs->size);
        ptp_value **value = &t->values[ptp_ref_id(executable->block, graph.inputs, i)];
        if (!tensor->value) {
            status = new_dense(host, tensor, value);
            continue;
        }
        HOST(value_retain, tensor->value);
        *value = tensor->value;
    }
    if (status != PARTITA_OK) {
        task_destroy(t);
        return status;
    }
    pthread_mutex_lock(&device->lock);
    if (device->last)
        device->last->next = t;
    else
        device->first = t;
    device->last = t;
    pthread_cond_signal(&device->changed);
    pthread_mutex_unlock(&device->lock);
    return PARTITA_OK;
}

/* ---- device and plugin ----------------------------------------------------------------------- */

static void out(void *to, const void *from, uint32_t size) {
    uint32_t theirs;
    memcpy(&theirs, to, sizeof(theirs));
    memcpy(to, from, theirs < size ? theirs : size);
    memcpy(to, &theirs, sizeof(theirs));
}

static partita_status device_info(ptp_device *device, ptp_device_info *out_info) {
    ptp_device_info info = {
        .size = sizeof(info), .kind = "echo", .description = "values of every kind", .resources = {{"echo"}}};
    (void)device;
    info.flags =
        PTP_DEVICE_SIMULATED | PTP_DEVICE_ALL_KINDS | PTP_DEVICE_ASYNC | PTP_DEVICE_IN_ORDER | PTP_DEVICE_CONCURRENT;
    info.flops_per_us = info.bytes_per_us = 1000;
    out(out_info, &info, sizeof(info));
    return PARTITA_OK;
}

static partita_status device_ask(ptp_device *device, const ptp_ask *ask, ptp_answer *answers) {
    (void)device;
    for (uint32_t i = 0; i < ask->count; i++) {
        ptp_unit_row unit = ptp_unit_at(ask->block, ask->units[i]);
        ptp_answer answer = {.size = sizeof(answer), .can = PTP_YES, .us = 1};
        for (uint32_t n = 0; n < unit.nodes.count; n++) {
            ptp_node_row node = ptp_node_at(ask->block, ptp_ref_id(ask->block, unit.nodes, n));
            if (operator_of(ask->block, &node) >= 0) continue;
            answer.can = PTP_NO;
            answer.reason = PARTITA_REASON_OP;
            snprintf(answer.text, sizeof(answer.text), "no such echo");
        }
        out((char *)answers + (size_t)i * answers->size, &answer, sizeof(answer));
    }
    return PARTITA_OK;
}

static partita_status device_usage(ptp_device *device, ptp_usage *out_usage) {
    ptp_usage usage = {.size = sizeof(usage)};
    pthread_mutex_lock(&device->lock);
    usage.launches = device->launches;
    pthread_mutex_unlock(&device->lock);
    out(out_usage, &usage, sizeof(usage));
    return PARTITA_OK;
}

static partita_status plugin_start(const ptp_host *host, ptp_plugin **out_plugin) {
    ptp_plugin *plugin = calloc(1, sizeof(*plugin));
    *out_plugin = plugin;
    if (!plugin) return fail(host, PARTITA_OUT_OF_MEMORY, "out of memory");
    plugin->host = host;
    return PARTITA_OK;
}

static partita_status plugin_stop(ptp_plugin *plugin) {
    if (plugin->open) return fail(plugin->host, PARTITA_BUSY, "a device is open");
    free(plugin);
    return PARTITA_OK;
}

static uint32_t plugin_device_count(ptp_plugin *plugin) {
    (void)plugin;
    return 1;
}

static partita_status plugin_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                                  ptp_device **out_device) {
    ptp_device *device = calloc(1, sizeof(*device));
    (void)index;
    *out_device = NULL;
    if (!device) return fail(plugin->host, PARTITA_OUT_OF_MEMORY, "out of memory");
    device->plugin = plugin;
    device->host = plugin->host;
    for (uint32_t i = 0; i < option_count; i++) {
        if (strcmp(options[i].name, "bound") == 0) device->bound = strtoull(options[i].value, NULL, 10);
        if (strcmp(options[i].name, "lie") == 0) snprintf(device->lie, sizeof(device->lie), "%s", options[i].value);
    }
    pthread_mutex_init(&device->lock, NULL);
    pthread_cond_init(&device->changed, NULL);
    if (pthread_create(&device->thread, NULL, thread_run, device) != 0) {
        free(device);
        return fail(plugin->host, PARTITA_OUT_OF_MEMORY, "no thread can be started");
    }
    plugin->open++;
    *out_device = device;
    return PARTITA_OK;
}

static const ptp_option_row *plugin_options(ptp_plugin *plugin, uint32_t index, uint32_t *out_count) {
    static const ptp_option_row rows[] = {
        {sizeof(ptp_option_row), 0, "bound", "int", "0", "bytes that outputs have at most"},
        {sizeof(ptp_option_row), 0, "lie", "alias|output|domain|alignment", "", "what is wrong with its ports"}};
    (void)plugin;
    (void)index;
    *out_count = 2;
    return rows;
}

static void plugin_close(ptp_device *device) {
    if (!device) return;
    pthread_mutex_lock(&device->lock);
    device->closing = 1;
    pthread_cond_signal(&device->changed);
    pthread_mutex_unlock(&device->lock);
    pthread_join(device->thread, NULL);
    pthread_cond_destroy(&device->changed);
    pthread_mutex_destroy(&device->lock);
    device->plugin->open--;
    free(device);
}

static const ptp_plugin_vtable plugin_table = {.size = sizeof(ptp_plugin_vtable),
                                               .start = plugin_start,
                                               .stop = plugin_stop,
                                               .device_count = plugin_device_count,
                                               .open = plugin_open,
                                               .close = plugin_close,
                                               .options = plugin_options};
static const ptp_device_vtable device_table = {.size = sizeof(ptp_device_vtable),
                                               .info = device_info,
                                               .ask = device_ask,
                                               .compile = device_compile,
                                               .usage = device_usage};
static const ptp_executable_vtable executable_table = {.size = sizeof(ptp_executable_vtable),
                                                       .destroy = executable_destroy,
                                                       .ports = executable_ports,
                                                       .resize = executable_resize,
                                                       .release = executable_release,
                                                       .exec = executable_exec};

PTP_DEFINE_PLUGIN("echo", "1.0", &plugin_table, &device_table, &executable_table, NULL, NULL)
