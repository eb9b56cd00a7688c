/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes: text graph in, text graph out.
 */
#include "op/schema.h"
#include "pass/pass.h"
#include "passes/text.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Adds, negates and fills, so that folding has something to fold. */
static partita_status evaluate(void *user, pt_model *model, pt_id id, pt_tensor **out_tensors) {
    const pt_node *node = pt_node_at(model, id);
    const pt_type *type = &pt_value_at(model, node->outputs[0])->type;
    int *calls = user;
    int64_t dims[8];
    uint64_t count, bytes;
    ++*calls;
    bool add = pt_str_is(node->op, "Add"), fill = pt_str_is(node->op, "ConstantOfShape");
    if (!add && !fill) return PARTITA_UNSUPPORTED;
    for (int32_t i = 0; i < type->rank; i++) dims[i] = type->dims[i];
    if (!pt_dims_count(dims, (uint32_t)type->rank, &count)) return PARTITA_BAD_INPUT;
    if (!pt_dtype_bytes(type->dtype, count, &bytes)) return PARTITA_BAD_INPUT;
    float *data = pt_calloc(1, (size_t)bytes + 1);
    if (!data) return PT_OUT_OF_MEMORY();
    for (uint64_t i = 0; add && i < count; i++) {
        for (int k = 0; k < 2; k++) {
            const pt_tensor *tensor = pt_value_at(model, node->inputs[k])->constant;
            data[i] += ((const float *)tensor->weight->data)[i % tensor->count];
        }
    }
    pt_weight *weight;
    PT_TRY(pt_weight_create_owned(data, bytes, &weight));
    return pt_model_add_tensor(model, type->dtype, (uint32_t)type->rank, dims, weight, &out_tensors[0]);
}

/* passes: names with blanks between them; "all": the runner. */
static void check(const char *what, const char *passes, const char *before, const char *after, int calls) {
    pt_model *model;
    pt_text text = {0};
    int called = 0;
    pt_pass_options options = {.evaluate = evaluate, .user = &called};
    partita_status status = text_parse(before, 17, &model);
    if (status) fail_msg("%s: %s", what, pt_last_message());
    status = pt_model_check(model);
    if (status == PARTITA_OK) status = pt_model_infer(model);
    if (status == PARTITA_OK && strcmp(passes, "all") == 0) status = pt_model_run_passes(model, &options);
    for (const char *at = passes; status == PARTITA_OK && *at && strcmp(passes, "all") != 0;) {
        char name[32];
        size_t size = strcspn(at, " ");
        snprintf(name, sizeof name, "%.*s", (int)size, at);
        assert_non_null(pt_pass_find(name));
        status = pt_model_run_pass(model, pt_pass_find(name), &options);
        at += size + (at[size] == ' ');
    }
    if (status == PARTITA_OK) status = pt_model_validate(model);
    if (status) fail_msg("%s: %s", what, pt_last_message());
    pt_model_print(model, &text);
    if (strcmp(text.data, after) != 0) fail_msg("%s:\n%s\nexpected:\n%s", what, text.data, after);
    if (calls >= 0) assert_int_equal(called, calls);
    pt_text_deinit(&text);
    pt_model_destroy(model);
}

