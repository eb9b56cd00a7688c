/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inference over models: symbols, elements of small tensors, errors, runs. Single operators are judged by
 * infer_cases.py, bodies by test_op_infer_bodies.c.
 */
#include "op_build.h"

#include <partita/plugin.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- symbols and elements -------------------------------------------------------------------- */

/* How exporters write x.view(b, s, 12, 64).transpose(1, 2).transpose(1, 2).view(b, s, 768). */
static void shapes_computed_by_the_graph_resolve(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "batch,seq,768");
    build_int(&b, "zero", 0);
    build_int(&b, "one", 1);
    build_ints(&b, "axes", (int64_t[]){0}, 1);
    build_ints(&b, "heads", (int64_t[]){12}, 1);
    build_ints(&b, "rest", (int64_t[]){-1}, 1);
    build_node(&b, "Shape", "x", "shape");
    build_node(&b, "Gather", "shape zero", "n0");
    build_node(&b, "Gather", "shape one", "s0");
    build_node(&b, "Unsqueeze", "n0 axes", "n1");
    build_node(&b, "Unsqueeze", "s0 axes", "s1");
    build_attr_int(&b, build_node(&b, "Concat", "n1 s1 heads rest", "wanted"), "axis", 0);
    build_node(&b, "Reshape", "x wanted", "split");
    build_attr_ints(&b, build_node(&b, "Transpose", "split", "turned"), "perm", (int64_t[]){0, 2, 1, 3}, 4);
    build_attr_int(&b, build_node(&b, "Concat", "n1 rest", "flat_shape"), "axis", 0);
    build_node(&b, "Reshape", "turned flat_shape", "flat");
    build_node(&b, "Mul", "n1 s1", "rows");
    build_attr_int(&b, build_node(&b, "Concat", "rows rest", "rows_shape"), "axis", 0);
    build_node(&b, "Reshape", "flat rows_shape", "back");
    OK(build_infer(&b));
    assert_elements(&b, "shape", "batch,seq,768");
    assert_elements(&b, "wanted", "batch,seq,12,-1");
    assert_dims(&b, "split", "batch,seq,12,64");
    assert_dims(&b, "turned", "batch,12,seq,64");
    assert_dims(&b, "flat", "batch,seq*768");
    assert_dims(&b, "back", "batch*seq,768");
    /* Again: nothing changes, nothing grows. */
    size_t symbols = b.model->symbols.rows.size, bytes = b.model->arena.bytes;
    OK(pt_model_infer(b.model));
    assert_int_equal(b.model->symbols.rows.size, symbols);
    assert_int_equal(b.model->arena.bytes, bytes);
    build_end(&b);
}

static void elements_follow_arithmetic(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 18);
    build_input(&b, "x", PARTITA_FLOAT32, "N,C,7");
    build_ints(&b, "two", (int64_t[]){2}, 1);
    build_ints(&b, "minus", (int64_t[]){-1, -1, -1}, 3);
    build_ints(&b, "ones", (int64_t[]){1, 1, 1}, 3);
    build_node(&b, "Shape", "x", "s");
    build_node(&b, "Mul", "s two", "doubled");
    build_node(&b, "Div", "doubled two", "again");
    build_node(&b, "Sub", "s two", "less");
    build_node(&b, "Mod", "s two", "odd");
    build_node(&b, "Max", "less ones", "most");
    build_node(&b, "Equal", "s minus", "none_is_minus");
    build_node(&b, "Where", "none_is_minus ones s", "chosen");
    build_node(&b, "ReduceProd", "s", "product");
    build_node(&b, "Size", "x", "size");
    build_node(&b, "Neg", "s", "negative");
    pt_id cast = build_node(&b, "Cast", "s", "real");
    build_attr_int(&b, cast, "to", PARTITA_FLOAT32);
    build_floats(&b, "scale", (float[]){1.3f}, 1);
    build_node(&b, "Mul", "real scale", "scaled");
    build_node(&b, "Floor", "scaled", "floored");
    build_attr_int(&b, build_node(&b, "Cast", "floored", "sizes"), "to", PARTITA_INT64);
    build_floats(&b, "four", (float[]){4}, 1);
    build_node(&b, "Div", "real four", "quarters");
    build_node(&b, "Ceil", "quarters", "ceiled");
    build_attr_int(&b, build_node(&b, "Cast", "ceiled", "tiles"), "to", PARTITA_INT64);
    build_ints(&b, "from", (int64_t[]){-1}, 1);
    build_ints(&b, "to", (int64_t[]){INT64_MIN}, 1);
    build_ints(&b, "axis", (int64_t[]){0}, 1);
    build_node(&b, "Slice", "s from to axis from", "reversed");
    OK(build_infer(&b));
    assert_elements(&b, "doubled", "N*2,C*2,14");
    assert_elements(&b, "again", "N,C,7");
    assert_elements(&b, "less", "N-2,C-2,5");
    assert_elements(&b, "odd", "N%2,C%2,1");
    assert_elements(&b, "most", "max(1,N-2),max(1,C-2),5");
    assert_elements(&b, "none_is_minus", "0,0,0");
    assert_elements(&b, "chosen", "N,C,7");
    assert_dims(&b, "product", "1");
    assert_true(pt_value_at(b.model, build_value(&b, "product"))->small[0] ==
                pt_value_at(b.model, build_value(&b, "size"))->small[0]);
    assert_elements(&b, "negative", "N*-1,C*-1,-7");
    assert_elements(&b, "sizes", "scale(N,1.3),scale(C,1.3),9");
    assert_elements(&b, "tiles", "(N+3)/4,(C+3)/4,2");
    assert_elements(&b, "reversed", "7,C,N");
    build_end(&b);
}

