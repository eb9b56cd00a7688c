/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokenizer of com.microsoft: texts in pieces, by character, by expressions that separate them or by one that they
 * match. A row of the result holds the pieces of one text, padded to the longest row.
 */
#include "cpu/kernels/libraries.h"
#include "cpu/kernels/texts.h"

#define START "\x02"
#define END   "\x03"

typedef struct tokenizer {
    const cpu_regex_library *library;
    void **regexes;
    uint32_t count;  /* of separators, or 1; 0: by character */
    bool separators; /* the expressions stand between the pieces */
    bool mark;
    uint64_t shortest; /* characters of a piece */
    partita_str pad;   /* in the block, which lives as long as the program */
} tokenizer;

/* ---- attributes ------------------------------------------------------------------------------ */

static partita_status expressions_compile(tokenizer *t, const ptp_host *host, const partita_str *patterns,
                                          uint32_t count) {
    char error[200] = "no memory";
    const void *table;
    partita_status status = cpu_library_open(host, CPU_LIBRARY_REGEX, &table);
    if (status != PARTITA_OK) return status;
    t->library = table;
    for (; t->count < count; t->count++) {
        partita_str p = patterns[t->count];
        t->regexes[t->count] = t->library->compile(p.data != NULL ? p.data : "", p.size, true, error, sizeof(error));
        if (t->regexes[t->count] == NULL) return cpu_fail(host, PARTITA_BAD_MODEL, "an expression: %s", error);
    }
    return PARTITA_OK;
}

static partita_status expressions_read(const cpu_node *node, const ptp_host *host, tokenizer *t) {
    ptp_attribute_row row;
    bool has = ptp_attribute_find(node->block, &node->row, "separators", &row) && row.type == PTP_ATTRIBUTE_STRINGS;
    partita_str single = ptp_attribute_str(node->block, &node->row, "tokenexp");
    uint32_t count = has ? row.data.count : 1;
    const ptp_ref *refs = has ? ptp_ref_data(node->block, row.data) : NULL;
    if (has ? count == 0 : single.size == 0)
        return cpu_fail(host, PARTITA_BAD_MODEL, "neither separators nor tokenexp says where texts are cut");
    partita_str *patterns = cpu_alloc(host, count * sizeof(*patterns));
    t->regexes = cpu_alloc(host, count * sizeof(*t->regexes));
    partita_status status = patterns != NULL && t->regexes != NULL ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
    for (uint32_t i = 0; status == PARTITA_OK && i < count; i++)
        patterns[i] = has ? ptp_ref_str(node->block, refs[i]) : single;
    t->separators = has;
    /* One empty separator and the expression of any character both stand for characters. */
    bool characters = has ? count == 1 && refs[0].count == 0 : single.size == 1 && single.data[0] == '.';
    if (status == PARTITA_OK && characters && t->shortest > 1)
        status = cpu_fail(host, PARTITA_BAD_MODEL, "mincharnum is %llu where each piece is a character",
                          (unsigned long long)t->shortest);
    if (status == PARTITA_OK && !characters) status = expressions_compile(t, host, patterns, count);
    cpu_free(host, patterns);
    return status;
}

static partita_status tokenizer_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    int64_t shortest = cpu_attr_int(node, "mincharnum", 1);
    tokenizer *t = cpu_alloc(host, sizeof(*t));
    *out_state = t;
    if (t == NULL) return PARTITA_OUT_OF_MEMORY;
    if (shortest < 1) return cpu_fail(host, PARTITA_BAD_MODEL, "mincharnum is %lld", (long long)shortest);
    t->shortest = (uint64_t)shortest;
    t->mark = cpu_attr_int(node, "mark", 0) != 0;
    t->pad = ptp_attribute_str(node->block, &node->row, "pad_value");
    return expressions_read(node, host, t);
}

