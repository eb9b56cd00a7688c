# SPDX-License-Identifier: Apache-2.0
"""LSTM, GRU and RNN with all their attributes."""
import numpy as np


def make(case, rng):
    def f(*shape):
        return (rng.standard_normal(shape) * 0.5).astype(np.float32)

    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}

    def inputs(op, steps, batch, size, hidden, dirs, bias, lengths, first, peep=False):
        g = gates[op]
        out = [f(steps, batch, size), f(dirs, g * hidden, size), f(dirs, g * hidden, hidden),
               f(dirs, 2 * g * hidden) if bias else None,
               rng.integers(1, steps + 1, batch).astype(np.int32) if lengths else None,
               f(dirs, batch, hidden) if first else None]
        if op == "LSTM":
            out += [f(dirs, batch, hidden) if first else None, f(dirs, 3 * hidden) if peep else None]
        while out[-1] is None:
            out.pop()
        return out

    names = {1: ["forward", "reverse"], 2: ["bidirectional"]}
    for op in gates:
        outs = 3 if op == "LSTM" else 2
        for dirs in (1, 2):
            for direction in names[dirs]:
                for bias, lengths, first in [(0, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)]:
                    attrs = {"hidden_size": 5, "direction": direction}
                    case(op, 14, inputs(op, 6, 3, 4, 5, dirs, bias, lengths, first), attrs, outputs=outs)
        case(op, 7, inputs(op, 1, 1, 30, 40, 1, 1, 0, 1), {"hidden_size": 40}, outputs=outs)
        case(op, 14, inputs(op, 20, 2, 33, 17, 2, 1, 0, 0), {"hidden_size": 17, "direction": "bidirectional"},
             outputs=outs)
        case(op, 14, inputs(op, 3, 7, 4, 64, 1, 1, 0, 0), {"hidden_size": 64}, outputs=outs)
        case(op, 14, inputs(op, 4, 2, 3, 5, 1, 1, 0, 1), {"hidden_size": 5, "clip": 0.3}, outputs=outs)
        case(op, 14, inputs(op, 4, 2, 3, 5, 1, 1, 0, 1), {"hidden_size": 5}, outputs=outs, as_type=np.float64)
        each = {"LSTM": 3, "GRU": 2, "RNN": 1}[op]
        for name, alpha, beta in [("Relu", [], []), ("HardSigmoid", [0.3], [0.4]), ("LeakyRelu", [0.1], []),
                                  ("Softsign", [], []), ("Affine", [0.5], [0.1]), ("Elu", [0.7], []),
                                  ("Softplus", [], []), ("ScaledTanh", [0.9], [0.8]), ("ThresholdedRelu", [0.1], [])]:
            attrs = {"hidden_size": 5, "activations": [name] * each}
            if alpha:
                attrs["activation_alpha"] = alpha * each
            if beta:
                attrs["activation_beta"] = beta * each
            case(op, 14, inputs(op, 3, 2, 3, 5, 1, 1, 0, 1), attrs, outputs=outs, rtol=1e-4, atol=1e-4)
    for lengths in (0, 1):
        case("LSTM", 14, inputs("LSTM", 5, 2, 3, 7, 1, 1, lengths, 1, True), {"hidden_size": 7}, outputs=3)
        case("LSTM", 14, inputs("LSTM", 5, 2, 3, 7, 2, 1, lengths, 1, True),
             {"hidden_size": 7, "direction": "bidirectional"}, outputs=3)
    case("LSTM", 14, inputs("LSTM", 5, 2, 3, 7, 1, 1, 0, 1), {"hidden_size": 7, "input_forget": 1}, outputs=3)
    for direction, dirs in [("forward", 1), ("reverse", 1), ("bidirectional", 2)]:
        for lengths in (0, 1):
            case("GRU", 14, inputs("GRU", 5, 2, 3, 7, dirs, 1, lengths, 1),
                 {"hidden_size": 7, "linear_before_reset": 1, "direction": direction}, outputs=2)
    case("GRU", 14, inputs("GRU", 5, 2, 3, 7, 1, 0, 0, 1), {"hidden_size": 7, "linear_before_reset": 1}, outputs=2)
    from make_cases import compute
    for op in gates:
        values = inputs(op, 4, 3, 6, 5, 2, 1, 1, 1)
        attrs = {"hidden_size": 5, "direction": "bidirectional"}
        y, *states = compute(op, 14, values, attrs, 3 if op == "LSTM" else 2, "")
        swapped = [v.swapaxes(0, 1).copy() if i in (0, 5, 6) else v for i, v in enumerate(values)]
        case(op, 14, swapped, attrs | {"layout": 1},
             expect=[y.transpose(2, 0, 1, 3).copy()] + [s.swapaxes(0, 1).copy() for s in states])
