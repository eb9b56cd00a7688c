# SPDX-License-Identifier: Apache-2.0
"""Latency of the trained models against onnxruntime: same machine, same inputs, same threads, rounds alternating,
medians. Ratios above 1 are losses, and are printed like the others.

    python bench.py --build build/release [--devices cpu,opencl] [--threads N] [--rounds N] [MODEL...]
"""
import argparse
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "e2e"))


def cpu_name():
    with open("/proc/cpuinfo") as file:
        rows = dict(line.split(":", 1) for line in file if ":" in line)
    flags = rows[next(k for k in rows if k.startswith("flags"))]
    level = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "baseline"
    return rows[next(k for k in rows if k.startswith("model name"))].strip() + ", " + level


def timed(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return (time.perf_counter() - start) * 1e3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--devices", default="cpu,opencl,vulkan", help="each is measured alone, with cpu for what it refuses")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    os.environ["PARTITA_BUILD"] = os.path.abspath(options.build)
    import onnxruntime

    import common
    from api import Context, Failure, Model, Session

    print(f"{cpu_name()}; load {os.getloadavg()[0]:.2f}; {options.threads} threads; {options.rounds} rounds; ms, medians")
    print(f"{'model':10} {'device':10} {'partita':>10} {'onnxruntime':>12} {'ratio':>7}")
    for name in options.models or common.PATHS:
        path, feeds = common.PATHS[name], common.feeds_of(name)[0]
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.log_severity_level = 3
        # Its threads would go on spinning into the other side's turn.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        peer = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
        context = Context(threads=options.threads)
        model = Model(context, path)
        for device in options.devices.split(","):
            try:
                session = Session(model, device, common.shapes_of(feeds), fallback=device != "cpu")
            except Failure as error:
                print(f"{name:10} {device:10} {error}")
                continue
            session.run(feeds), peer.run(None, feeds)
            ours, theirs = [], []
            for _ in range(options.rounds):
                ours.append(timed(session.run, feeds))
                theirs.append(timed(peer.run, None, feeds))
            a, b = statistics.median(ours), statistics.median(theirs)
            print(f"{name:10} {device:10} {a:10.2f} {b:12.2f} {a / b:7.2f}", flush=True)
            session.close()
        model.close()
        context.close()


if __name__ == "__main__":
    main()
