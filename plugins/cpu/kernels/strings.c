/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators on text: StringConcat, StringSplit, StringNormalizer. Text is UTF-8; case is changed by code point, a
 * sequence that is no UTF-8 is kept as it is. Letters beyond ASCII change by utf8proc.
 */
#include "cpu/kernels/libraries.h"
#include "cpu/kernels/texts.h"

/* ---- StringConcat ---- */

static partita_status concat_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const cpu_tensor *in[2] = {&call->in[0], &call->in[1]}, *out = &call->out[0];
    cpu_strings a, b;
    cpu_walk walk;
    uint64_t at[CPU_WALK_INPUTS];
    cpu_texts made = {.host = call->host};
    partita_status status = cpu_walk_init(call, out, in, 2, NULL, &walk);
    if (status == PARTITA_OK) status = cpu_strings_of(call, in[0], &a);
    if (status == PARTITA_OK) status = cpu_strings_of(call, in[1], &b);
    if (status != PARTITA_OK) return status;
    cpu_walk_seek(&walk, 0);
    for (uint64_t i = 0; i < out->count; i++) {
        cpu_walk_next(&walk, 1, at);
        partita_str left = cpu_string_at(&a, at[0]), right = cpu_string_at(&b, at[1]);
        cpu_texts_put(&made, left.data, left.size);
        cpu_texts_put(&made, right.data, right.size);
        cpu_texts_end(&made);
    }
    status = cpu_texts_give(call, &made, out->rank, out->dims);
    cpu_texts_free(&made);
    return status;
}

/* ---- StringSplit ---- */

typedef struct split_state {
    partita_str delimiter; /* in the block, which lives as long as the program */
    int64_t most;          /* splits; < 0: no limit */
} split_state;

static partita_status split_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    split_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->delimiter = ptp_attribute_str(node->block, &node->row, "delimiter");
    state->most = cpu_attr_int(node, "maxsplit", -1);
    *out_state = state;
    return PARTITA_OK;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Takes the next piece off `rest`. False when there is none. `last`: what is left is the piece. */
static bool split_next(const split_state *state, partita_str *rest, bool last, bool *ended, partita_str *out) {
    partita_str d = state->delimiter;
    if (*ended) return false;
    if (d.size == 0) {
        while (rest->size > 0 && is_space(rest->data[0])) rest->data++, rest->size--;
        if (rest->size == 0) return false;
        size_t n = 0;
        while (n < rest->size && (last || !is_space(rest->data[n]))) n++;
        *out = (partita_str){rest->data, n};
        rest->data += n, rest->size -= n;
        *ended = last;
        return true;
    }
    const char *found = last || rest->size < d.size ? NULL : memmem(rest->data, rest->size, d.data, d.size);
    size_t n = found != NULL ? (size_t)(found - rest->data) : rest->size;
    *out = (partita_str){rest->data, n};
    *ended = found == NULL;
    if (found != NULL) rest->data += n + d.size, rest->size -= n + d.size;
    return true;
}

static int64_t split_one(const split_state *state, partita_str text, cpu_texts *made) {
    int64_t count = 0;
    bool ended = false;
    partita_str piece;
    while (split_next(state, &text, state->most >= 0 && count == state->most, &ended, &piece)) {
        if (made != NULL) cpu_texts_add(made, piece.data, piece.size);
        count++;
    }
    return count;
}

static partita_status split_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const split_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    int64_t dims[CPU_MAX_RANK + 1], most = 0;
    cpu_strings strings;
    cpu_texts made = {.host = call->host};
    if (in->rank + 1 > CPU_MAX_RANK) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u", in->rank);
    partita_status status = cpu_strings_of(call, in, &strings);
    if (status == PARTITA_OK) status = cpu_call_alloc(call, 1, in->rank, in->dims);
    if (status != PARTITA_OK) return status;
    int64_t *counts = call->out[1].data;
    for (uint64_t i = 0; i < in->count; i++) {
        counts[i] = split_one(state, cpu_string_at(&strings, i), NULL);
        most = counts[i] > most ? counts[i] : most;
    }
    for (uint64_t i = 0; i < in->count; i++) {
        split_one(state, cpu_string_at(&strings, i), &made);
        for (int64_t missing = counts[i]; missing < most; missing++) cpu_texts_end(&made);
    }
    if (in->rank > 0) memcpy(dims, in->dims, in->rank * sizeof(*dims));
    dims[in->rank] = most;
    status = cpu_texts_give(call, &made, in->rank + 1, dims);
    cpu_texts_free(&made);
    return status;
}

/* ---- StringNormalizer ---- */

typedef struct normal_state {
    const ptp_block *block;
    ptp_ref stop; /* ptp_ref to char */
    bool case_sensitive;
    char action; /* 'L', 'U', 'N' */
} normal_state;

static partita_status normal_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    ptp_attribute_row row;
    partita_str action = ptp_attribute_str(node->block, &node->row, "case_change_action");
    normal_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    state->block = node->block;
    if (ptp_attribute_find(node->block, &node->row, "stopwords", &row) && row.type == PTP_ATTRIBUTE_STRINGS)
        state->stop = row.data;
    state->case_sensitive = cpu_attr_int(node, "is_case_sensitive", 0) != 0;
    state->action = action.size > 0 ? action.data[0] : 'N';
    return PARTITA_OK;
}