static void tokenizer_release(const ptp_host *host, void *state) {
    tokenizer *t = state;
    if (t == NULL) return;
    for (uint32_t i = 0; i < t->count; i++) t->library->release(t->regexes[i]);
    cpu_free(host, t->regexes);
    cpu_free(host, t);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

typedef struct pieces {
    const ptp_host *host;
    partita_str *at;
    uint64_t count, room;
    bool failed;
} pieces;

static void pieces_add(pieces *p, const char *data, uint64_t size) {
    if (p->count == p->room && !p->failed) {
        partita_str *more = cpu_alloc(p->host, (2 * p->room + 64) * sizeof(*more));
        if (more != NULL && p->count > 0) memcpy(more, p->at, p->count * sizeof(*more));
        cpu_free(p->host, p->at);
        p->failed = more == NULL;
        p->at = more;
        p->room = more != NULL ? 2 * p->room + 64 : 0;
        if (more == NULL) p->count = 0;
    }
    if (!p->failed) p->at[p->count++] = (partita_str){data, size};
}

/* Bytes of the character that begins so; 0: none does. */
static uint64_t letter_size(unsigned char first) {
    return first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
}

/* Characters, -1 where the bytes are not whole ones. */
static int64_t letters_of(const char *text, uint64_t size) {
    int64_t count = 0;
    for (uint64_t i = 0; i < size; count++) {
        uint64_t n = letter_size((unsigned char)text[i]);
        if (n == 0 || n > size - i) return -1;
        i += n;
    }
    return count;
}

/* UTF-8 in its shortest form, without halves of surrogate pairs. */
static bool is_utf8(const char *text, uint64_t size) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    for (uint64_t i = 0; i < size;) {
        unsigned char first = (unsigned char)text[i];
        uint64_t n = letter_size(first);
        if (n == 0 || n > size - i) return false;
        uint32_t point = n == 1 ? first : first & (0x7fu >> n);
        for (uint64_t k = 1; k < n; k++) {
            unsigned char next = (unsigned char)text[i + k];
            if ((next & 0xc0) != 0x80) return false;
            point = point << 6 | (next & 0x3fu);
        }
        if (point < least[n] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
        i += n;
    }
    return true;
}

/* Where a search goes on that found nothing to go behind: a character further, which is at least a byte. */
static uint64_t letter_behind(partita_str text, uint64_t at) {
    uint64_t n = at < text.size ? letter_size((unsigned char)text.data[at]) : 1;
    return at + (n > 0 ? n : 1);
}

static partita_status broken(const cpu_call *call) {
    return cpu_fail(call->host, PARTITA_BAD_INPUT, "a match cuts a character in two");
}

/* What lies between matches. Behind an empty match a character goes by with it. */
static partita_status text_separate(const cpu_call *call, const void *regex, partita_str text, pieces *out) {
    const tokenizer *t = call->state;
    uint64_t from = 0;
    size_t at, size;
    while (from <= text.size) {
        bool found = t->library->find(regex, text.data, text.size, from, &at, &size);
        uint64_t end = found ? at : text.size;
        int64_t letters = letters_of(text.data + from, end - from);
        if (found && letters < 0) return broken(call);
        if (letters >= 0 && (uint64_t)letters >= t->shortest) pieces_add(out, text.data + from, end - from);
        if (!found) break;
        from = size > 0 ? at + size : letter_behind(text, at);
    }
    return PARTITA_OK;
}

/* The matches. One that is too short lets the search go on a character behind its beginning. */
static partita_status text_match(const cpu_call *call, partita_str text, pieces *out) {
    const tokenizer *t = call->state;
    uint64_t from = 0;
    size_t at, size;
    int64_t all = letters_of(text.data, text.size);
    if (all < 0 || (uint64_t)all < t->shortest) return PARTITA_OK;
    while (from <= text.size && t->library->find(t->regexes[0], text.data, text.size, from, &at, &size)) {
        int64_t letters = letters_of(text.data + at, size);
        if (letters < 0) return broken(call);
        bool kept = (uint64_t)letters >= t->shortest;
        if (kept) pieces_add(out, text.data + at, size);
        from = kept ? at + size : letter_behind(text, at);
    }
    return PARTITA_OK;
}

/* The pieces of one text are those of `out` from `first` on: each separator cuts what the last one left. */
static partita_status text_cut(const cpu_call *call, partita_str text, pieces *out, pieces *spare) {
    const tokenizer *t = call->state;
    uint64_t first = out->count;
    partita_status status = PARTITA_OK;
    if (!is_utf8(text.data, text.size)) return cpu_fail(call->host, PARTITA_BAD_INPUT, "a text is no UTF-8");
    if (t->count == 0) {
        for (uint64_t i = 0; i < text.size;) {
            uint64_t n = letter_size((unsigned char)text.data[i]);
            pieces_add(out, text.data + i, n);
            i += n;
        }
        return PARTITA_OK;
    }
    if (!t->separators) return text_match(call, text, out);
    pieces_add(out, text.data, text.size);
    for (uint32_t k = 0; status == PARTITA_OK && k < t->count && !out->failed; k++) {
        spare->count = 0;
        for (uint64_t i = first; status == PARTITA_OK && i < out->count; i++)
            status = text_separate(call, t->regexes[k], out->at[i], spare);
        out->count = first;
        for (uint64_t i = 0; i < spare->count; i++) pieces_add(out, spare->at[i].data, spare->at[i].size);
    }
    return status;
}

/* ---- the kernel ------------------------------------------------------------------------------ */

static void row_put(const tokenizer *t, const partita_str *at, uint64_t count, uint64_t width, cpu_texts *out) {
    uint64_t used = count + (t->mark ? 2 : 0);
    if (t->mark) cpu_texts_add(out, START, 1);
    for (uint64_t i = 0; i < count; i++) cpu_texts_add(out, at[i].data, at[i].size);
    if (t->mark) cpu_texts_add(out, END, 1);
    for (; used < width && !out->failed; used++) cpu_texts_add(out, t->pad.data, t->pad.size);
}

static partita_status tokenizer_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const tokenizer *t = call->state;
    const cpu_tensor *in = &call->in[0];
    pieces all = {.host = call->host}, spare = {.host = call->host};
    cpu_texts made = {.host = call->host};
    cpu_strings strings;
    uint64_t width = 0;
    if (in->rank != 1 && in->rank != 2)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the texts are no [C] or [N, C]");
    partita_status status = cpu_strings_of(call, in, &strings);
    if (status != PARTITA_OK) return status;
    uint64_t *ends = cpu_alloc(call->host, (in->count + 1) * sizeof(*ends));
    if (ends == NULL) status = PARTITA_OUT_OF_MEMORY;
    for (uint64_t i = 0; status == PARTITA_OK && i < in->count; i++) {
        status = text_cut(call, cpu_string_at(&strings, i), &all, &spare);
        if (status == PARTITA_OK && (all.failed || spare.failed)) status = PARTITA_OUT_OF_MEMORY;
        ends[i + 1] = all.count;
        if (ends[i + 1] - ends[i] > width) width = ends[i + 1] - ends[i];
    }
    if (status != PARTITA_OK) goto out;
    /* Where no text has a piece there are no marks either. */
    if (width > 0 && t->mark) width += 2;
    for (uint64_t i = 0; width > 0 && i < in->count && !made.failed; i++)
        row_put(t, all.at + ends[i], ends[i + 1] - ends[i], width, &made);
    int64_t dims[3] = {in->dims[0], in->rank > 1 ? in->dims[1] : (int64_t)width, (int64_t)width};
    status = cpu_texts_give(call, &made, in->rank + 1, dims);
out:
    cpu_free(call->host, ends);
    cpu_free(call->host, all.at);
    cpu_free(call->host, spare.at);
    cpu_texts_free(&made);
    return status;
}

const cpu_kernel cpu_kernels_tokenizer[] = {{.op = "Tokenizer",
                                             .domain = "com.microsoft",
                                             .since = 1,
                                             .until = CPU_NEWEST,
                                             .types = CPU_TYPE(STRING),
                                             .reference = true,
                                             .prepare = tokenizer_prepare,
                                             .release = tokenizer_release,
                                             .run = tokenizer_run,
                                             .emit = true}};
const uint32_t cpu_kernels_tokenizer_count = sizeof(cpu_kernels_tokenizer) / sizeof(cpu_kernels_tokenizer[0]);