static void identity(void **state) {
    PT_UNUSED(state);
    check("chains go", "identity",
          "graph \"g\"\n"
          "  input x: float32[N,3]\n"
          "  a = Identity(x)\n"
          "  b = Dropout(a)\n"
          "  c = Transpose(b) {perm=[0,1]}\n"
          "  d = Concat(c) {axis=0}\n"
          "  y = Relu(d)\n"
          "  output y\n",
          "graph \"g\"\n"
          "  input x: float32[N,3]\n"
          "  y: float32[N,3] = Relu(x) <- \"#4:Relu\"\n"
          "  output y\n"
          "removed \"#0:Identity\" by identity\n"
          "removed \"#1:Dropout\" by identity\n"
          "removed \"#2:Transpose\" by identity\n"
          "removed \"#3:Concat\" by identity\n",
          0);
    check("outputs keep their names", "identity",
          "graph \"g\"\n"
          "  input x: float32[N,3]\n"
          "  a = Relu(x)\n"
          "  y = Identity(a)\n"
          "  b = Neg(a)\n"
          "  z = Identity(x)\n"
          "  output y\n"
          "  output b\n"
          "  output z\n",
          "graph \"g\"\n"
          "  input x: float32[N,3]\n"
          "  y: float32[N,3] = Relu(x) <- \"#0:Relu\"\n"
          "  b: float32[N,3] = Neg(y) <- \"#2:Neg\"\n"
          "  z: float32[N,3] = Identity(x) <- \"#3:Identity\"\n"
          "  output y\n"
          "  output b\n"
          "  output z\n"
          "removed \"#1:Identity\" by identity\n",
          0);
    check("reshape to what is there", "identity",
          "graph \"g\"\n"
          "  input x: float32[N,3]\n"
          "  constant s: int64[2] = {-1,3}\n"
          "  constant t: int64[2] = {3,-1}\n"
          "  a = Reshape(x, s)\n"
          "  b = Reshape(a, t)\n"
          "  output b\n",
          "graph \"g\"\n"
          "  input x: float32[N,3]\n"
          "  constant t: int64[2] = {3,-1}\n"
          "  b: float32[3,N] = Reshape(x, t) {allowzero=0} <- \"#1:Reshape\"\n"
          "  output b\n"
          "removed \"#0:Reshape\" by identity\n",
          0);
    check("a training Dropout and a used mask stay", "identity",
          "graph \"g\"\n"
          "  input x: float32[4]\n"
          "  input t: bool[]\n"
          "  constant r: float32[] = {0.5}\n"
          "  constant no: bool[] = {0}\n"
          "  a = Dropout(x, r, t)\n"
          "  b, mask = Dropout(a, r, no)\n"
          "  c = Dropout(b, r, no)\n"
          "  y = Relu(c)\n"
          "  output y\n"
          "  output mask\n",
          "graph \"g\"\n"
          "  input x: float32[4]\n"
          "  input t: bool[]\n"
          "  constant r: float32[] = {0.5}\n"
          "  constant no: bool[] = {0}\n"
          "  a: float32[4] = Dropout(x, r, t) <- \"#0:Dropout\"\n"
          "  b: float32[4], mask: bool[4] = Dropout(a, r, no) <- \"#1:Dropout\"\n"
          "  y: float32[4] = Relu(b) <- \"#3:Relu\"\n"
          "  output y\n"
          "  output mask\n"
          "removed \"#2:Dropout\" by identity\n",
          0);
}

static void casts(void **state) {
    PT_UNUSED(state);
    check("to the same type, and there and back", "cast dead",
          "graph \"g\"\n"
          "  input x: int32[N]\n"
          "  a = Cast(x) {to=6}\n"
          "  b = Cast(a) {to=7}\n"
          "  c = Cast(b) {to=6}\n"
          "  d = Cast(b) {to=11}\n"
          "  e = Neg(c)\n"
          "  output d\n"
          "  output e\n",
          "graph \"g\"\n"
          "  input x: int32[N]\n"
          "  d: float64[N] = Cast(x) {to=11} <- \"#3:Cast\"\n"
          "  e: int32[N] = Neg(x) <- \"#4:Neg\"\n"
          "  output d\n"
          "  output e\n"
          "removed \"#0:Cast\" by cast\n"
          "removed \"#1:Cast\" by dead\n"
          "removed \"#2:Cast\" by cast\n",
          0);
    check("what loses digits stays", "cast dead",
          "graph \"g\"\n"
          "  input x: int32[N]\n"
          "  input f: float32[N]\n"
          "  a = Cast(x) {to=1}\n"
          "  y = Cast(a) {to=6}\n"
          "  b = Cast(f) {to=11}\n"
          "  t = Cast(b) {to=8}\n"
          "  output y\n"
          "  output t\n",
          "graph \"g\"\n"
          "  input x: int32[N]\n"
          "  input f: float32[N]\n"
          "  a: float32[N] = Cast(x) {to=1} <- \"#0:Cast\"\n"
          "  y: int32[N] = Cast(a) {to=6} <- \"#1:Cast\"\n"
          "  b: float64[N] = Cast(f) {to=11} <- \"#2:Cast\"\n"
          "  t: string[N] = Cast(b) {to=8} <- \"#3:Cast\"\n"
          "  output y\n"
          "  output t\n",
          0);
}

