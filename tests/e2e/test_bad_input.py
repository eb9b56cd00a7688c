# SPDX-License-Identifier: Apache-2.0
"""Bad command lines: each ends with the exit code of its kind and words that name the input and what was expected.

A row is the command line, the exit code and words that stderr must hold, or for a warning the id. `{x}` stands for a
file of the same name, made below.
"""
import json
import os
import random
import resource
import signal
import subprocess
import tempfile
import zipfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import common

cases = common.Cases()
work = tempfile.TemporaryDirectory()
RANGE = "whole number from"


def make_files():
    """The files that rows name, by their key."""
    files = {key: os.path.join(work.name, name) for key, name in {
        "small": "small.onnx", "vector": "vector.onnx", "empty": "empty.onnx", "text": "text.onnx", "cut": "cut.onnx",
        "good": "good.npz", "unknown": "unknown.npz", "int": "int.npy", "rank": "rank.npy", "double": "double.npz",
        "dims": "dims.npz", "pickle": "pickle.npy", "garbage": "garbage.npz", "bin": "short.bin", "pb": "broken.pb",
        "outs": "outs.npz", "ones": "ones.npz", "no_entry": "no_entry.npz", "plan": "plan.json",
        "windows": "windows.pins", "zero_pins": "zero.pins", "bytes": "bytes.onnx", "plane": "plane.onnx",
        "twice": "twice.onnx", "future": "future.onnx", "full": "full.npz", "full_json": "full.json",
        "pins": "bad.pins", "nothing": "nothing", "dir": "cases", "manifests": "manifests"}.items()}

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def save(key, nodes, inputs, outputs, weights=()):
        model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, list(weights)),
                                  opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, files[key])

    weight = numpy_helper.from_array(np.ones((3, 4), np.float32), "w")
    save("small", [helper.make_node("MatMul", ["x", "w"], ["h"], name="mm"),
                   helper.make_node("Relu", ["h"], ["y"], name="act")], [value("x", ["n", 3])], [value("y", ["n", 4])],
         [weight])
    save("vector", [helper.make_node("Relu", ["v"], ["r"])], [value("v", ["k"])], [value("r", ["k"])])
    save("bytes", [helper.make_node("Identity", ["b"], ["c"])],
         [helper.make_tensor_value_info("b", TensorProto.UINT8, ["k"])],
         [helper.make_tensor_value_info("c", TensorProto.UINT8, ["k"])])
    model = onnx.load(files["small"])
    model.opset_import[0].version = 9999
    onnx.save(model, files["future"])
    save("twice", [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Relu", ["x"], ["y"], name="second")],
         [value("x", [2])], [value("y", [2])])
    save("plane", [helper.make_node("Identity", ["b"], ["c"])],
         [helper.make_tensor_value_info("b", TensorProto.UINT8, ["k", "l"])],
         [helper.make_tensor_value_info("c", TensorProto.UINT8, ["k", "l"])])
    data = open(files["small"], "rb").read()
    for key, content in (("empty", b""), ("text", b"no model at all\n"), ("cut", data[:-7]), ("garbage", b"PK\3\4 no archive"),
                         ("bin", b"1234567"), ("pb", b"\xff\xff\xff"), ("plan", b'{"schema": 1, "nodes": 3}'),
                         ("pins", b"mm cpu\n"), ("windows", b"# one\r\nmm=cpu \r\n\r\n\tact=cpu\r\n"),
                         ("zero_pins", b"mm=cpu\0act=cpu\n")):
        with open(files[key], "wb") as file:
            file.write(content)
    np.savez(files["good"], x=np.ones((2, 3), np.float32))
    with zipfile.ZipFile(files["no_entry"], "w") as archive:
        archive.writestr("x", b"no array")
    for key in ("full", "full_json"):
        os.symlink("/dev/full", files[key])
    np.savez(files["unknown"], z=np.ones((2, 3), np.float32))
    np.savez(files["double"], x=np.ones((2, 3), np.float64))
    np.savez(files["dims"], x=np.ones((2, 5), np.float32))
    np.savez(files["ones"], y=np.ones((1, 4), np.float32))
    np.savez(files["outs"], q=np.ones((2, 4), np.float32))
    np.save(files["int"], np.ones((2, 3), np.int64))
    np.save(files["rank"], np.ones((2, 3, 1), np.float32))
    np.save(files["pickle"], np.array([{1: 2}], dtype=object), allow_pickle=True)
    os.makedirs(files["dir"])
    os.makedirs(files["manifests"])
    with open(os.path.join(files["manifests"], "broken.json"), "w", encoding="utf-8") as file:
        file.write('{"name": "broken"')
    return files


RUN = ["run", "{small}", "--devices", "cpu"]
PLAN = ["plan", "{small}", "--devices", "cpu"]
BENCH = ["bench", "{small}", "--devices", "cpu", "--rounds", "1"]
VECTOR = ["run", "{vector}", "--devices", "cpu"]
BYTES = ["run", "{bytes}", "--devices", "cpu"]

BAD = [
    # Commands and arguments.
    ([], 1, ["no command"]),
    (["frobnicate"], 1, ["frobnicate", "partita help"]),
    (["run"], 1, ["one MODEL", "not 0"]),
    (["run", "{small}", "{small}"], 1, ["one MODEL", "not 2"]),
    (["run", ""], 1, ["empty"]),
    (["test"], 1, ["one DIR or more"]),
    (["devices", "extra"], 1, ["takes no argument", "extra"]),
    (["doctor", "extra"], 1, ["takes no argument", "extra"]),
    (["help", "frobnicate"], 1, ["frobnicate"]),
    (["help", "run", "plan"], 1, ["one command", "plan"]),
    (["profile", "{small}"], 1, ["profile", "not in this version"]),
    (["conformance", "x.so"], 1, ["conformance", "not in this version"]),
    (["new-plugin", "mine"], 1, ["new-plugin", "not in this version"]),
    (["cache", "ls"], 1, ["cache", "not in this version"]),
    # Options that are not there, not here, not yet, or not once.
    (RUN + ["--no-such"], 1, ["no option --no-such"]),
    (RUN + ["--why"], 1, ["run", "no option --why"]),
    (["explain", "{small}", "--outputs", "x.npz"], 1, ["explain", "no option --outputs"]),
    (["test", "{dir}", "--inputs", "{good}"], 1, ["test", "no option --inputs"]),
    (RUN + ["-x"], 1, ["unknown option -x", "long"]),
    (RUN + ["--json=1"], 1, ["--json takes no value"]),
    (RUN + ["--seed"], 1, ["--seed needs a value"]),
    (RUN + ["--seed", "1", "--seed", "2"], 1, ["--seed is given twice"]),
    (RUN + ["--devices", "sim:0"], 1, ["--devices is given twice"]),
    (RUN + ["--dim", "n=1", "--dim", "n=2"], 1, ["'n' is given twice"]),
    (RUN + ["--input", "x=1", "--input", "x=2"], 1, ["'x' is given twice"]),
    (RUN + ["--option", "cpu.threads=1", "--option", "cpu.threads=2"], 1, ["'cpu.threads' is given twice"]),
    (RUN + ["--layers", "zzz"], 1, ["--layers", "not in this version"]),
    (RUN + ["--isolate", "cpu"], 1, ["--isolate", "not in this version"]),
    (RUN + ["--precision", "fast"], 1, ["--precision fast", "not in this version"]),
    (PLAN + ["--measure"], 1, ["--measure", "not in this version"]),
    (PLAN + ["--html", "x"], 1, ["--html", "not in this version"]),
    (PLAN + ["--diff", "a", "b"], 1, ["--diff", "not in this version"]),
    (BENCH + ["--tune"], 1, ["--tune", "not in this version"]),
    (["inspect", "{small}", "--fusions"], 1, ["--fusions", "not in this version"]),
    # Devices and their options.
    (["run", "{small}", "--devices", ""], 1, ["--devices", "empty"]),
    (["run", "{small}", "--devices", ","], 1, ["devices", "empty name"]),
    (["run", "{small}", "--devices", "cpu,,sim:0"], 1, ["devices", "empty name"]),
    (["run", "{small}", "--devices", "CPU"], 1, ['"CPU" is no name of a device']),
    (["run", "{small}", "--devices", "cpu:x"], 1, ['"cpu:x" is no name of a device']),
    (["run", "{small}", "--devices", "nonesuch"], 4, ['no device "nonesuch"', "cpu"]),
    (["run", "{small}", "--devices", "cpu:9"], 4, ['no device "cpu:9"', "cpu:0"]),
    (["run", "{small}", "--devices", "sim:99"], 4, ["sim:99"]),
    (RUN + ["--option", "nonesuch.level=1"], 4, ["nonesuch.level", "no device", "cpu"]),
    (["devices", "--option", "nonesuch.level=1"], 4, ["nonesuch.level", "no device", "cpu"]),
    (["doctor", "--option", "nonesuch.level=1"], 4, ["nonesuch.level", "no device"]),
    (RUN + ["--option", "cpu:7.level=auto"], 4, ["cpu:7.level", "no device", "cpu:0"]),
    (RUN + ["--option", "cpu.nonesuch=1"], 1, ["nonesuch", "level, threads"]),
    (RUN + ["--option", "cpu.level=zzz"], 1, ["level", "auto|baseline|avx2|avx512", "zzz"]),
    (RUN + ["--option", "cpu.threads=many"], 1, ["threads is int", "many"]),
    (RUN + ["--option", "cpu.threads=-1"], 1, ["threads", "0 to 4096"]),
    (RUN + ["--option", "cpu.level"], 1, ["cpu.level", "DEVICE.KEY=VALUE"]),
    (RUN + ["--option", "level=auto"], 1, ["level", "DEVICE.KEY"]),
    (RUN + ["--option", "CPU.level=auto"], 1, ["CPU.level", "no name of a device"]),
    (RUN + ["--plugin-path", "{nothing}"], 1, ["nothing", "does not exist"]),
    (RUN + ["--plugin-path", "{text}"], 1, ["text.onnx", "cannot be read"]),
    # Numbers and words.
    (RUN + ["--threads", "0"], 1, ["--threads", "'0'", RANGE + " 1 to 1024"]),
    (RUN + ["--threads", "-1"], 1, ["--threads", "'-1'", RANGE + " 1 to 1024"]),
    (RUN + ["--threads", "100000"], 1, ["--threads", "'100000'", RANGE + " 1 to 1024"]),
    (RUN + ["--threads", "many"], 1, ["--threads", "'many'"]),
    (RUN + ["--threads", "2 "], 1, ["--threads", "'2 '"]),
    (RUN + ["--threads=1.5"], 1, ["--threads", "'1.5'"]),
    (RUN + ["--seed", "abc"], 1, ["--seed", "'abc'", RANGE]),
    (RUN + ["--seed", "99999999999999999999"], 1, ["--seed", RANGE]),
    (RUN + ["--max-memory", "junk"], 1, ["--max-memory", "'junk'", RANGE]),
    (RUN + ["--max-memory", "1G"], 1, ["--max-memory", "'1G'"]),
    (RUN + ["--max-memory", "0"], 1, ["--max-memory", "'0'"]),
    (RUN + ["--deadline", "-5"], 1, ["--deadline", "'-5'", RANGE + " 1 to"]),
    (RUN + ["--deadline", "0"], 1, ["--deadline", "'0'"]),
    (RUN + ["--rtol", "nan"], 1, ["--rtol", "'nan'", "0 or more"]),
    (RUN + ["--rtol", "-1"], 1, ["--rtol", "'-1'"]),
    (RUN + ["--atol", "1e"], 1, ["--atol", "'1e'"]),
    (BENCH + ["--seconds", "0"], 1, ["--seconds", "above 0"]),
    (BENCH + ["--seconds", "inf"], 1, ["--seconds", "'inf'"]),
    (["bench", "{small}", "--rounds", "0"], 1, ["--rounds", RANGE + " 1 to"]),
    (BENCH + ["--in-flight", "0"], 1, ["--in-flight", RANGE + " 1 to 4096"]),
    (BENCH + ["--in-flight", "5000"], 1, ["--in-flight", RANGE + " 1 to 4096"]),
    (["test", "{dir}", "--time-limit", "0"], 1, ["--time-limit", "above 0"]),
    (RUN + ["--objective", "speed"], 1, ["--objective", "'speed'", "latency|throughput|memory"]),
    (RUN + ["--precision", "half"], 1, ["--precision", "'half'", "exact|fast"]),
    # Pins, plans, shapes.
    (RUN + ["--pin", "random:-1"], 1, ["--pin", "random:-1", RANGE]),
    (RUN + ["--pin", "random:"], 1, ["--pin", "random:", RANGE]),
    (RUN + ["--pin", "random:1", "--pin", "random:2"], 1, ["random", "twice"]),
    (RUN + ["--pin", "mm="], 1, ["--pin", "mm=", "no device"]),
    (RUN + ["--pin", "mm=sim:0"], 4, ["sim:0"]),
    (RUN + ["--pin", "=cpu"], 1, ["=cpu", "names no node"]),
    (RUN + ["--pin", "[=cpu"], 1, ["["]),
    (RUN + ["--pin", "{zero_pins}"], 1, ["zero.pins", "mm=cpu", "zero byte"]),
    (RUN + ["--pin", "{pins}"], 1, ["bad.pins", "mm cpu"]),
    (RUN + ["--pin", "{nothing}"], 2, ["nothing", "No such file"]),
    (RUN + ["--plan", "{nothing}"], 2, ["nothing", "No such file"]),
    (RUN + ["--plan", "{text}"], 2, ["text.onnx", "no JSON"]),
    (RUN + ["--plan", "{plan}"], 2, ["plan.json", "'nodes'"]),
    (RUN + ["--dim", "n=-1"], 1, ["--dim", "n=-1", "'-1' is no size"]),
    (RUN + ["--dim", "n=2x"], 1, ["--dim", "'2x' is no size"]),
    (RUN + ["--dim", "n="], 1, ["--dim", "'' is no size"]),
    (RUN + ["--dim", "n"], 1, ["--dim", "NAME=VALUE"]),
    (RUN + ["--dim", "=3"], 1, ["--dim", "NAME=VALUE"]),
    (RUN + ["--dim", "nobody=3"], 1, ["nobody"]),
    (RUN + ["--dim", "n=9223372036854775807"], 2, ["x", "overflow"]),
    (RUN + ["--shape", "x=1xx3"], 1, ["--shape", "x=1xx3", "INPUT=1x3x48x192"]),
    (RUN + ["--shape", "x=-1x3"], 1, ["--shape", "x=-1x3", "INPUT=1x3x48x192"]),
    (RUN + ["--shape", "x"], 1, ["--shape", "INPUT=1x3x48x192"]),
    (RUN + ["--shape", "x=1x2x3"], 1, ["--shape", "rank 3", "'x' has rank 2"]),
    (RUN + ["--shape", "x=2x5"], 2, ["--shape", "dim 1 is 5", "'x' has 3"]),
    (RUN + ["--shape", "z=2x3"], 2, ["no input 'z'", "x"]),
    # Inputs and outputs.
    (RUN + ["--input", "x"], 1, ["--input", "NAME=@FILE|VALUE"]),
    (RUN + ["--input", "z=1"], 2, ["no input 'z'", "x"]),
    (RUN + ["--input", "x=abc"], 2, ["input 'x'", "'abc'", "float32"]),
    (RUN + ["--input", "x=1,2"], 2, ["input 'x'", "2 values", "3 elements"]),
    (RUN + ["--input", "x=1,,3"], 2, ["input 'x'", "''", "float32"]),
    (BYTES + ["--input", "b=256"], 2, ["input 'b'", "'256'", "uint8"]),
    (BYTES + ["--input", "b=-1"], 2, ["input 'b'", "'-1'", "uint8"]),
    (["run", "{plane}", "--devices", "cpu", "--shape", "b=4294967295x4294967297"], 2, ["input 'b'", "overflow"]),
    (BYTES + ["--dim", "k=9223372036854775807"], 6, ["input 'b'", "9223372036854775807 bytes"]),
    (BYTES + ["--input", "b=1.5"], 2, ["input 'b'", "'1.5'", "uint8"]),
    (RUN + ["--input", "x=@{nothing}"], 2, ["nothing", "No such file"]),
    (RUN + ["--input", "x=@{int}"], 2, ["x", "int64", "float32"]),
    (RUN + ["--input", "x=@{rank}"], 2, ["'x'", "rank 3", "2"]),
    (RUN + ["--input", "x=@{pickle}"], 2, ["pickle.npy"]),
    (RUN + ["--input", "x=@{pb}"], 2, ["broken.pb"]),
    (RUN + ["--input", "x=@{bin}"], 2, ["short.bin", "7 bytes", "'x'"]),
    (RUN + ["--inputs", "{nothing}"], 2, ["nothing"]),
    (RUN + ["--inputs", "{garbage}"], 2, ["garbage.npz"]),
    (RUN + ["--inputs", "{dir}"], 2, ["cases"]),
    (RUN + ["--inputs", "{no_entry}"], 2, ["no_entry.npz", "'x'", ".npy"]),
    (RUN + ["--inputs", "{unknown}"], 2, ["no input 'z'", "x"]),
    (RUN + ["--inputs", "{double}"], 2, ["x", "float64", "float32"]),
    (RUN + ["--inputs", "{dims}"], 2, ["x", "5", "3"]),
    (RUN + ["--outputs", "out.txt"], 1, ["--outputs", "out.txt", ".npz"]),
    (RUN + ["--outputs", "{nothing}/out.npz"], 2, ["out.npz"]),
    (RUN + ["--outputs", "{full}"], 2, ["full.npz"]),
    (RUN + ["--outputs", "{full_json}"], 2, ["full.json", "No space"]),
    (PLAN + ["-o", "/dev/full"], 2, ["/dev/full", "No space"]),
    (RUN + ["--compare", "{nothing}"], 2, ["nothing"]),
    (RUN + ["--compare", "{outs}"], 2, ["outs.npz", "no output 'q'"]),
    (PLAN + ["-o", "{nothing}/plan.json"], 2, ["plan.json", "No such file"]),
    (PLAN + ["--dot", "{dir}"], 2, ["cases", "Is a directory"]),
    # Models and cases.
    (["run", "{nothing}", "--devices", "cpu"], 2, ["nothing", "No such file"]),
    (["inspect", "{nothing}"], 2, ["nothing", "No such file"]),
    (["inspect", "{dir}"], 2, ["cases"]),
    (["inspect", "{empty}"], 2, ["empty.onnx"]),
    (["plan", "{text}"], 2, ["text.onnx"]),
    (["run", "{cut}"], 2, ["cut.onnx"]),
    (["inspect", "{twice}"], 2, ["twice.onnx", "node second (Relu)", "y is defined twice"]),
    (["inspect", "/dev/zero"], 2, ["/dev/zero"]),
    (["test", "{dir}"], 2, ["cases", "model.onnx"]),
    (["test", "{nothing}"], 2, ["nothing"]),
    (VECTOR + ["--dim", "k=4", "--input", "v=1,2,3"], 2, ["input 'v'", "3 values", "4 elements"]),
]

# The command line, the environment, words of the warning. The exit code is 0.
WARNED = [
    (["run", "{future}", "--devices", "cpu"], {}, ["opset-newer:", "opset 9999", "28"]),
    (RUN, {"PARTITA_CPU_LEVEL": ""}, []),
    (RUN, {"PARTITA_CPU_LEVEL": "bogus"}, ["cpu-level:", "bogus", "baseline", "avx2", "avx512"]),
    (RUN, {"PARTITA_LAYERS": "zzz"}, ["layers:", "not in this version"]),
    (RUN, {"PARTITA_LOG": "loud"}, ["log-level:", "loud", "warning"]),
    (RUN, {"PARTITA_PLUGIN_PATH": "relative/folder"}, ["plugin-path:", "relative/folder", "absolute"]),
    (RUN + ["--option", "sim.machine=x"], {}, ["option-unused:", "sim.machine", "--devices"]),
    (RUN + ["--pin", "nosuch=cpu"], {}, ["pin-unmatched:", "nosuch=cpu"]),
    (["devices", "--plugin-path", "{manifests}"], {}, []),
]


def command(arguments, files, env=None):
    words = [a.format(**files) if "{" in a else a for a in arguments]
    return subprocess.run([common.COMMAND, *words], capture_output=True, text=True, timeout=120, cwd=work.name,
                          env={**os.environ, **(env or {})})


def refused(arguments, code, words, files):
    done = command(arguments, files)
    assert done.returncode == code, f"exit {done.returncode}, expected {code}: {done.stderr}"
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("partita: "), done.stderr
    silent = [w for w in words if w not in done.stderr]
    assert not silent, f"{silent} not in: {done.stderr}"


def refused_as_json(files):
    for arguments, code in ((RUN + ["--threads", "0", "--json"], 1), (["run", "{nothing}", "--json"], 2),
                            (["profile", "x", "--json"], 1), (["devices", "--json", "--option", "no.x=1"], 4),
                            (RUN + ["--compare", "{outs}", "--json"], 2), (RUN + ["--compare", "{ones}", "--json"], 5)):
        done = command(arguments, files)
        assert done.returncode == code, done.stderr
        document = json.loads(done.stdout.strip().splitlines()[-1])
        assert document["schema"] == 1 and document["error"]["message"] in done.stderr, document
        assert document["error"]["code"] != 0 and document["error"]["status"], document


def warned(arguments, env, words, files):
    done = command(arguments, files, env)
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}"
    silent = [w for w in words if w not in done.stderr]
    assert not silent, f"{silent} not in: {done.stderr}"
    assert len(done.stderr.strip().splitlines()) <= 1, done.stderr


