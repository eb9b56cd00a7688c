# SPDX-License-Identifier: Apache-2.0
"""Makes ONNX's backend tests as a tree of folders out of the installed package: TARGET/node/test_x/{model.onnx,...}.

    python onnx_tree.py TARGET

The package ships most node tests as code, not as files; of the real networks it has light ones, whose weights are made
by their own nodes, with outputs for the inputs that its runner makes. Left out are the ten that depend on a random
generator that ONNX does not fix.
"""
import glob
import os
import shutil
import sys

import numpy as np
import onnx
from onnx import numpy_helper

UNFIXED = {"test_bernoulli", "test_bernoulli_double", "test_bernoulli_double_expanded", "test_bernoulli_expanded",
           "test_bernoulli_seed", "test_bernoulli_seed_expanded", "test_training_dropout",
           "test_training_dropout_default", "test_training_dropout_default_mask", "test_training_dropout_mask"}
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")
COUNT = 2023  # of onnx 1.23.2, which the tests pin


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


def make_node(target):
    from onnx.backend.test.case.node import collect_testcases
    for case in collect_testcases(None):
        if case.name not in UNFIXED:
            write_case(os.path.join(target, case.name), case)


def make_real(target):
    """Inputs as onnx.backend.test.runner makes them: 0 to 1 in equal steps."""
    from onnx.backend.test.loader import DATA_DIR, load_model_tests
    for case in load_model_tests(kind="real"):
        folder = os.path.join(target, case.name)
        light = os.path.join(DATA_DIR, "light", os.path.basename(case.url))
        data = os.path.join(folder, "test_data_set_0")
        os.makedirs(data)
        shutil.copy(light, os.path.join(folder, "model.onnx"))
        shutil.copy(os.path.join(DATA_DIR, "real", case.name, "data.json"), folder)
        graph = onnx.load(light).graph
        constants = {i.name for i in graph.initializer}
        for i, port in enumerate(p for p in graph.input if p.name not in constants):
            shape = [d.dim_value or 1 for d in port.type.tensor_type.shape.dim]
            steps = (np.arange(np.prod(shape)).reshape(shape) / np.prod(shape)).astype(np.float32)
            onnx.save_tensor(numpy_helper.from_array(steps, port.name), os.path.join(data, f"input_{i}.pb"))
        for path in glob.glob(f"{light[:-len('.onnx')]}_output_*.pb"):
            shutil.copy(path, os.path.join(data, "output_" + path.rsplit("_", 1)[1]))


def make_files(kind, target):
    from onnx.backend.test.loader import load_model_tests
    for case in load_model_tests(kind=kind):
        if case.name not in UNFIXED:
            shutil.copytree(case.model_dir, os.path.join(target, case.name))


def make(target):
    """Kinds that TARGET has whole stay as they are."""
    complete = os.path.join(target, ".complete")
    made = open(complete).read().split() if os.path.exists(complete) else []
    for kind in KINDS:
        folder = os.path.join(target, kind)
        if kind in made:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        if kind == "node":
            make_node(folder)
        elif kind == "real":
            make_real(folder)
        else:
            make_files(kind, folder)
        made.append(kind)
        with open(complete, "w") as file:
            file.write("\n".join(made) + "\n")


if __name__ == "__main__":
    make(sys.argv[1])
