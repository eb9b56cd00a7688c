/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host of kernel tests: see fake_host.h.
 */
#include "plugins/cpu/fake_host.h"

#include "base/pool.h"

#include <partita/block.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct ptp_value {
    atomic_int references;
    partita_kind kind;
    partita_dtype dtype;
    uint32_t rank;
    int64_t dims[16];
    uint64_t bytes, count;
    void *data;        /* of a dense tensor; bytes of strings */
    uint64_t *offsets; /* of strings */
    ptp_value **items; /* of containers, of sparse tensors values and indices */
    uint64_t item_count;
};

static pt_pool *pool;
static atomic_llong alive;
static _Thread_local char failure_text[512];
static const ptp_block *known_block;
static const ptp_shape *known_shapes;

static void host_fail(void *self, partita_status code, const char *message) {
    (void)self, (void)code;
    snprintf(failure_text, sizeof(failure_text), "%s", message);
}

static void host_log(void *self, int32_t level, const char *message) { (void)self, (void)level, (void)message; }

/* Memory is filled, so that a kernel that counts on zeros is found. */
static void *host_alloc(void *self, uint64_t bytes, uint64_t alignment) {
    (void)self;
    void *block = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (block == NULL) return NULL;
    memset(block, 0xa5, bytes);
    atomic_fetch_add(&alive, 1);
    return block;
}

static void host_free(void *self, void *block) {
    (void)self;
    if (block == NULL) return;
    free(block);
    atomic_fetch_sub(&alive, 1);
}

static uint32_t host_workers(void *self) {
    (void)self;
    return pt_pool_workers(pool);
}

static void host_parallel(void *self, void (*fn)(void *, uint64_t, uint64_t, uint32_t), void *user, uint64_t n,
                          uint64_t grain) {
    (void)self;
    pt_pool_parallel(pool, fn, user, n, grain);
}

typedef struct team_call {
    void (*fn)(void *, ptp_team *, uint32_t, uint32_t);
    void *user;
} team_call;

static void team_enter(void *user, pt_team *team, uint32_t worker, uint32_t count) {
    team_call *call = user;
    call->fn(call->user, (ptp_team *)team, worker, count);
}

static void host_team(void *self, void (*fn)(void *, ptp_team *, uint32_t, uint32_t), void *user, uint32_t n) {
    team_call call = {fn, user};
    (void)self;
    pt_pool_team(pool, team_enter, &call, n);
}

static void host_barrier(ptp_team *team) { pt_team_barrier((pt_team *)team); }

static int32_t host_stopped(void *self, ptp_run *run) {
    (void)self, (void)run;
    return 0;
}

static uint32_t bits_of(partita_dtype dtype) {
    static const uint8_t bits[PARTITA_DTYPE_COUNT] = {
#define X(name, value, text, width) [value] = width,
        PARTITA_DTYPE_ROWS(X)
#undef X
    };
    return bits[dtype];
}

static uint64_t count_of(uint32_t rank, const int64_t *dims) {
    uint64_t count = 1;
    for (uint32_t i = 0; i < rank; i++) count *= (uint64_t)dims[i];
    return count;
}

static partita_status host_alloc_output(void *self, ptp_run *run, uint32_t index, partita_dtype dtype, uint32_t rank,
                                        const int64_t *dims, ptp_tensor *out) {
    fake_output *output = &((fake_run *)run)->outputs[index];
    if (rank > 0) memcpy(output->dims, dims, rank * sizeof(*dims));
    uint64_t bytes = (count_of(rank, dims) * bits_of(dtype) + 7) / 8;
    output->owned = host_alloc(self, bytes + 64, 64);
    output->tensor = (ptp_tensor){.size = sizeof(ptp_tensor),
                                  .kind = PARTITA_KIND_TENSOR,
                                  .dtype = dtype,
                                  .rank = rank,
                                  .dims = output->dims,
                                  .domain = PTP_DOMAIN_HOST,
                                  .data = output->owned,
                                  .bytes = bytes};
    *out = output->tensor;
    return PARTITA_OK;
}

