/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows, and the runner over them.
 */
#include "pass/rewrite.h"

enum { MAX_ROUNDS = 8, DEFAULT_GROWTH = 1 << 20, DEFAULT_TOTAL = 64 << 20 };

static const pt_pass rows[] = {
    {"shape", pt_pass_shape}, {"fold", pt_pass_fold},       {"identity", pt_pass_identity}, {"cast", pt_pass_cast},
    {"cse", pt_pass_cse},     {"conv_bn", pt_pass_conv_bn}, {"quant", pt_pass_quant},       {"dead", pt_pass_dead},
};

const pt_pass *pt_pass_rows(uint32_t *out_count) {
    *out_count = PT_COUNT_OF(rows);
    return rows;
}

const pt_pass *pt_pass_find(const char *name) {
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    }
    return NULL;
}

static pt_pass_options with_defaults(const pt_pass_options *options) {
    pt_pass_options filled = options ? *options : (pt_pass_options){0};
    if (!filled.fold_growth) filled.fold_growth = DEFAULT_GROWTH;
    if (!filled.fold_total) filled.fold_total = DEFAULT_TOTAL;
    return filled;
}

static partita_status run_one(pt_pass_run *run, const pt_pass *pass) {
    partita_status status = pass->run(run);
#ifndef NDEBUG
    if (status == PARTITA_OK) status = pt_model_validate(run->model);
#endif
    return status ? pt_annotate(status, "pass %s", pass->name) : PARTITA_OK;
}

partita_status pt_model_run_pass(pt_model *model, const pt_pass *pass, const pt_pass_options *options) {
    pt_pass_options filled = with_defaults(options);
    pt_pass_run run = {.model = model, .options = &filled};
    return run_one(&run, pass);
}

partita_status pt_model_run_passes(pt_model *model, const pt_pass_options *options) {
    pt_pass_options filled = with_defaults(options);
    pt_pass_run run = {.model = model, .options = &filled};
    for (int round = 0; round < MAX_ROUNDS; round++) {
        uint32_t before = run.changes;
        for (size_t i = 0; i < PT_COUNT_OF(rows); i++) PT_TRY(run_one(&run, &rows[i]));
        if (run.changes == before) break;
        /* New constants tell more shapes, and those more values. */
        PT_TRY(pt_model_infer(model));
    }
    return PARTITA_OK;
}