/* One code point; its length, 0 when the bytes are no UTF-8. */
static uint32_t utf8_take(const unsigned char *s, uint64_t n, uint32_t *out) {
    uint32_t length = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    uint32_t point = length == 1 ? s[0] : s[0] & (0x7fu >> length);
    if (length > n || (length > 1 && s[0] < 0xc2)) return 0;
    for (uint32_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        point = point << 6 | (s[i] & 0x3fu);
    }
    *out = point;
    return length;
}

static uint32_t utf8_give(uint32_t point, char *out) {
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    uint32_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (uint32_t i = length; i-- > 1; point >>= 6) out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)(((0xf00u >> length) & 0xff) | point);
    return length;
}

/* Cases beyond ASCII, opened by the first letter that needs them. */
typedef struct letters {
    const ptp_host *host;
    const cpu_text_library *table;
    partita_status status;
} letters;

/* The code point in the other case. Which letters have two is Unicode's matter, not a language's. */
static uint32_t cased(letters *l, uint32_t point, char action) {
    const void *table = NULL;
    if (point < 0x80) {
        char first = action == 'L' ? 'A' : 'a';
        return (uint32_t)(point - (unsigned char)first) < 26 ? point ^ 0x20u : point;
    }
    if (l->table == NULL && l->status == PARTITA_OK) {
        l->status = cpu_library_open(l->host, CPU_LIBRARY_TEXT, &table);
        l->table = table;
    }
    if (l->table == NULL) return point;
    return (uint32_t)(action == 'L' ? l->table->lower : l->table->upper)((int32_t)point);
}

static void put_cased(cpu_texts *t, letters *l, partita_str text, char action) {
    for (uint64_t i = 0; i < text.size;) {
        uint32_t point = 0, length = utf8_take((const unsigned char *)text.data + i, text.size - i, &point);
        char changed[4];
        if (length == 0 || action == 'N')
            cpu_texts_put(t, text.data + i, length > 0 ? length : 1);
        else
            cpu_texts_put(t, changed, utf8_give(cased(l, point, action), changed));
        i += length > 0 ? length : 1;
    }
    cpu_texts_end(t);
}

/* Stop words as they are compared: in lower case unless case matters. */
static void stop_words(const normal_state *state, letters *l, cpu_texts *out) {
    const ptp_ref *words = ptp_ref_data(state->block, state->stop);
    for (uint32_t i = 0; i < state->stop.count; i++)
        put_cased(out, l, ptp_ref_str(state->block, words[i]), state->case_sensitive ? 'N' : 'L');
}

static bool is_stopped(const cpu_texts *stop, const cpu_texts *folded, uint64_t index) {
    uint64_t size = folded->offsets[index + 1] - folded->offsets[index];
    for (uint64_t i = 0; i < stop->count; i++) {
        if (stop->offsets[i + 1] - stop->offsets[i] != size) continue;
        if (size == 0 || memcmp(stop->bytes + stop->offsets[i], folded->bytes + folded->offsets[index], size) == 0)
            return true;
    }
    return false;
}

static partita_status normal_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const normal_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    cpu_texts stop = {.host = call->host}, folded = {.host = call->host}, made = {.host = call->host};
    letters l = {.host = call->host};
    cpu_strings strings;
    if (in->rank < 1 || in->rank > 2 || (in->rank == 2 && in->dims[0] != 1))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "X must be [C] or [1, C]");
    partita_status status = cpu_strings_of(call, in, &strings);
    if (status != PARTITA_OK) return status;
    stop_words(state, &l, &stop);
    for (uint64_t i = 0; i < in->count; i++)
        put_cased(&folded, &l, cpu_string_at(&strings, i), state->case_sensitive ? 'N' : 'L');
    status = l.status;
    if (status == PARTITA_OK && (stop.failed || folded.failed)) status = PARTITA_OUT_OF_MEMORY;
    if (status != PARTITA_OK) goto out;
    for (uint64_t i = 0; i < in->count; i++)
        if (!is_stopped(&stop, &folded, i)) put_cased(&made, &l, cpu_string_at(&strings, i), state->action);
    status = l.status;
    if (status != PARTITA_OK) goto out;
    if (made.count == 0) cpu_texts_end(&made); /* all dropped: one empty string */
    int64_t dims[2] = {1, (int64_t)made.count};
    status = cpu_texts_give(call, &made, in->rank, in->rank == 1 ? dims + 1 : dims);
out:
    cpu_texts_free(&stop);
    cpu_texts_free(&folded);
    cpu_texts_free(&made);
    return status;
}

const cpu_kernel cpu_kernels_strings[] = {
    {.op = "StringConcat",
     .domain = "",
     .since = 20,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(STRING),
     .reference = true,
     .run = concat_run,
     .emit = true,
     .shaped = true},
    {.op = "StringSplit",
     .domain = "",
     .since = 20,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(STRING),
     .reference = true,
     .prepare = split_prepare,
     .release = cpu_free,
     .run = split_run,
     .emit = true},
    {.op = "StringNormalizer",
     .domain = "",
     .since = 10,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(STRING),
     .reference = true,
     .prepare = normal_prepare,
     .release = cpu_free,
     .run = normal_run,
     .emit = true},
};
const uint32_t cpu_kernels_strings_count = sizeof(cpu_kernels_strings) / sizeof(cpu_kernels_strings[0]);