static void slices_of_symbols(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "N,total,seq");
    build_input(&b, "mask", PARTITA_BOOL, "1,1,1024");
    build_ints(&b, "zero", (int64_t[]){0}, 1);
    build_ints(&b, "one", (int64_t[]){1}, 1);
    build_ints(&b, "two", (int64_t[]){2}, 1);
    build_ints(&b, "last", (int64_t[]){-1}, 1);
    build_ints(&b, "end", (int64_t[]){INT64_MAX}, 1);
    build_ints(&b, "step", (int64_t[]){3}, 1);
    build_node(&b, "Slice", "x zero end one", "all");
    build_node(&b, "Slice", "x one end one", "tail");
    build_node(&b, "Slice", "x zero last one", "head");
    build_node(&b, "Slice", "x last end one", "final");
    build_node(&b, "Slice", "x zero end one step", "thirds");
    build_node(&b, "Shape", "x", "shape");
    build_node(&b, "Slice", "shape one two zero", "total");
    build_node(&b, "Slice", "shape two end zero", "seq");
    build_node(&b, "Sub", "total seq", "past");
    build_node(&b, "Slice", "x past total one", "new");
    build_node(&b, "Slice", "mask zero total two", "cut");
    OK(build_infer(&b));
    assert_dims(&b, "all", "N,total,seq");
    assert_dims(&b, "tail", "N,max(0,total-1),seq");
    assert_dims(&b, "head", "N,max(0,total-1),seq");
    assert_dims(&b, "thirds", "N,(total+2)/3,seq");
    assert_dims(&b, "cut", "1,1,min(1024,total)");
    /* A start that may be negative is one from the end: evaluated, the slice has its length. */
    const pt_type *type = &pt_value_at(b.model, build_value(&b, "new"))->type;
    const pt_type *x = &pt_value_at(b.model, build_value(&b, "x"))->type;
    assert_false(pt_dim_depends_on_data(&b.model->symbols, type->dims[1]));
    int64_t *values = calloc(b.model->symbols.rows.size, sizeof *values);
    for (int64_t seq = 0; seq <= 9; seq++) {
        values[pt_dim_symbol(x->dims[0])] = 1;
        values[pt_dim_symbol(x->dims[1])] = 9;
        values[pt_dim_symbol(x->dims[2])] = seq;
        pt_symbols_evaluate(&b.model->symbols, values);
        assert_int_equal(pt_dim_evaluate(type->dims[1], values), seq);
    }
    free(values);
    build_end(&b);
}

static void broadcast_and_concat_of_symbols(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "N,past,4");
    build_input(&b, "y", PARTITA_FLOAT32, "N,seq,4");
    build_attr_int(&b, build_node(&b, "Concat", "x y", "joined"), "axis", 1);
    build_node(&b, "Add", "x y", "sum");
    build_input(&b, "z", PARTITA_FLOAT32, "5,1,1");
    build_node(&b, "Add", "x z", "wide");
    build_input(&b, "grid", PARTITA_FLOAT32, "1,3,h,w");
    build_floats(&b, "scales", (float[]){1, 1, 2, 0.5f}, 4);
    build_node(&b, "Resize", "grid - scales", "resized");
    OK(build_infer(&b));
    assert_dims(&b, "joined", "N,past+seq,4");
    assert_dims(&b, "sum", "N,broadcast(past,seq),4");
    assert_dims(&b, "wide", "5,past,4");
    assert_dims(&b, "resized", "1,3,h*2,w/2");
    build_end(&b);
}

