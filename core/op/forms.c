/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which shapes of inputs belong together, by the rows of forms.inc. Dims that are not known fit everything.
 */
#include "op/infer_run.h"

#include <stdio.h>

enum { FORM_LETTERS = 26 };

typedef struct forms_row {
    pt_op_key key;
    const char *forms;
} forms_row;

static const forms_row rows[] = {
#define ROW_FORMS(domain, name, since, forms) {{domain, name, since}, forms},
#include "rows/forms.inc"
#undef ROW_FORMS
};

/* A dim, and where it was met first. */
typedef struct bound {
    int64_t number; /* -1: not yet */
    uint32_t input;
    int32_t axis;
} bound;

typedef struct bounds {
    bound letters[FORM_LETTERS];
    bound run[PT_RANK_MAX]; /* of '*' */
    int32_t run_rank;       /* -1: not met yet */
} bounds;

static bool is_run(char c) { return c == '~' || c == '*'; }

/* Fixed dims of the form, up to `end`; `*out_run` when there may be further ones. */
static int32_t form_rank(const char *form, const char *end, bool *out_run) {
    int32_t rank = 0;
    *out_run = false;
    for (; form < end && *form != '_'; form++) {
        if (is_run(*form))
            *out_run = true;
        else
            rank++;
    }
    return rank;
}

static const char *form_end(const char *form) { return form + strcspn(form, "| "); }

/* The one of the alternatives that has this rank; NULL. */
static const char *form_of_rank(const char *form, int32_t rank) {
    for (;;) {
        const char *end = form_end(form);
        bool run;
        int32_t fixed = form_rank(form, end, &run);
        if (fixed == rank || (run && rank > fixed)) return form;
        if (*end != '|') return NULL;
        form = end + 1;
    }
}

static partita_status fail_rank(pt_infer *infer, const char *form, uint32_t input) {
    char text[64] = "";
    size_t size = 0;
    for (;; form = form_end(form) + 1) {
        bool run;
        int32_t rank = form_rank(form, form_end(form), &run);
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s%d", size ? " or " : "", run ? "at least " : "",
                                 rank);
        if (*form_end(form) != '|' || size >= sizeof text) break;
    }
    return pt_infer_fail(infer, "input %u is of rank %d instead of %s", input, pt_infer_in(infer, input)->rank, text);
}

static partita_status check_bound(pt_infer *infer, bound *b, uint32_t input, int32_t axis) {
    int64_t number;
    if (!pt_infer_exact(infer, pt_infer_in(infer, input)->dims[axis], &number)) return PARTITA_OK;
    if (b->number < 0) *b = (bound){number, input, axis};
    if (b->number == number) return PARTITA_OK;
    return pt_infer_fail(infer, "dim %d of input %u is %lld, dim %d of input %u is %lld", b->axis, b->input,
                         (long long)b->number, axis, input, (long long)number);
}

static partita_status check_run(pt_infer *infer, bounds *all, uint32_t input, int32_t first, int32_t count) {
    if (all->run_rank < 0) all->run_rank = count;
    if (all->run_rank != count) {
        return pt_infer_fail(infer, "input %u of rank %d does not fit the inputs before it", input,
                             pt_infer_in(infer, input)->rank);
    }
    for (int32_t i = 0; i < count; i++) PT_TRY(check_bound(infer, &all->run[i], input, first + i));
    return PARTITA_OK;
}

static partita_status check_form(pt_infer *infer, bounds *all, const char *form, uint32_t input) {
    const pt_infer_value *in = pt_infer_in(infer, input);
    const char *chosen = form_of_rank(form, in->rank);
    if (!chosen) return fail_rank(infer, form, input);
    bool run;
    int32_t axis = 0, further = in->rank - form_rank(chosen, form_end(chosen), &run);
    for (const char *c = chosen; c < form_end(chosen) && *c != '_'; c++) {
        int64_t number;
        if (*c == '*') PT_TRY(check_run(infer, all, input, axis, further));
        if (*c >= 'a' && *c <= 'z') PT_TRY(check_bound(infer, &all->letters[*c - 'a'], input, axis));
        if (*c >= '0' && *c <= '9' && pt_infer_exact(infer, in->dims[axis], &number) && number != *c - '0') {
            return pt_infer_fail(infer, "dim %d of input %u is %lld instead of %c", axis, input, (long long)number, *c);
        }
        axis += is_run(*c) ? further : 1;
    }
    return PARTITA_OK;
}

partita_status pt_infer_check_forms(pt_infer *infer) {
    const forms_row *row = pt_op_key_find(infer->node, rows, PT_COUNT_OF(rows), sizeof rows[0]);
    bounds all = {.run_rank = -1};
    if (!row) return PARTITA_OK;
    for (uint32_t i = 0; i < FORM_LETTERS; i++) all.letters[i].number = -1;
    for (uint32_t i = 0; i < PT_RANK_MAX; i++) all.run[i].number = -1;
    const char *form = row->forms;
    for (uint32_t i = 0; i < infer->input_count && *form; i++) {
        if (*form != '-' && pt_infer_in(infer, i)->rank >= 0) PT_TRY(check_form(infer, &all, form, i));
        form += strcspn(form, " ");
        form += *form == ' ';
    }
    return PARTITA_OK;
}
