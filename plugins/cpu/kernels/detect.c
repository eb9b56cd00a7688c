/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NonZero and NonMaxSuppression: how much they find is known only when they have looked.
 */
#include "cpu/kernels/support.h"

#include <stdlib.h>

/* ---- NonZero ---- */

static bool element_is_set(const cpu_tensor *in, uint64_t i, const cpu_strings *strings) {
    double value[2] = {0, 0};
    partita_dtype part;
    if (in->dtype == PARTITA_STRING) return strings->offsets[i + 1] > strings->offsets[i];
    uint32_t parts = cpu_parts(in->dtype, &part);
    cpu_load_doubles(part, in->data, parts * i, parts, value);
    return value[0] != 0 || value[1] != 0;
}

static partita_status nonzero_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const cpu_tensor *in = &call->in[0];
    cpu_strings strings = {0};
    uint32_t rank = in->rank;
    int64_t dims[2] = {rank, 0};
    partita_status status = in->dtype == PARTITA_STRING ? cpu_strings_of(call, in, &strings) : PARTITA_OK;
    for (uint64_t i = 0; status == PARTITA_OK && i < in->count; i++) dims[1] += element_is_set(in, i, &strings);
    if (status == PARTITA_OK) status = cpu_call_alloc(call, 0, 2, dims);
    if (status != PARTITA_OK) return status;
    int64_t *out = call->out[0].data, found = 0;
    for (uint64_t i = 0; i < in->count && found < dims[1]; i++) {
        if (!element_is_set(in, i, &strings)) continue;
        uint64_t rest = i;
        for (uint32_t d = rank; d-- > 0;) {
            out[(int64_t)d * dims[1] + found] = (int64_t)(rest % (uint64_t)in->dims[d]);
            rest /= (uint64_t)in->dims[d];
        }
        found++;
    }
    return PARTITA_OK;
}

/* ---- NonMaxSuppression ---- */

typedef struct candidate {
    float score;
    int64_t box;
} candidate;

typedef struct nms {
    const float *boxes, *scores;
    int64_t batches, classes, count, most;
    float iou, score;
    bool has_score, center;
    candidate *candidates;
    int64_t *kept;     /* boxes of the present class */
    int64_t *selected; /* triples, room doubled as needed */
    uint64_t found, room;
} nms;

static partita_status nms_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    bool *center = cpu_alloc(host, sizeof(*center));
    if (center == NULL) return PARTITA_OUT_OF_MEMORY;
    *center = cpu_attr_int(node, "center_point_box", 0) != 0;
    *out_state = center;
    return PARTITA_OK;
}

/* Higher scores first; of equal ones the lower box. */
static int candidate_before(const void *left, const void *right) {
    const candidate *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->box < b->box ? -1 : a->box > b->box;
}

static void box_corners(const nms *n, const float *box, float *out) {
    if (n->center) {
        out[0] = box[0] - box[2] / 2, out[1] = box[1] - box[3] / 2;
        out[2] = box[0] + box[2] / 2, out[3] = box[1] + box[3] / 2;
    } else {
        out[0] = fminf(box[0], box[2]), out[1] = fminf(box[1], box[3]);
        out[2] = fmaxf(box[0], box[2]), out[3] = fmaxf(box[1], box[3]);
    }
}

static bool boxes_overlap(const nms *n, const float *left, const float *right) {
    float a[4], b[4];
    box_corners(n, left, a);
    box_corners(n, right, b);
    float area_a = (a[2] - a[0]) * (a[3] - a[1]), area_b = (b[2] - b[0]) * (b[3] - b[1]);
    float width = fminf(a[2], b[2]) - fmaxf(a[0], b[0]), height = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
    if (area_a <= 0 || area_b <= 0 || width <= 0 || height <= 0) return false;
    float both = width * height;
    return both / (area_a + area_b - both) > n->iou;
}

static partita_status nms_keep(const cpu_call *call, nms *n, int64_t batch, int64_t class, int64_t box) {
    if (n->found == n->room) {
        uint64_t room = n->room > 0 ? 2 * n->room : 64;
        int64_t *more = cpu_alloc(call->host, room * 3 * sizeof(*more));
        if (more == NULL) return PARTITA_OUT_OF_MEMORY;
        if (n->found > 0) memcpy(more, n->selected, n->found * 3 * sizeof(*more));
        cpu_free(call->host, n->selected);
        n->selected = more;
        n->room = room;
    }
    int64_t *triple = n->selected + 3 * n->found++;
    triple[0] = batch, triple[1] = class, triple[2] = box;
    return PARTITA_OK;
}