static void data_gives_symbols_that_flow(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "N,3");
    build_input(&b, "count", PARTITA_INT64, "1");
    build_node(&b, "NonZero", "x", "places");
    build_attr_ints(&b, build_node(&b, "Transpose", "places", "turned"), "perm", (int64_t[]){1, 0}, 2);
    build_node(&b, "GatherND", "x turned", "picked");
    build_node(&b, "Relu", "picked", "same");
    build_ints(&b, "three", (int64_t[]){3}, 1);
    build_attr_int(&b, build_node(&b, "Concat", "count three", "wanted"), "axis", 0);
    build_node(&b, "Reshape", "x wanted", "shaped");
    OK(build_infer(&b));
    const pt_type *picked = &pt_value_at(b.model, build_value(&b, "picked"))->type;
    const pt_type *places = &pt_value_at(b.model, build_value(&b, "places"))->type;
    assert_int_equal(picked->rank, 1);
    assert_true(picked->dims[0] == places->dims[1]);
    assert_true(pt_dim_depends_on_data(&b.model->symbols, picked->dims[0]));
    assert_true(pt_value_at(b.model, build_value(&b, "same"))->type.dims[0] == places->dims[1]);
    /* The one unknown dim of a reshape follows from the count. */
    assert_dims(&b, "shaped", "N,3");
    build_end(&b);
}

static void declared_types_are_held_against_inferred_ones(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "2,3");
    build_node(&b, "Shape", "x", "y");
    pt_value_at(b.model, build_value(&b, "y"))->type =
        (pt_type){.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = -1};
    assert_int_equal(build_infer(&b), PARTITA_BAD_MODEL);
    assert_string_equal(pt_last_message(), "node 'y' (Shape): 'y': declared float32, but the operator gives int64");
    build_end(&b);
}

/* ---- errors ---------------------------------------------------------------------------------- */

typedef struct bad_row {
    const char *op, *a, *b; /* dims of the inputs */
    const char *words;
} bad_row;

static void contradictions_are_named(void **state) {
    PT_UNUSED(state);
    static const bad_row rows[] = {
        {"Add", "2,3", "4", "dims 3 and 4 do not broadcast"},
        {"MatMul", "2,3", "4,5", "dims 3 and 4 differ"},
        {"MatMul", "", "4,5", "a scalar is no matrix"},
        {"Gemm", "2,3,4", "4,5", "rank"},
        {"Conv", "1,3,8,8", "4,2,3,3", "3 channels for weights of 2"},
        {"Conv", "1,3,1,1", "4,3,3,3", "does not fit"},
        {"Conv", "3,8", "4,3,3", "an input of rank 2"},
        {"ConvTranspose", "1,3,8,8", "4,2,3,3", "3 channels for weights of 4"},
        {"Concat", "2,3", "2,3,4", "rank 2 and 3"},
    };
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        builder b;
        build_start(&b, 17);
        build_input(&b, "a", PARTITA_FLOAT32, rows[i].a);
        build_input(&b, "b", PARTITA_FLOAT32, rows[i].b);
        pt_id node = build_node(&b, rows[i].op, "a b", "y");
        if (strcmp(rows[i].op, "Concat") == 0) build_attr_int(&b, node, "axis", 0);
        assert_int_equal(build_infer(&b), PARTITA_BAD_MODEL);
        if (!strstr(pt_last_message(), rows[i].words) || !strstr(pt_last_message(), "node 'y'")) {
            fail_msg("'%s' lacks '%s'", pt_last_message(), rows[i].words);
        }
        build_end(&b);
    }
}

static void bad_shapes_are_named(void **state) {
    PT_UNUSED(state);
    static const struct {
        int64_t shape[3];
        const char *words;
    } rows[] = {{{7, -1, 1}, "do not fit"},
                {{-1, -1, 6}, "more than one"},
                {{2, 2, 2}, "6 elements are to become 8"},
                {{-2, 3, 1}, "a dim of -2"},
                {{3, 2, 0}, "dim 2 is to be copied"}};
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        builder b;
        build_start(&b, 17);
        build_input(&b, "x", PARTITA_FLOAT32, "2,3");
        build_ints(&b, "shape", rows[i].shape, 3);
        build_node(&b, "Reshape", "x shape", "y");
        assert_int_equal(build_infer(&b), PARTITA_BAD_MODEL);
        if (!strstr(pt_last_message(), rows[i].words)) fail_msg("'%s' lacks '%s'", pt_last_message(), rows[i].words);
        build_end(&b);
    }
}