static void shapes(void **state) {
    PT_UNUSED(state);
    check("exact chains vanish", "all",
          "graph \"g\"\n"
          "  input x: float32[2,3,4]\n"
          "  constant zero: int64[1] = {0}\n"
          "  constant rest: int64[1] = {-1}\n"
          "  s = Shape(x)\n"
          "  n = Gather(s, zero)\n"
          "  to = Concat(n, rest) {axis=0}\n"
          "  y = Reshape(x, to)\n"
          "  output y\n"
          "  output s\n",
          "graph \"g\"\n"
          "  input x: float32[2,3,4]\n"
          "  constant s: int64[3] = {2,3,4}\n"
          "  constant to: int64[2] = {2,-1}\n"
          "  y: float32[2,12] = Reshape(x, to) {allowzero=0} <- \"#3:Reshape\"\n"
          "  output y\n"
          "  output s\n"
          "removed \"#0:Shape\" by shape\n"
          "removed \"#1:Gather\" by shape\n"
          "removed \"#2:Concat\" by shape\n",
          0);
    check("a node that stays computes all its outputs, known ones too", "all",
          "graph \"g\"\n"
          "  input x: float32[N,3]\n"
          "  s = Shape(x)\n"
          "  p, q = Split(s) {axis=0}\n"
          "  y = Expand(x, q)\n"
          "  output y\n"
          "  output p\n",
          "graph \"g\"\n"
          "  input x: float32[N,3]\n"
          "  constant %5: int64[1] = {3}\n"
          "  s: int64[2] = Shape(x) {start=0} <- \"#0:Shape\"\n"
          "  p: int64[1], q: int64[1] = Split(s) {axis=0} <- \"#1:Split\"\n"
          "  y: float32[N,3] = Expand(x, %5) <- \"#2:Expand\"\n"
          "  output y\n"
          "  output p\n",
          0);
    check("symbolic ones stay", "all",
          "graph \"g\"\n"
          "  input x: float32[N,3,4]\n"
          "  constant one: int64[1] = {1}\n"
          "  s = Shape(x)\n"
          "  n = Gather(s, one)\n"
          "  y = Identity(s)\n"
          "  output y\n"
          "  output n\n",
          "graph \"g\"\n"
          "  input x: float32[N,3,4]\n"
          "  constant n: int64[1] = {3}\n"
          "  y: int64[3] = Shape(x) {start=0} <- \"#0:Shape\"\n"
          "  output y\n"
          "  output n\n"
          "removed \"#1:Gather\" by shape\n"
          "removed \"#2:Identity\" by identity\n",
          0);
}

