# SPDX-License-Identifier: Apache-2.0
"""Programs that the GPU plugins build for the trained models of PP-OCR: at most 60, all of them when the session is made,
none for other shapes. They are counted by what the plugins log.

    test_device_programs.py [--quick]
"""
import ctypes
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "e2e"))
import api
import common

MOST = 60
LOG = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p)


class Watched(api.Context):
    """A context that keeps what plugins log about programs."""

    def __init__(self):
        self.built = []
        self.callback = LOG(lambda _, level, text: self.built.append(text) if b" built kernel " in text else None)
        self.handle = ctypes.c_void_p()
        options = api.sized(api.ContextOptions, log=ctypes.cast(self.callback, ctypes.c_void_p))
        api.check(api.LIB.partita_context_create(ctypes.byref(options), ctypes.byref(self.handle)))


def shapes_of(name, feed):
    """What the session is made for, then others: wider, narrower, several pictures at once."""
    picture = feed["x"]
    if name == "det":
        return [picture, picture[:, :, :192, :256], picture[:, :, :64, :320]]
    return [picture, picture[:, :, :, :160], picture[:, :, :, :96].repeat(3, axis=0), picture[:, :, :, 8:24]]


def judge(device, name, nominal):
    context = Watched()
    model = api.Model(context, common.PATHS[name])
    shapes = shapes_of(name, common.feeds_of(name)[0])
    session = api.Session(model, device, common.shapes_of({"x": shapes[0]}) if nominal else None)
    made = len(context.built)
    assert 0 < made <= MOST, f"{made} programs, at most {MOST}"
    for picture in shapes:
        feeds = {"x": picture}
        want, names = common.truth(common.PATHS[name], feeds)
        common.assert_outputs(session.run(feeds), want, names)
        late = context.built[made:]
        assert not late, f"{picture.shape}: {len(late)} programs built late: {b'; '.join(late).decode()}"
    print(f"     {name} on {device}: {made} programs")
    session.close()
    model.close()
    context.close()


def main():
    cases = common.Cases()
    for device in ("opencl", "vulkan"):
        if not os.path.exists(os.path.join(common.BUILD, f"lib/partita/plugins/{device}.so")):
            cases.skip(f"programs on {device}", "the plugin was not built")
            continue
        for name in ("rec",) if common.QUICK else ("rec", "det"):
            for nominal in (True, False):
                title = f"programs of {name} on {device}, {'given' if nominal else 'open'} shapes"
                cases.run(title, judge, device, name, nominal)
    cases.end()


if __name__ == "__main__":
    main()