def whole_or_old(arguments, path, files):
    """Who is killed while it writes, or finds no room, leaves the file that was there, and nothing beside it."""
    def limited(handler):
        def prepare():
            signal.signal(signal.SIGXFSZ, handler)
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
        return prepare
    words = [a.format(**files) for a in arguments]
    folder = os.path.dirname(path)
    for handler, code in ((signal.SIG_DFL, -signal.SIGXFSZ), (signal.SIG_IGN, 2)):
        with open(path, "w", encoding="utf-8") as file:
            file.write("old")
        before = os.listdir(folder)
        done = subprocess.run([common.COMMAND, *words], capture_output=True, text=True, timeout=120, check=False,
                              preexec_fn=limited(handler), restore_signals=False)
        assert done.returncode == code, f"exit {done.returncode}: {done.stderr}"
        assert open(path, encoding="utf-8").read() == "old"
        if code == 2:
            assert "File too large" in done.stderr and sorted(os.listdir(folder)) == sorted(before), done.stderr


def stdout_is_full(files):
    for arguments in (["help", "--json"], ["help", "--man"], ["inspect", "{small}"], RUN + ["--json"]):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([common.COMMAND, *[a.format(**files) for a in arguments]], stdout=full, text=True,
                                  stderr=subprocess.PIPE, timeout=60, check=False)
        assert done.returncode == 2 and "stdout" in done.stderr, f"{arguments}: exit {done.returncode} {done.stderr}"