static void value_retain(void *self, ptp_value *value) {
    (void)self;
    atomic_fetch_add(&value->references, 1);
}

static void value_release(void *self, ptp_value *value) {
    if (value == NULL || atomic_fetch_sub(&value->references, 1) > 1) return;
    for (uint64_t i = 0; i < value->item_count; i++) value_release(self, value->items[i]);
    free(value->items);
    free(value->offsets);
    free(value->data);
    free(value);
    atomic_fetch_sub(&alive, 1);
}

static partita_status host_set_output(void *self, ptp_run *run, uint32_t index, ptp_value *value) {
    fake_output *output = &((fake_run *)run)->outputs[index];
    value_retain(self, value);
    value_release(self, output->value);
    output->value = value;
    return PARTITA_OK;
}

static partita_kind value_kind(void *self, const ptp_value *value) {
    (void)self;
    return value->kind;
}

static partita_status value_tensor(void *self, const ptp_value *value, ptp_tensor *out) {
    (void)self;
    *out = (ptp_tensor){.size = sizeof(ptp_tensor),
                        .kind = value->kind,
                        .dtype = value->dtype,
                        .rank = value->rank,
                        .dims = value->dims,
                        .domain = PTP_DOMAIN_HOST,
                        .bytes = value->bytes,
                        .data = value->dtype == PARTITA_STRING ? NULL : value->data,
                        .value = value->dtype == PARTITA_STRING || value->kind != PARTITA_KIND_TENSOR
                                     ? (ptp_value *)(uintptr_t)value
                                     : NULL};
    return PARTITA_OK;
}

static partita_status value_strings(void *self, const ptp_value *value, const uint64_t **out_offsets,
                                    const char **out_bytes, uint64_t *out_count) {
    (void)self;
    *out_offsets = value->offsets;
    *out_bytes = value->data;
    *out_count = value->count;
    return PARTITA_OK;
}

static partita_status value_sparse(void *self, const ptp_value *value, ptp_value **out_values,
                                   ptp_value **out_indices) {
    (void)self;
    *out_values = value->items[0];
    *out_indices = value->items[1];
    return PARTITA_OK;
}

static uint64_t value_count(void *self, const ptp_value *value) {
    (void)self;
    return value->item_count;
}

static ptp_value *value_item(void *self, const ptp_value *value, uint64_t index) {
    (void)self;
    return value->items[index];
}

static ptp_value *value_new(partita_kind kind, partita_dtype dtype, uint32_t rank, const int64_t *dims) {
    ptp_value *value = calloc(1, sizeof(*value));
    value->references = 1;
    value->kind = kind;
    value->dtype = dtype;
    value->rank = rank;
    if (rank > 0) memcpy(value->dims, dims, rank * sizeof(*dims));
    value->count = count_of(rank, dims);
    value->bytes = (value->count * bits_of(dtype) + 7) / 8;
    atomic_fetch_add(&alive, 1);
    return value;
}

static partita_status new_tensor(void *self, partita_dtype dtype, uint32_t rank, const int64_t *dims, ptp_value **out) {
    (void)self;
    *out = value_new(PARTITA_KIND_TENSOR, dtype, rank, dims);
    (*out)->data = malloc((*out)->bytes + 16);
    memset((*out)->data, 0xa5, (*out)->bytes + 16);
    return PARTITA_OK;
}

static partita_status new_strings(void *self, uint32_t rank, const int64_t *dims, const uint64_t *offsets,
                                  const char *bytes, ptp_value **out) {
    (void)self;
    *out = value_new(PARTITA_KIND_TENSOR, PARTITA_STRING, rank, dims);
    uint64_t count = (*out)->count;
    (*out)->offsets = malloc((count + 1) * sizeof(*offsets));
    memcpy((*out)->offsets, offsets, (count + 1) * sizeof(*offsets));
    (*out)->data = malloc(offsets[count] + 1);
    if (offsets[count] > 0) memcpy((*out)->data, bytes, offsets[count]);
    return PARTITA_OK;
}