static void folding(void **state) {
    PT_UNUSED(state);
    check("sums of constants", "all",
          "graph \"g\"\n"
          "  input x: float32[2]\n"
          "  constant a: float32[2] = {1,2}\n"
          "  constant b: float32[] = {10}\n"
          "  c = Add(a, b)\n"
          "  d = Add(c, c)\n"
          "  e = Mul(d, d)\n" /* which the evaluator cannot do */
          "  y = Add(x, d)\n"
          "  z = Add(y, e)\n"
          "  output z\n",
          "graph \"g\"\n"
          "  input x: float32[2]\n"
          "  constant d: float32[2] = {22,24}\n"
          "  e: float32[2] = Mul(d, d) <- \"#2:Mul\"\n"
          "  y: float32[2] = Add(x, d) <- \"#3:Add\"\n"
          "  z: float32[2] = Add(y, e) <- \"#4:Add\"\n"
          "  output z\n"
          "removed \"#0:Add\" by fold\n"
          "removed \"#1:Add\" by fold\n",
          4);
    check("a result beyond the budget is not asked for", "fold",
          "graph \"g\"\n"
          "  constant small: int64[1] = {1000}\n"
          "  constant large: int64[2] = {1000,1000}\n"
          "  a = ConstantOfShape(small)\n"
          "  b = ConstantOfShape(large)\n"
          "  output a\n"
          "  output b\n",
          "graph \"g\"\n"
          "  constant large: int64[2] = {1000,1000}\n"
          "  constant a: float32[1000] = {4000 bytes}\n"
          "  b: float32[1000,1000] = ConstantOfShape(large) <- \"#1:ConstantOfShape\"\n"
          "  output a\n"
          "  output b\n"
          "removed \"#0:ConstantOfShape\" by fold\n",
          1);
    check("the DequantizeLinear of a weight stays", "fold",
          "graph \"g\"\n"
          "  input x: float32[2,2]\n"
          "  constant w: int8[2,2] = {1,2,3,4}\n"
          "  constant s: float32[] = {0.5}\n"
          "  d = DequantizeLinear(w, s) {axis=1}\n"
          "  y = MatMul(x, d)\n"
          "  output y\n",
          "graph \"g\"\n"
          "  input x: float32[2,2]\n"
          "  constant w: int8[2,2] = {1,2,3,4}\n"
          "  constant s: float32[] = {0.5}\n"
          "  d: float32[2,2] = DequantizeLinear(w, s) {axis=1} <- \"#0:DequantizeLinear\"\n"
          "  y: float32[2,2] = MatMul(x, d) <- \"#1:MatMul\"\n"
          "  output y\n",
          0);
    check("random numbers stay random", "fold cse",
          "graph \"g\"\n"
          "  a = RandomNormal() {shape=[2]}\n"
          "  b = RandomNormal() {shape=[2]}\n"
          "  y = Add(a, b)\n"
          "  output y\n",
          "graph \"g\"\n"
          "  a: float32[2] = RandomNormal() {shape=[2], dtype=1, mean=0, scale=1} <- \"#0:RandomNormal\"\n"
          "  b: float32[2] = RandomNormal() {shape=[2], dtype=1, mean=0, scale=1} <- \"#1:RandomNormal\"\n"
          "  y: float32[2] = Add(a, b) <- \"#2:Add\"\n"
          "  output y\n",
          0);
}

static void common_subexpressions(void **state) {
    PT_UNUSED(state);
    check("equal nodes, equal constants", "cse dead",
          "graph \"g\"\n"
          "  input x: float32[N]\n"
          "  constant a: float32[1] = {2}\n"
          "  constant b: float32[1] = {2}\n"
          "  constant c: float32[] = {2}\n"
          "  p = Mul(x, a)\n"
          "  q = Mul(x, b)\n"
          "  r = Mul(x, c)\n"
          "  s = Elu(p) {alpha=0.5}\n"
          "  t = Elu(q) {alpha=0.5}\n"
          "  u = Elu(q) {alpha=0.25}\n"
          "  y = Sum(s, t, u, r)\n"
          "  z = Elu(q) {alpha=0.5}\n" /* an output keeps its node */
          "  output y\n"
          "  output z\n",
          "graph \"g\"\n"
          "  input x: float32[N]\n"
          "  constant a: float32[1] = {2}\n"
          "  constant c: float32[] = {2}\n"
          "  p: float32[N] = Mul(x, a) <- \"#0:Mul\"\n"
          "  r: float32[N] = Mul(x, c) <- \"#2:Mul\"\n"
          "  s: float32[N] = Elu(p) {alpha=0.5} <- \"#3:Elu\"\n"
          "  u: float32[N] = Elu(p) {alpha=0.25} <- \"#5:Elu\"\n"
          "  y: float32[N] = Sum(s, s, u, r) <- \"#6:Sum\"\n"
          "  z: float32[N] = Elu(p) {alpha=0.5} <- \"#7:Elu\"\n"
          "  output y\n"
          "  output z\n"
          "removed \"#1:Mul\" by cse\n"
          "removed \"#4:Elu\" by cse\n",
          0);
}