def taken(arguments, files, name, want):
    """Inputs that are unusual and right: the output is what onnxruntime, or numpy, makes of them."""
    target = os.path.join(work.name, "taken.json")
    done = command(arguments + ["--outputs", target], files)
    assert done.returncode == 0 and not done.stderr, f"exit {done.returncode}: {done.stderr}"
    got = json.load(open(target, encoding="utf-8"))[name]["data"]
    assert got == want, f"{got}, expected {want}"


def takes_orders(files):
    """Arrays as numpy saves them when they are transposed, or came from a machine of the other order of bytes."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = os.path.join(work.name, "order.npy")
    want = np.repeat(x.sum(axis=1), 4).tolist()
    for array in (np.asfortranarray(x), x.astype(">f4"), np.asfortranarray(x.astype(">f4"))):
        np.save(path, array)
        taken(RUN + ["--input", "x=@" + path], files, "y", want)


def other_operator(files):
    """A node of a saved plan whose operator is another one is not this model's."""
    path = os.path.join(work.name, "other_plan.json")
    assert command(PLAN + ["-o", path], files).returncode == 0
    plan = json.load(open(path, encoding="utf-8"))
    plan["nodes"][0]["op"] = "Conv"
    json.dump(plan, open(path, "w", encoding="utf-8"))
    done = command(RUN + ["--plan", path], files)
    assert done.returncode == 0 and "plan-node-unknown: 1" in done.stderr, done.stderr