/* Ranks and dims that nobody can hold. */
static void absurd_sizes_are_errors(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "1,1,1,1,1,1,1,1,1,1");
    int64_t axes[40];
    for (int i = 0; i < 40; i++) axes[i] = i;
    build_ints(&b, "axes", axes, 40);
    build_node(&b, "Unsqueeze", "x axes", "y");
    assert_int_equal(build_infer(&b), PARTITA_BAD_MODEL);
    build_end(&b);

    build_start(&b, 17);
    build_input(&b, "p", PARTITA_FLOAT32, "1,1,2,2");
    build_ints(&b, "sizes", (int64_t[]){1, 1, -4, 4}, 4);
    build_node(&b, "Resize", "p - - sizes", "r");
    assert_int_equal(build_infer(&b), PARTITA_BAD_MODEL);
    assert_string_equal(pt_last_message(), "node 'r' (Resize): 'r': a dim of -4");
    build_end(&b);

    build_start(&b, 17);
    build_ints(&b, "huge", (int64_t[]){INT64_MAX, INT64_MAX, 7}, 3);
    build_node(&b, "ConstantOfShape", "huge", "y");
    build_node(&b, "Size", "y", "n");
    OK(build_infer(&b));
    build_end(&b);
}

/* ---- runs ------------------------------------------------------------------------------------ */

typedef struct run_job {
    const pt_model *model;
    pt_id conv, reshape;
    int64_t width;
    bool right;
} run_job;

static void *run_shapes(void *user) {
    run_job *job = user;
    job->right = true;
    for (int i = 0; i < 200; i++) {
        int64_t dims[2 * 16], width = job->width + i;
        pt_shaped out;
        pt_shaped conv[2] = {{PARTITA_KIND_TENSOR, PARTITA_FLOAT32, 4, (int64_t[]){1, 3, 8, width}, NULL},
                             {PARTITA_KIND_TENSOR, PARTITA_FLOAT32, 4, (int64_t[]){4, 3, 3, 3}, NULL}};
        partita_status status = pt_node_infer_actual(job->model, job->conv, conv, 2, &out, dims, 1);
        job->right = job->right && status == PARTITA_OK && out.rank == 4 && dims[1] == 4 && dims[3] == width - 2;
        int64_t shape[3] = {0, 3, -1};
        pt_shaped reshape[2] = {{PARTITA_KIND_TENSOR, PARTITA_FLOAT32, 2, (int64_t[]){2, 3 * width}, NULL},
                                {PARTITA_KIND_TENSOR, PARTITA_INT64, 1, (int64_t[]){3}, shape}};
        status = pt_node_infer_actual(job->model, job->reshape, reshape, 2, &out, dims, 1);
        job->right = job->right && status == PARTITA_OK && out.rank == 3 && dims[0] == 2 && dims[2] == width;
        reshape[1].data = NULL;
        status = pt_node_infer_actual(job->model, job->reshape, reshape, 2, &out, dims, 1);
        job->right = job->right && status == PARTITA_OK && out.rank == 3 && dims[0] == -1 && dims[2] == -1;
    }
    return NULL;
}

static void shapes_of_runs_from_many_threads(void **state) {
    PT_UNUSED(state);
    enum { THREADS = 4 };
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "N,3,h,w");
    build_input(&b, "w", PARTITA_FLOAT32, "4,3,3,3");
    build_input(&b, "s", PARTITA_INT64, "3");
    build_input(&b, "f", PARTITA_FLOAT32, "a,b");
    pt_id conv = build_node(&b, "Conv", "x w", "y"), reshape = build_node(&b, "Reshape", "f s", "z");
    OK(build_infer(&b));
    pthread_t threads[THREADS];
    run_job jobs[THREADS];
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (run_job){b.model, conv, reshape, 10 + i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, run_shapes, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(jobs[i].right);
    }
    /* Shapes that do not fit are the caller's fault now, not the model's. */
    int64_t dims[16];
    pt_shaped out;
    pt_shaped bad[2] = {{PARTITA_KIND_TENSOR, PARTITA_FLOAT32, 4, (int64_t[]){1, 5, 8, 8}, NULL},
                        {PARTITA_KIND_TENSOR, PARTITA_FLOAT32, 4, (int64_t[]){4, 3, 3, 3}, NULL}};
    assert_int_equal(pt_node_infer_actual(b.model, conv, bad, 2, &out, dims, 1), PARTITA_BAD_INPUT);
    build_end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_computed_by_the_graph_resolve),
        cmocka_unit_test(elements_follow_arithmetic),
        cmocka_unit_test(slices_of_symbols),
        cmocka_unit_test(broadcast_and_concat_of_symbols),
        cmocka_unit_test(data_gives_symbols_that_flow),
        cmocka_unit_test(declared_types_are_held_against_inferred_ones),
        cmocka_unit_test(contradictions_are_named),
        cmocka_unit_test(bad_shapes_are_named),
        cmocka_unit_test(absurd_sizes_are_errors),
        cmocka_unit_test(shapes_of_runs_from_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