static void quantised_readers(void **state) {
    PT_UNUSED(state);
    check("who quantises its result dequantises by itself", "all",
          "graph \"g\"\n"
          "  input x: uint8[2,2]\n"
          "  constant s: float32[] = {0.5}\n"
          "  d = DequantizeLinear(x, s)\n"
          "  a = Neg(d)\n"
          "  p = QuantizeLinear(a, s)\n"
          "  b = Abs(d)\n"
          "  c = Transpose(b) {perm=[1,0]}\n"
          "  q = QuantizeLinear(c, s)\n"
          "  e = Exp(d)\n" /* stays with the first one, as does a second reader in floats */
          "  f = Sqrt(d)\n"
          "  output p\n"
          "  output q\n"
          "  output e\n"
          "  output f\n",
          "graph \"g\"\n"
          "  input x: uint8[2,2]\n"
          "  constant s: float32[] = {0.5}\n"
          "  d: float32[2,2] = DequantizeLinear(x, s) {axis=1} <- \"#0:DequantizeLinear\"\n"
          "  %11: float32[2,2] = DequantizeLinear(x, s) {axis=1} <- \"#0:DequantizeLinear\"\n"
          "  a: float32[2,2] = Neg(%11) <- \"#1:Neg\"\n"
          "  p: uint8[2,2] = QuantizeLinear(a, s) {axis=1} <- \"#2:QuantizeLinear\"\n"
          "  %10: float32[2,2] = DequantizeLinear(x, s) {axis=1} <- \"#0:DequantizeLinear\"\n"
          "  b: float32[2,2] = Abs(%10) <- \"#3:Abs\"\n"
          "  c: float32[2,2] = Transpose(b) {perm=[1,0]} <- \"#4:Transpose\"\n"
          "  q: uint8[2,2] = QuantizeLinear(c, s) {axis=1} <- \"#5:QuantizeLinear\"\n"
          "  e: float32[2,2] = Exp(d) <- \"#6:Exp\"\n"
          "  f: float32[2,2] = Sqrt(d) <- \"#7:Sqrt\"\n"
          "  output p\n"
          "  output q\n"
          "  output e\n"
          "  output f\n",
          0);
}

static void bodies(void **state) {
    PT_UNUSED(state);
    check("passes go into bodies, and dead ones go whole", "identity dead",
          "graph \"g\"\n"
          "  input x: float32[N]\n"
          "  input c: bool[]\n"
          "  a = Identity(x)\n"
          "  unused = If(c) {then_branch=graph, else_branch=graph}\n"
          "    graph \"t0\"\n"
          "      p = Relu(a)\n"
          "      output p\n"
          "    graph \"e0\"\n"
          "      q = Neg(a)\n"
          "      output q\n"
          "  y = If(c) {then_branch=graph, else_branch=graph}\n"
          "    graph \"t1\"\n"
          "      r = Relu(a)\n"
          "      s = Identity(r)\n"
          "      output s\n"
          "    graph \"e1\"\n"
          "      u = Neg(a)\n"
          "      v = Neg(u)\n"
          "      w = Identity(a)\n"
          "      output w\n"
          "  output y\n",
          "graph \"g\"\n"
          "  input x: float32[N]\n"
          "  input c: bool[]\n"
          "  y: float32[N] = If(c) {then_branch=graph, else_branch=graph} <- \"#2:If\"\n"
          "    graph \"t1\"\n"
          "      s: float32[N] = Relu(x) <- \"#0:Relu\"\n"
          "      output s\n"
          "    graph \"e1\"\n"
          "      w: float32[N] = Identity(x) <- \"#2:Identity\"\n"
          "      output w\n"
          "  output y\n"
          "removed \"#0:Identity\" by identity\n"
          "removed \"#1:If\" by dead\n"
          "removed \"#0:Relu\" by dead\n"
          "removed \"#0:Neg\" by dead\n"
          "removed \"#1:Identity\" by identity\n"
          "removed \"#0:Neg\" by dead\n"
          "removed \"#1:Neg\" by dead\n",
          0);
}