def case_folders(files):
    """Folders of tests that lack an input, or have one too many, fail by that."""
    x = numpy_helper.from_array(np.ones((2, 3), np.float32), "x").SerializeToString()
    y = numpy_helper.from_array(np.full((2, 4), 3, np.float32), "y").SerializeToString()
    for inputs, word in (((0,), ""), ((), "no input_0.pb"), ((1,), "input_1.pb"), ((0, 1), "input_1.pb")):
        with tempfile.TemporaryDirectory() as folder:
            data = os.path.join(folder, "test_data_set_0")
            os.makedirs(data)
            os.symlink(files["small"], os.path.join(folder, "model.onnx"))
            for i in inputs:
                open(os.path.join(data, f"input_{i}.pb"), "wb").write(x)
            open(os.path.join(data, "output_0.pb"), "wb").write(y)
            done = command(["test", folder, "--devices", "cpu", "--json"], files)
            text = json.loads(done.stdout)["cases"][0]["text"]
            assert done.returncode == (5 if word else 0) and word in text, f"{inputs}: {done.stdout}"
            alone = command(["test", folder, "--devices", "cpu", "--json", "--case"], files)
            assert json.loads(alone.stdout)["schema"] == 1, alone.stdout


VALUES = ["", "-", "0", "1", "-1", "1e9", "nan", "99999999999999999999", "x", "x=", "=x", "x=1", "x=@", "x=@{int}", "n=3",
          "x=2x3", "x=1x3x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1", "cpu", "sim:0", "cpu,sim:1",
          "cpu.level=auto", "sim:1.machine=x", "random:7", "mm=cpu", ".*=sim:0", "(=cpu", "{small}", "{text}", "{good}",
          "{dims}", "{garbage}", "{plan}", "{pins}", "{dir}", "%s%n", "\x7f\u00fc" * 40]


