# SPDX-License-Identifier: Apache-2.0
"""Makes ONNX's backend tests as a tree of folders out of the installed package: TARGET/node/test_x/{model.onnx,...}.

    python onnx_tree.py TARGET

The package ships most node tests as code, not as files. Left out are the ten that depend on a random generator that ONNX
does not fix.
"""
import os
import shutil
import sys

import onnx
from onnx import numpy_helper

UNFIXED = {"test_bernoulli", "test_bernoulli_double", "test_bernoulli_double_expanded", "test_bernoulli_expanded",
           "test_bernoulli_seed", "test_bernoulli_seed_expanded", "test_training_dropout",
           "test_training_dropout_default", "test_training_dropout_default_mask", "test_training_dropout_mask"}


def proto_of(value, info):
    """The value as the proto that the model's type asks for."""
    kind = info.type.WhichOneof("value")
    if hasattr(value, "SerializeToString"):
        return value
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name)
    if kind == "map_type":
        return numpy_helper.from_dict(value, info.name)
    return numpy_helper.from_array(value, info.name)


def write_case(folder, case):
    os.makedirs(folder)
    onnx.save(case.model, os.path.join(folder, "model.onnx"))
    for index, (inputs, outputs) in enumerate(case.data_sets):
        data = os.path.join(folder, f"test_data_set_{index}")
        os.makedirs(data)
        for what, values, infos in (("input", inputs, case.model.graph.input),
                                    ("output", outputs, case.model.graph.output)):
            for i, (value, info) in enumerate(zip(values, infos)):
                with open(os.path.join(data, f"{what}_{i}.pb"), "wb") as file:
                    file.write(proto_of(value, info).SerializeToString())


def make(target):
    from onnx.backend.test.loader import load_model_tests
    from onnx.backend.test.case.node import collect_testcases
    if os.path.exists(os.path.join(target, ".complete")):
        return
    shutil.rmtree(target, ignore_errors=True)
    for case in collect_testcases(None):
        if case.name not in UNFIXED:
            write_case(os.path.join(target, "node", case.name), case)
    for kind in ("simple", "pytorch-converted", "pytorch-operator"):
        for case in load_model_tests(kind=kind):
            if case.name not in UNFIXED:
                shutil.copytree(case.model_dir, os.path.join(target, kind, case.name))
    open(os.path.join(target, ".complete"), "w").close()


if __name__ == "__main__":
    make(sys.argv[1])
