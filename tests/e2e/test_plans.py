# SPDX-License-Identifier: Apache-2.0
"""Stored plans, judged by a second simulator: never above greedy nor any device first, acyclic, and well estimated."""
import json
import os
import random
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper

import common
import plan_judge
from common import partita

MACHINES = os.path.join(common.TESTS, "e2e/machines")
cases = common.Cases()
work = tempfile.TemporaryDirectory()


def plan_of(path, machine, devices, *options):
    """The plan as stored in a file, which is what is judged."""
    stored = os.path.join(work.name, "plan.json")
    partita("plan", path, "--devices", ",".join(devices), "-o", stored, *options,
            env={"PARTITA_SIM_MACHINE": os.path.join(MACHINES, machine)})
    with open(stored) as file:
        return json.load(file)


def shape_options(feeds):
    return [o for name, value in feeds.items() if np.ndim(value)
            for o in ("--shape", f"{name}={'x'.join(map(str, np.shape(value)))}")]


def random_model(seed):
    """Layers, residual chains and branches of element-wise operators on values of one size."""
    dice = random.Random(seed)
    size = dice.choice([64, 16384, 262144])
    nodes, values, seen = [], ["x"], set()
    for i in range(dice.randint(6, 40)):
        reach = dice.choice([1, 2, 3, 8])
        for _ in range(20):
            inputs = [dice.choice(values[-reach:]) for _ in range(dice.choice([1, 1, 2]))]
            op = dice.choice(["Relu", "Sigmoid", "Tanh", "Neg"] if len(inputs) == 1 else ["Add", "Mul", "Sub"])
            if (op, *inputs) not in seen:
                break
        else:
            continue
        seen.add((op, *inputs))
        nodes.append(helper.make_node(op, inputs, [f"v{i}"], name=f"n{i}"))
        values.append(f"v{i}")
    read = {i for n in nodes for i in n.input}
    outputs = [helper.make_tensor_value_info(v, TensorProto.FLOAT, [size]) for v in values[1:] if v not in read]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [size])]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs),
                              opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = os.path.join(work.name, f"random_{seed}.onnx")
    onnx.save(model, path)
    return path, {v: 4 * size for v in values}


def judge(path, sizes, machine_file, devices, options, objective="latency"):
    plan = plan_of(path, machine_file, devices, *options, "--objective", objective)
    machine = plan_judge.Machine(os.path.join(MACHINES, machine_file), plan["devices"])
    job = plan_judge.Work(onnx.load(path), plan, sizes)
    measure = job.latency if objective == "latency" else job.period
    where = job.placement(plan)
    ours = measure(machine, where)
    others = {"greedy": job.greedy(devices), **{f"{d} first": job.greedy(devices, d) for d in devices}}
    for name, other in others.items():
        theirs = measure(machine, other)
        assert ours <= theirs, f"{ours / 1e6:.1f} us, and {name} takes {theirs / 1e6:.1f}"
    estimate, bound = plan["estimate_us"], plan["lower_bound_us"]
    assert abs(ours / 1e6 - estimate) <= 1e-3 * estimate, f"judged {ours / 1e6:.3f} us, estimated {estimate:.3f}"
    assert bound <= estimate, f"bound {bound} above {estimate}"
    check_acyclic(job, plan)
    return plan, job, machine, where


def check_acyclic(job, plan):
    unit = {row["name"]: row["unit"] for row in plan["nodes"]}
    job._topological({unit[name]: c["id"] for c in plan["clusters"] for name in c["nodes"]})


def random_models(seeds, machine, devices):
    kept = {"greedy": 0, "other": 0}
    for seed in seeds:
        path, sizes = random_model(seed)
        for objective in ("latency", "throughput"):
            plan = judge(path, sizes, machine, devices, [], objective)[0]
            kept["greedy" if plan["candidate"] == "greedy" else "other"] += 1
    assert kept["other"] > kept["greedy"], f"{kept}: a machine on which greedy is best says nothing"


def real_model(name, machine, devices, seeds):
    path, feeds = common.PATHS[name], common.feeds_of(name)[0]
    sizes = plan_judge.sizes_of(path, feeds)
    options = shape_options(feeds)
    for objective in ("latency", "throughput"):
        judge(path, sizes, machine, devices, options, objective)
    for seed in seeds:
        plan = plan_of(path, machine, devices, *options, "--pin", f"random:{seed}")
        job = plan_judge.Work(onnx.load(path), plan, sizes)
        check_acyclic(job, plan)
        told = {(e["value"], e["to"]): e["bytes"] for e in plan["edges"] if e["route"] == "copy"}
        assert all(size == job.size[value] for (value, _), size in told.items() if value in job.size), told


def better_by_both_models():
    """The machine that was made for the recogniser: the plan is not greedy's, and better however one counts."""
    path, feeds = common.PATHS["rec"], common.feeds_of("rec")[0]
    sizes = plan_judge.sizes_of(path, feeds)
    devices = ["sim:0", "sim:1"]
    plan, job, machine, where = judge(path, sizes, "pocket.txt", devices, shape_options(feeds))
    greedy = job.greedy(devices)
    assert plan["candidate"] != "greedy" and where != greedy, plan["candidate"]
    assert set(where.values()) == set(devices), "one device does it all"
    for measure in (job.latency, job.additive):
        ours, theirs = measure(machine, where), measure(machine, greedy)
        print(f"# {measure.__name__}: {ours / 1e6:.0f} us, greedy {theirs / 1e6:.0f} us")
        assert ours * 1.2 < theirs, (measure.__name__, ours, theirs)


def loaded_back():
    """A stored plan brings its devices along, and places every node where it was."""
    path = random_model(1)[0]
    plan = plan_of(path, "two_boards.txt", ["sim:2", "sim:0", "sim:1"], "--pin", "random:5")
    again = partita("plan", path, "--plan", os.path.join(work.name, "plan.json"), "--json", json_output=True,
                    env={"PARTITA_SIM_MACHINE": os.path.join(MACHINES, "two_boards.txt")})
    assert again["devices"] == plan["devices"], again["devices"]
    assert [n["device"] for n in again["nodes"]] == [n["device"] for n in plan["nodes"]]
    assert again["estimate_us"] == plan["estimate_us"]


BOARDS = ["sim:0", "sim:1", "sim:2"]
count = 12 if common.QUICK else 60
cases.run(f"{count} random models on two boards", random_models, range(count), "two_boards.txt", BOARDS)
cases.run(f"{count} random models, the processor first", random_models, range(1000, 1000 + count), "two_boards.txt",
          BOARDS[::-1])
cases.run("a stored plan is loaded with its devices", loaded_back)
cases.run("rec on the pocket machine is better than greedy by both models", better_by_both_models)
for name in ("cls",) if common.QUICK else ("det", "rec", "cls", "magika"):
    cases.run(f"{name} on the pocket machine", real_model, name, "pocket.txt", ["sim:0", "sim:1"], range(4))
    cases.run(f"{name} on two boards", real_model, name, "two_boards.txt", BOARDS, range(4))
cases.end()
