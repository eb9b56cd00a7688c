# SPDX-License-Identifier: Apache-2.0
"""Fused products and convolutions of com.microsoft, against onnxruntime."""
import numpy as np

MS = "com.microsoft"
NEAR = {"rtol": 1e-3, "atol": 1e-4}


def make(case, rng):
    f = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    for i in range(40):
        m, k, n = (int(v) for v in rng.integers(1, 70, 3))
        a_lead = [(), (3,), (2, 3), (1, 3)][i % 4]
        b_lead = [(), a_lead, (1,) * len(a_lead)][i % 3]
        turned_a, turned_b = i % 2, i // 2 % 2
        inputs = [f(*a_lead, *((k, m) if turned_a else (m, k))), f(*b_lead, *((n, k) if turned_b else (k, n)))]
        attrs = {"transA": turned_a, "transB": turned_b, "alpha": 0.25 if i % 3 else 1.0}
        case("FusedMatMul", 1, inputs, attrs, domain=MS, **NEAR)
        if i % 5 == 0:
            case("FusedMatMul", 1, [v.astype(np.float64) for v in inputs], attrs, domain=MS)
        inputs = [f(*((k, m) if turned_a else (m, k))), f(*((n, k) if turned_b else (k, n)))]
        c = [None, f(n), f(m, n), f(m, 1)][i % 4]
        activation = ["Relu", "LeakyRelu", "Sigmoid", "Tanh", "Elu", "Softsign", "HardSigmoid"][i % 7]
        more = {"activation": activation}
        if activation in ("LeakyRelu", "Elu", "HardSigmoid"):
            more["activation_alpha"] = 0.2
        if activation == "HardSigmoid":
            more["activation_beta"] = 0.4
        case("FusedGemm", 1, inputs + ([c] if c is not None else []), attrs | more | {"beta": 0.5 if i % 5 else 1.0},
             domain=MS, **NEAR)
    fusions = [{"activation": "Relu"}, {"activation": "Sigmoid"}, {"activation": "Tanh"}, {},
               {"activation": "LeakyRelu", "activation_params": [0.2]},
               {"activation": "Clip", "activation_params": [-0.5, 0.75]},
               {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]}]
    for i in range(28):
        group, channels = [(1, 3), (2, 4), (6, 6), (1, 1)][i % 4]
        features = group * int(rng.integers(1, 20))
        kernel = [(3, 3), (1, 1), (2, 3)][i % 3]
        size = [int(rng.integers(4, 30)) for _ in range(2)]
        attrs = fusions[i % 7] | {"group": group, "pads": [i % 2, 1, 1, 0], "strides": [1 + i % 2, 1]}
        batch = 1 + i % 2
        out = [(size[0] + i % 2 + 1 - kernel[0]) // (1 + i % 2) + 1, size[1] + 1 - kernel[1] + 1]
        inputs = [f(batch, channels, *size), f(features, channels // group, *kernel), f(features) if i % 3 else None]
        if i % 4 < 2:
            inputs.append(f(batch, features, *out))
        while inputs[-1] is None:
            inputs.pop()
        case("FusedConv", 1, inputs, attrs, domain=MS, **NEAR)