static void items_take(ptp_value *value, ptp_value *const *items, uint64_t n) {
    value->items = calloc(n + 1, sizeof(*items));
    value->item_count = n;
    for (uint64_t i = 0; i < n; i++) {
        value->items[i] = items[i];
        value_retain(NULL, items[i]);
    }
}

static partita_status new_sparse(void *self, uint32_t rank, const int64_t *dims, ptp_value *values, ptp_value *indices,
                                 ptp_value **out) {
    ptp_value *items[2] = {values, indices};
    (void)self;
    *out = value_new(PARTITA_KIND_SPARSE, values->dtype, rank, dims);
    items_take(*out, items, 2);
    return PARTITA_OK;
}

static partita_status new_container(void *self, partita_kind kind, partita_dtype dtype, ptp_value *const *items,
                                    uint64_t n, ptp_value **out) {
    (void)self;
    *out = value_new(kind, dtype, 0, NULL);
    items_take(*out, items, n);
    return PARTITA_OK;
}

static partita_status host_infer(void *self, ptp_infer *infer, uint32_t node, const ptp_tensor *inputs, uint32_t n,
                                 ptp_shape *out_shapes, int64_t *dims, uint32_t m) {
    ptp_node_row row = ptp_node_at(known_block, node);
    (void)self, (void)infer, (void)inputs, (void)n;
    for (uint32_t i = 0; i < m; i++) {
        uint32_t value = ptp_ref_id(known_block, row.outputs, i);
        out_shapes[i] = (ptp_shape){.rank = -1, .dims = dims + 16 * (size_t)i};
        if (value == PARTITA_NONE) continue;
        out_shapes[i].rank = known_shapes[value].rank;
        for (int32_t d = 0; d < known_shapes[value].rank; d++)
            dims[16 * (size_t)i + (size_t)d] = known_shapes[value].dims[d];
    }
    return PARTITA_OK;
}

static partita_status job_progress(void *self, ptp_job *job, float done, const char *what) {
    (void)self, (void)job, (void)done, (void)what;
    return PARTITA_OK;
}

const ptp_host *fake_host_start(uint32_t workers) {
    static const ptp_host host = {
        .size = sizeof(ptp_host),
        .abi = PTP_ABI_VERSION,
        .fail = host_fail,
        .log = host_log,
        .alloc = host_alloc,
        .free = host_free,
        .workers = host_workers,
        .parallel = host_parallel,
        .team = host_team,
        .team_barrier = host_barrier,
        .run_stopped = host_stopped,
        .run_alloc_output = host_alloc_output,
        .run_set_output = host_set_output,
        .value_kind = value_kind,
        .value_tensor = value_tensor,
        .value_strings = value_strings,
        .value_sparse = value_sparse,
        .value_count = value_count,
        .value_item = value_item,
        .value_new_tensor = new_tensor,
        .value_new_strings = new_strings,
        .value_new_sparse = new_sparse,
        .value_new_container = new_container,
        .value_retain = value_retain,
        .value_release = value_release,
        .infer = host_infer,
        .job_progress = job_progress,
    };
    if (pool == NULL && pt_pool_create(workers, &pool) != PARTITA_OK) return NULL;
    return &host;
}

void fake_host_stop(void) {
    pt_pool_destroy(pool);
    pool = NULL;
}

void fake_host_shapes(const ptp_block *block, const ptp_shape *shapes) {
    known_block = block;
    known_shapes = shapes;
}

const char *fake_host_failure(void) { return failure_text; }

int64_t fake_host_alive(void) { return (int64_t)atomic_load(&alive); }