static partita_status nms_class(const cpu_call *call, nms *n, int64_t batch, int64_t class) {
    const float *scores = n->scores + (batch * n->classes + class) * n->count, *boxes = n->boxes + batch * n->count * 4;
    size_t candidates = 0;
    int64_t kept = 0;
    for (int64_t i = 0; i < n->count; i++) {
        if (scores[i] != scores[i] || (n->has_score && !(scores[i] > n->score))) continue;
        n->candidates[candidates++] = (candidate){scores[i], i};
    }
    qsort(n->candidates, candidates, sizeof(candidate), candidate_before);
    for (size_t c = 0; c < candidates && kept < n->most; c++) {
        int64_t box = n->candidates[c].box;
        bool hidden = false;
        for (int64_t k = 0; k < kept && !hidden; k++)
            hidden = boxes_overlap(n, boxes + n->kept[k] * 4, boxes + box * 4);
        if (hidden) continue;
        n->kept[kept++] = box;
        partita_status status = nms_keep(call, n, batch, class, box);
        if (status != PARTITA_OK) return status;
    }
    return PARTITA_OK;
}

static partita_status nms_init(const cpu_call *call, nms *n) {
    const cpu_tensor *boxes = &call->in[0], *scores = &call->in[1];
    if (boxes->rank != 3 || boxes->dims[2] != 4 || scores->rank != 3 || scores->dtype != PARTITA_FLOAT32 ||
        scores->dims[0] != boxes->dims[0] || scores->dims[2] != boxes->dims[1])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "boxes must be [batch, n, 4] and scores [batch, class, n]");
    *n = (nms){.boxes = boxes->data,
               .scores = scores->data,
               .batches = scores->dims[0],
               .classes = scores->dims[1],
               .count = scores->dims[2],
               .center = *(const bool *)call->state};
    for (uint32_t i = 2; i < 5; i++) {
        if (!cpu_has_input(call, i)) continue;
        const cpu_tensor *in = &call->in[i];
        if (in->count != 1 || in->dtype != (i == 2 ? PARTITA_INT64 : PARTITA_FLOAT32))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u must be one number", i);
        if (i == 2) n->most = cpu_index(in, 0);
        if (i == 3) n->iou = *(const float *)in->data;
        if (i == 4) n->score = *(const float *)in->data, n->has_score = true;
    }
    if (n->iou < 0 || n->iou > 1) return cpu_fail(call->host, PARTITA_BAD_INPUT, "iou_threshold %g", (double)n->iou);
    n->candidates = cpu_alloc(call->host, (uint64_t)n->count * sizeof(*n->candidates));
    n->kept = cpu_alloc(call->host, (uint64_t)n->count * sizeof(*n->kept));
    return n->candidates != NULL && n->kept != NULL ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
}

static partita_status nms_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    nms n = {0};
    partita_status status = nms_init(call, &n);
    for (int64_t b = 0; status == PARTITA_OK && n.most > 0 && b < n.batches; b++)
        for (int64_t c = 0; status == PARTITA_OK && c < n.classes; c++) status = nms_class(call, &n, b, c);
    int64_t dims[2] = {(int64_t)n.found, 3};
    if (status == PARTITA_OK) status = cpu_call_alloc(call, 0, 2, dims);
    if (status == PARTITA_OK && n.found > 0) memcpy(call->out[0].data, n.selected, n.found * 3 * sizeof(int64_t));
    cpu_free(call->host, n.candidates);
    cpu_free(call->host, n.kept);
    cpu_free(call->host, n.selected);
    return status;
}

const cpu_kernel cpu_kernels_detect[] = {
    {.op = "NonZero",
     .domain = "",
     .since = 9,
     .until = CPU_NEWEST,
     .types = CPU_NUMBERS | CPU_TYPE(BOOL) | CPU_TYPE(STRING) | CPU_TYPE(COMPLEX64) | CPU_TYPE(COMPLEX128),
     .reference = true,
     .run = nonzero_run,
     .emit = true},
    {.op = "NonMaxSuppression",
     .domain = "",
     .since = 10,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(FLOAT32),
     .reference = true,
     .prepare = nms_prepare,
     .release = cpu_free,
     .run = nms_run,
     .emit = true},
};
const uint32_t cpu_kernels_detect_count = sizeof(cpu_kernels_detect) / sizeof(cpu_kernels_detect[0]);
