# SPDX-License-Identifier: Apache-2.0
"""Writes the models of this folder and, beside each, inputs and what onnxruntime computes from them.

usage: make.py FOLDER     (needs onnx, onnxruntime and numpy)
A line of NAME.txt: "input" or "output", name, dtype, dims joined by "x" ("-" for a scalar), elements."""
import sys
import numpy as np
import onnx
import onnx.parser
import onnxruntime

HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n'

MODELS = {
    # Branches that can run on several devices at once; `h` is an output and is read again; N is free.
    'branches': ("""agraph (float[N, 8] x) => (float[N, 4] y, float[N, 8] h) <
        float[8, 8] w1 = {%s}, float[8, 4] w2 = {%s}, float[8, 4] w3 = {%s}, float[8] b = {%s}> {
        m = MatMul(x, w1)  a = Add(m, b)  h = Relu(a)
        l = MatMul(h, w2)  l1 = Sigmoid(l)  l2 = Mul(l, l1)
        r = MatMul(h, w3)  r1 = Tanh(r)  r2 = Exp(r1)
        s = Sub(l2, r2)  t = Abs(s)  y = Add(t, l) }""", {'x': (3, 8)}),
    # The taken branch uses values of the outer graph; the other gives constants.
    'branch': ("""agraph (float[3] x, bool c) => (float[3] y, float z) {
        a = Exp(x)
        p, q = If (c) <then_branch = t () => (float[3] ty, float tz) { ty = Mul(a, x)  tz = ReduceSum <keepdims = 0> (ty) },
                       else_branch = e () => (float[3] ey, float ez) <float ez = {5}> { ey = Identity(a) }>
        y = Neg(p)  z = Identity(q) }""", {'x': (3,), 'c': ()}),
    # Carried sum, captured value, scan output, stop by condition.
    'loop': ("""agraph (float[2] x, int64 n) => (float[2] y, float[T, 2] trace) <bool yes = {1}, float limit = {60}> {
        step = Exp(x)
        y, trace = Loop (n, yes, x) <body = b (int64 i, bool go, float[2] v) => (bool more, float[2] w, float[2] out)
            { w = Add(v, step)  out = Mul(w, w)  total = ReduceSum <keepdims = 0> (out)  more = Less(total, limit) }> }""",
             {'x': (2,), 'n': 7}),
    'loop_none': ("""agraph (float[2] x, int64 n) => (float[2] y, float[T, 2] trace) <bool yes = {1}> {
        y, trace = Loop (n, yes, x) <body = b (int64 i, bool go, float[2] v) => (bool more, float[2] w, float[2] out)
            { w = Add(v, x)  out = Mul(w, w)  more = Identity(go) }> }""", {'x': (2,), 'n': 0}),
    # An If inside a Loop; both capture from two graphs out.
    'nested': ("""agraph (float[2] x, int64 n) => (float[2] y) <bool yes = {1}, int64 two = {2}, int64 zero = {0}> {
        e = Exp(x)
        y = Loop (n, yes, x) <body = b (int64 i, bool go, float[2] v) => (bool more, float[2] w) {
            more = Identity(go)  odd = Mod(i, two)  even = Equal(odd, zero)  k = Neg(v)
            w = If (even) <then_branch = t () => (float[2] tv) { tv = Add(v, e) },
                           else_branch = f () => (float[2] fv) { fx = Mul(k, e)  fv = Sub(fx, x) }> }> }""",
               {'x': (2,), 'n': 4}),
    'scan': ("""agraph (float[2] s, float[2, 5] x, float[5, 2] z) => (float[2] last, float[2, 5] out, float[5, 2] back) {
        last, out, back = Scan (s, x, z) <num_scan_inputs = 2, scan_input_axes = [1, 0], scan_input_directions = [0, 1],
            scan_output_axes = [1, 0], scan_output_directions = [0, 1],
            body = b (float[2] a, float[2] u, float[2] v) => (float[2] c, float[2] d, float[2] f)
            { c = Add(a, u)  d = Mul(c, v)  f = Sub(c, v) }> }""", {'s': (2,), 'x': (2, 5), 'z': (5, 2)}),
    # Two chains that two devices run at once, and where they meet.
    'lanes': ("""agraph (float[N, 16] x) => (float[N, 16] y) {
        a = Relu(x)  a1 = Abs(a)  a2 = Neg(a1)  b = Tanh(x)  b1 = Sigmoid(b)  b2 = Exp(b1)
        c = Mul(a2, b2)  c1 = Mul(c, c)  y = Sqrt(c1) }""", {'x': (4, 16)}),
    # Shapes that only the data tells, in a part and behind it.
    'data': ("""agraph (float[4, 5] x) => (int64[2, K] at, float[K] v, float s) {
        r = Relu(x)  at = NonZero(r)  pairs = Transpose <perm = [1, 0]> (at)  v = GatherND(x, pairs)
        e = Exp(v)  s = ReduceSum <keepdims = 0> (e) }""", {'x': (4, 5)}),
    # Outputs that nothing computes.
    'through': ("""agraph (float[3] x) => (float[3] x1, float[3] x2, float[2] k) <float[2] k = {1.5, 2.5}> {
        x1 = Identity(x)  x2 = Identity(x) }""", {'x': (3,)}),
    'sequence': ("""agraph (float[2] x, int64 n) => (float[M] y) <bool yes = {1}> {
        s0 = SequenceEmpty ()  e = Exp(x)
        s = Loop (n, yes, s0) <body = b (int64 i, bool go, seq(float[2]) a) => (bool more, seq(float[2]) c) {
            more = Identity(go)  f = Cast <to = 1> (i)  g = Mul(e, f)  c = SequenceInsert(a, g) }>
        y = ConcatFromSequence <axis = 0> (s) }""", {'x': (2,), 'n': 3}),
}