def random_lines(files, seed, count):
    """Whatever is put together: an exit code of the contract, and words when it is not 0."""
    chance = random.Random(seed)
    rows = [c for c in json.loads(command(["help", "--json"], files).stdout)["commands"] if c["in_version"]]
    for _ in range(count):
        row = chance.choice([r for r in rows if r["name"] != "bench"])
        arguments = [row["name"]]
        if row["arguments"]:
            arguments += chance.sample(["{small}", "{vector}", "{cut}", "{dir}"], chance.choice([1, 1, 1, 1, 2]))
        for option in chance.sample(row["options"], chance.randint(0, min(3, len(row["options"])))):
            arguments.append("--" + option["name"])
            if option["argument"] or chance.random() < 0.05:
                arguments.append(chance.choice(VALUES))
        done = command(arguments, files)
        assert 0 <= done.returncode <= 6, f"{arguments}: exit {done.returncode}: {done.stderr[-900:]}"
        assert done.returncode == 0 or done.stderr.startswith("partita: "), f"{arguments}: {done.stderr}"


def main():
    files = make_files()
    for arguments, code, words in BAD:
        cases.run("refuses " + " ".join(arguments), refused, arguments, code, words, files)
    for arguments, env, words in WARNED:
        title = " ".join([f"{k}={v}" for k, v in env.items()] + arguments)
        cases.run("warns of " + title, warned, arguments, env, words, files)
    cases.run("errors as JSON", refused_as_json, files)
    cases.run("stdout is full", stdout_is_full, files)
    for arguments, name in ((RUN + ["--dim", "n=1000", "--outputs"], "old.json"),
                            (RUN + ["--dim", "n=1000", "--outputs"], "old.npz"), (PLAN + ["-o"], "old.plan"),
                            (PLAN + ["--svg"], "old.svg")):
        path = os.path.join(work.name, name)
        cases.run("leaves whole or old " + name, whole_or_old, arguments + [path], path, files)
    cases.run("takes arrays in any order", takes_orders, files)
    cases.run("takes pins of any system", taken, RUN + ["--pin", "{windows}", "--input", "x=1"], files, "y", [3.0] * 4)
    cases.run("takes bytes from the command line", taken, BYTES + ["--input", "b=0,255,7"], files, "c", [0, 255, 7])
    cases.run("a plan of another operator", other_operator, files)
    cases.run("folders of tests", case_folders, files)
    # The last ones: some of them write over the files.
    for seed in range(1 if common.QUICK else 4):
        cases.run(f"random command lines, seed {seed}", random_lines, files, seed, 50)
    cases.end()


if __name__ == "__main__":
    main()