static void conv_with_batch_normalization(void **state) {
    PT_UNUSED(state);
    check("one node carries both", "conv_bn dead",
          "graph \"g\"\n"
          "  input x: float32[1,2,4,4]\n"
          "  constant w: float32[2,2,1,1] = {1,2,3,4}\n"
          "  constant s: float32[2] = {2,4}\n"
          "  constant b: float32[2] = {1,-1}\n"
          "  constant m: float32[2] = {3,5}\n"
          "  constant v: float32[2] = {4,1}\n"
          "  c = Conv(x, w) <- \"conv\"\n"
          "  n = BatchNormalization(c, s, b, m, v) {epsilon=0.0} <- \"norm\"\n"
          "  y = Relu(n) <- \"relu\"\n"
          "  output y\n",
          "graph \"g\"\n"
          "  input x: float32[1,2,4,4]\n"
          "  constant %9: float32[2,2,1,1] = {1,2,12,16}\n"
          "  constant %10: float32[2] = {-2,-21}\n"
          "  n: float32[1,2,4,4] = Conv(x, %9, %10) {auto_pad=\"NOTSET\", group=1} <- \"conv\", \"norm\"\n"
          "  y: float32[1,2,4,4] = Relu(n) <- \"relu\"\n"
          "  output y\n",
          0);
    check("not where the Conv's result is used otherwise", "conv_bn",
          "graph \"g\"\n"
          "  input x: float32[1,1,4,4]\n"
          "  constant w: float32[1,1,1,1] = {1}\n"
          "  constant s: float32[1] = {2}\n"
          "  c = Conv(x, w)\n"
          "  n = BatchNormalization(c, s, s, s, s)\n"
          "  output c\n"
          "  output n\n",
          "graph \"g\"\n"
          "  input x: float32[1,1,4,4]\n"
          "  constant w: float32[1,1,1,1] = {1}\n"
          "  constant s: float32[1] = {2}\n"
          "  c: float32[1,1,4,4] = Conv(x, w) {auto_pad=\"NOTSET\", group=1} <- \"#0:Conv\"\n"
          "  n: float32[1,1,4,4] = BatchNormalization(c, s, s, s, s) "
          "{epsilon=9.99999975e-06, momentum=0.899999976, training_mode=0} <- \"#1:BatchNormalization\"\n"
          "  output c\n"
          "  output n\n",
          0);
}

/* Under failing allocations passes return an error and the model can still be destroyed. */
static void every_allocation_may_fail(void **state) {
    PT_UNUSED(state);
    static const char before[] = "graph \"g\"\n"
                                 "  input x: float32[1,2,4,4]\n"
                                 "  constant w: float32[2,2,1,1] = {1,2,3,4}\n"
                                 "  constant s: float32[2] = {2,4}\n"
                                 "  constant i: int64[1] = {0}\n"
                                 "  constant z: float32[] = {0.5}\n"
                                 "  c = Conv(x, w)\n"
                                 "  n = BatchNormalization(c, s, s, s, s)\n"
                                 "  a = Identity(n)\n"
                                 "  b = Add(s, s)\n"
                                 "  h = Shape(a)\n"
                                 "  d = Gather(h, i)\n"
                                 "  e = Relu(a)\n"
                                 "  f = Relu(a)\n"
                                 "  y = Sum(e, f)\n"
                                 "  k = QuantizeLinear(y, z)\n"
                                 "  l = DequantizeLinear(k, z)\n"
                                 "  m = Neg(l)\n"
                                 "  r = QuantizeLinear(m, z)\n"
                                 "  o = Abs(l)\n"
                                 "  p = QuantizeLinear(o, z)\n"
                                 "  output r\n"
                                 "  output p\n"
                                 "  output y\n"
                                 "  output b\n"
                                 "  output d\n";
    for (int64_t k = 0;; k++) {
        pt_model *model;
        int calls = 0;
        pt_pass_options options = {.evaluate = evaluate, .user = &calls};
        assert_int_equal(text_parse(before, 17, &model), PARTITA_OK);
        assert_int_equal(pt_model_check(model), PARTITA_OK);
        assert_int_equal(pt_model_infer(model), PARTITA_OK);
        pt_alloc_fail_after(k, true);
        partita_status status = pt_model_run_passes(model, &options);
        pt_alloc_fail_after(-1, false);
        if (status == PARTITA_OK) assert_int_equal(pt_model_validate(model), PARTITA_OK);
        pt_model_destroy(model);
        if (status == PARTITA_OK) break;
        assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        assert_true(k < 10000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity),
        cmocka_unit_test(casts),
        cmocka_unit_test(shapes),
        cmocka_unit_test(folding),
        cmocka_unit_test(common_subexpressions),
        cmocka_unit_test(quantised_readers),
        cmocka_unit_test(bodies),
        cmocka_unit_test(conv_with_batch_normalization),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