DEFAULTS = """agraph (float[N, 4] x, float[4] scale = {%s}, float[1] bias = {0.5}) => (float[N, 4] y) <float[4] k = {%s}> {
        e = Exp(scale)  m = Mul(x, e)  a = Add(m, k)  y = Add(a, bias) }"""

# Made with numbers of their own, so that a new one changes no other.
LATER = {
    # A window that short inputs do not fill.
    'window': ("""agraph (float[N, 1, L] x) => (float[N, 2, K] y) <float[2, 1, 5] w = {%s}> {
        a = Relu(x)  c = Conv(a, w)  y = Exp(c) }""", {'x': (1, 1, 9)}, (10,)),
    # Operators that are functions: by themselves, and in a body.
    'function': ("""agraph (float[N, 8] x) => (float[N, 8] y, float[N, 8] e) {
        e = Exp(x)  l = MeanVarianceNormalization <axes = [1]> (e)  h = HardSwish(l)  y = Add(h, x) }""",
                 {'x': (3, 8)}, ()),
    'function_body': ("""agraph (float[2, 8] x, int64 n) => (float[2, 8] y) <bool yes = {1}> {
        y = Loop (n, yes, x) <body = b (int64 i, bool go, float[2, 8] v) => (bool more, float[2, 8] w) {
            more = Identity(go)  l = MeanVarianceNormalization <axes = [0, 1]> (v)  w = Add(l, x) }> }""",
                      {'x': (2, 8), 'n': 3}, ()),
    # Inputs with defaults, left out; one of any length.
    'defaults': (DEFAULTS, {'x': (3, 4)}, (4, 4)),
    'defaults_given': (DEFAULTS, {'x': (3, 4), 'scale': (4,), 'bias': (4,)}, (4, 4)),
}


def scan8():
    f = onnx.TensorProto.FLOAT
    info = onnx.helper.make_tensor_value_info
    body = onnx.helper.make_graph(
        [onnx.helper.make_node('Add', ['a', 'u'], ['c']), onnx.helper.make_node('Mul', ['c', 'u'], ['d'])], 'body',
        [info('a', f, [2]), info('u', f, [2])], [info('c', f, [2]), info('d', f, [2])])
    node = onnx.helper.make_node('Scan', ['n', 's', 'x'], ['last', 'out'], body=body, num_scan_inputs=1, directions=[1])
    graph = onnx.helper.make_graph([node], 'scan8', [info('n', onnx.TensorProto.INT64, [2]), info('s', f, [2, 2]),
                                                     info('x', f, [2, 4, 2])],
                                   [info('last', f, [2, 2]), info('out', f, [2, 4, 2])])
    return onnx.helper.make_model(graph, ir_version=3, opset_imports=[onnx.helper.make_opsetid('', 8)])


def numbers(rng, count):
    return ', '.join(f'{v:.4f}' for v in rng.uniform(-1, 1, count))


def line(kind, name, array):
    array = np.asarray(array)
    dims = 'x'.join(map(str, array.shape)) or '-'
    text = [repr(float(v)) if array.dtype.kind == 'f' else str(int(v)) for v in array.reshape(-1)]
    return ' '.join([kind, name, array.dtype.name, dims] + text) + '\n'


def write(folder, name, model, feed):
    onnx.save(model, f'{folder}/{name}.onnx')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])
    results = session.run(None, feed)
    with open(f'{folder}/{name}.txt', 'w') as f:
        for key, array in feed.items():
            f.write(line('input', key, array))
        for output, array in zip(session.get_outputs(), results):
            f.write(line('output', output.name, array))


def later(folder):
    for name, (text, shapes, counts) in LATER.items():
        rng = np.random.default_rng(11)
        model = onnx.parser.parse_model(HEAD + text % tuple(numbers(rng, n) for n in counts))
        for value in model.graph.input:
            if value.name == 'bias':
                value.type.tensor_type.shape.dim[0].dim_param = 'S'
        write(folder, name, model, {key: np.array(shape, np.int64) if key == 'n' else
                                    rng.uniform(-1, 1, shape).astype(np.float32) for key, shape in shapes.items()})


def main(folder):
    rng = np.random.default_rng(7)
    for name, (text, shapes) in MODELS.items():
        if '%s' in text:
            text = text % tuple(numbers(rng, n) for n in (64, 32, 32, 8))
        model = onnx.parser.parse_model(HEAD + text)
        feed = {}
        for key, shape in shapes.items():
            if key == 'n':
                feed[key] = np.array(shape, np.int64)
            elif key == 'c':
                feed[key] = np.array(True)
            else:
                feed[key] = rng.uniform(-1, 1, shape).astype(np.float32)
        write(folder, name, model, feed)
        if 'c' in feed:
            feed['c'] = np.array(False)
            write(folder, name + '_else', model, feed)
    later(folder)
    write(folder, 'scan8', scan8(), {'n': np.array([4, 2], np.int64), 's': rng.uniform(-1, 1, (2, 2)).astype(np.float32),
                                     'x': rng.uniform(-1, 1, (2, 4, 2)).astype(np.float32)})


main(sys.argv[1])
