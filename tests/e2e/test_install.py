# SPDX-License-Identifier: Apache-2.0
"""`cmake --install` below a prefix of its own: what others find Partita by, and that the tree may be moved.

A C program and a plugin are built against the installed tree, by the CMake package and by pkg-config; the command, the
program and the plugin run there, and again after the tree was moved.
"""
import json
import os
import shutil
import subprocess
import tempfile

import onnx
from onnx import TensorProto, helper

import common

cases = common.Cases()
work = tempfile.TemporaryDirectory()
FIRST, SECOND = os.path.join(work.name, "first"), os.path.join(work.name, "moved", "second")
# Neither the build's plugins nor another installation may help.
BARE = {k: v for k, v in os.environ.items() if not k.startswith("PARTITA_") and k != "LD_LIBRARY_PATH"}
FILES = ["bin/partita", "lib/libpartita.so", "lib/cmake/Partita/PartitaConfig.cmake", "lib/pkgconfig/partita.pc",
         "lib/pkgconfig/partita-sdk.pc", "lib/partita/plugins/cpu.so", "lib/partita/plugins/cpu.json",
         "include/partita/partita.h", "include/partita/types.h", "include/partita/plugin.h", "include/partita/operator_set.h",
         "include/partita/rows/operators.inc", "share/partita/plugin.map", "share/man/man1/partita.1",
         "share/bash-completion/completions/partita", "share/doc/partita/LICENSE"]
APPLICATION = r"""
#include <partita/partita.h>
#include <stdio.h>
int main(int argc, char **argv) {
    partita_context *context = NULL;
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    partita_session *session = NULL;
    partita_value *input = NULL, *output = NULL;
    const partita_plugin_info *plugins;
    uint32_t count;
    const float data[3] = {-1, 2, -3};
    float result[3];
    const int64_t dims[1] = {3};
    partita_plan_options options = {.size = sizeof(options), .devices = "cpu"};
    if (argc != 2 || partita_context_create(NULL, &context) || partita_context_plugins(context, &plugins, &count) ||
        partita_model_load_file(context, argv[1], NULL, &model) || partita_plan_create(model, &options, &plan) ||
        partita_session_create(plan, NULL, &session) || partita_value_create(PARTITA_FLOAT32, 1, dims, data, &input) ||
        partita_session_run(session, NULL, &input, 1, &output, 1) ||
        partita_value_read(output, result, sizeof(result))) {
        fprintf(stderr, "%s\n", partita_last_error());
        return 1;
    }
    printf("%s %g %g %g %s\n", partita_version(), result[0], result[1], result[2], plugins[0].path);
    partita_value_release(input);
    partita_value_release(output);
    partita_session_destroy(session);
    partita_plan_destroy(plan);
    partita_model_destroy(model);
    partita_context_destroy(context);
    return 0;
}
"""
PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C)
find_package(Partita 0.1 REQUIRED)
add_executable(application application.c)
target_link_libraries(application PRIVATE partita::partita)
add_library(echo MODULE echo.c)
target_link_libraries(echo PRIVATE partita::sdk)
set_target_properties(echo PROPERTIES PREFIX "" C_VISIBILITY_PRESET hidden)
"""
MANIFEST = {"name": "echo", "abi_min": 1, "abi_max": 1, "library": "echo.so", "sanitizer": "", "devices": ["echo"]}


def tool(*command, env=None, cwd=None):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env or BARE, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(command[:3])}: exit {done.returncode}: {(done.stderr + done.stdout)[-500:]}"
    return done.stdout


def make_sources():
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
              os.path.join(work.name, "relu.onnx"))
    source = os.path.join(work.name, "source")
    os.makedirs(source)
    for name, text in (("application.c", APPLICATION), ("CMakeLists.txt", PROJECT)):
        with open(os.path.join(source, name), "w", encoding="utf-8") as file:
            file.write(text)
    shutil.copy(os.path.join(common.TESTS, "plugins/echo_plugin.c"), os.path.join(source, "echo.c"))
    return source


def installs():
    tool("cmake", "--install", common.BUILD, "--prefix", FIRST)
    absent = [f for f in FILES if not os.path.exists(os.path.join(FIRST, f))]
    assert not absent, absent


def no_absolute_paths(prefix):
    for folder, names in (("lib/cmake/Partita", os.listdir(os.path.join(prefix, "lib/cmake/Partita"))),
                          ("lib/pkgconfig", ["partita.pc", "partita-sdk.pc"])):
        for name in names:
            with open(os.path.join(prefix, folder, name), encoding="utf-8") as file:
                text = file.read()
            found = [p for p in (prefix, common.ROOT, common.BUILD) if p in text]
            assert not found, f"{name}: {found}"


def check_application(program, prefix):
    out = tool(program, os.path.join(work.name, "relu.onnx"), env={**BARE, "LD_LIBRARY_PATH": os.path.join(prefix, "lib")})
    version, *numbers, path = out.split()
    assert numbers == ["0", "2", "0"], out
    assert os.path.realpath(path).startswith(os.path.realpath(prefix)), f"plugins come from {path}"
    header = open(os.path.join(prefix, "include/partita/partita.h"), encoding="utf-8").read()
    assert f'PARTITA_VERSION "{version}"' in header, version


def check_plugin(library, prefix):
    folder = os.path.join(os.path.dirname(library), "plugins")
    os.makedirs(folder, exist_ok=True)
    shutil.copy(library, os.path.join(folder, "echo.so"))
    with open(os.path.join(folder, "echo.json"), "w", encoding="utf-8") as file:
        json.dump(MANIFEST, file)
    symbols = tool("nm", "-D", "--defined-only", library).splitlines()
    assert [s.split()[-1] for s in symbols] == ["partita_plugin_query"], symbols
    out = tool(os.path.join(prefix, "bin/partita"), "devices", "--plugin-path", folder, "--json")
    plugins = {p["name"]: p for p in json.loads(out.strip().splitlines()[-1])["plugins"]}
    assert plugins["echo"]["loaded"] and plugins["echo"]["devices"] >= 1, plugins["echo"]
    assert plugins["cpu"]["loaded"] and plugins["cpu"]["path"].startswith(os.path.realpath(prefix)), plugins["cpu"]


def by_cmake(source, prefix, build):
    tool("cmake", "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF")
    tool("cmake", "--build", build)
    check_application(os.path.join(build, "application"), prefix)
    check_plugin(os.path.join(build, "echo.so"), prefix)


def by_pkg_config(source, prefix, build):
    os.makedirs(build)
    env = {**BARE, "PKG_CONFIG_PATH": os.path.join(prefix, "lib/pkgconfig")}

    def flags(package):
        return tool("pkg-config", "--cflags", "--libs", package, env=env).split()

    tool("cc", "-std=c11", os.path.join(source, "application.c"), "-o", os.path.join(build, "application"), *flags("partita"))
    check_application(os.path.join(build, "application"), prefix)
    tool("cc", "-std=gnu11", os.path.join(source, "echo.c"), "-o", os.path.join(build, "echo.so"), *flags("partita-sdk"))
    check_plugin(os.path.join(build, "echo.so"), prefix)
    assert tool("pkg-config", "--variable=plugindir", "partita", env=env).strip().endswith("lib/partita/plugins")


def man_page_parses(prefix):
    page = os.path.join(prefix, "share/man/man1/partita.1")
    command = ["mandoc", "-T", "lint", "-W", "error", page] if shutil.which("mandoc") else ["groff", "-man", "-ww", "-z", page]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr and not done.stdout, done.stderr + done.stdout


def man_page_covers_everything(prefix):
    with open(os.path.join(prefix, "share/man/man1/partita.1"), encoding="utf-8") as file:
        page = file.read().replace("\\-", "-")
    document = json.loads(tool(os.path.join(prefix, "bin/partita"), "help", "--json").strip().splitlines()[-1])
    for command in document["commands"]:
        assert f"\n.B {command['name']}" in page, command["name"]
        for option in command["options"]:
            assert f"\n.B --{option['name']}" in page, option["name"]


def completes(prefix):
    def offered(*words):
        quoted = " ".join(f"'{w}'" for w in words)
        script = (f"source {prefix}/share/bash-completion/completions/partita; COMP_WORDS=({quoted}); "
                  f"COMP_CWORD={len(words) - 1}; _partita; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        return tool("bash", "-c", script, cwd=prefix).split()

    assert offered("partita", "in") == ["inspect"], offered("partita", "in")
    assert offered("partita", "run", "--dev") == ["--devices"], offered("partita", "run", "--dev")
    assert "--layers" not in offered("partita", "run", "--")
    assert offered("partita", "run", "bi") == ["bin"], offered("partita", "run", "bi")


def main():
    source = make_sources()
    cases.run("installs", installs)
    if cases.failed:
        cases.end()
    for prefix in (FIRST, SECOND):
        place = "at first" if prefix == FIRST else "after moving"
        if prefix == SECOND:
            os.makedirs(os.path.dirname(SECOND))
            shutil.move(FIRST, SECOND)
            cases.run("an application built before runs after moving", check_application,
                      os.path.join(work.name, "build-cmake-first", "application"), SECOND)
        name = os.path.basename(prefix)
        cases.run(f"no absolute paths {place}", no_absolute_paths, prefix)
        cases.run(f"find_package {place}", by_cmake, source, prefix, os.path.join(work.name, f"build-cmake-{name}"))
        cases.run(f"pkg-config {place}", by_pkg_config, source, prefix, os.path.join(work.name, f"build-pc-{name}"))
    if shutil.which("mandoc") or shutil.which("groff"):
        cases.run("the man page parses", man_page_parses, SECOND)
    else:
        cases.skip("the man page parses", "neither mandoc nor groff is installed", ["tool:groff"])
    cases.run("the man page covers every command and option", man_page_covers_everything, SECOND)
    cases.run("bash completes", completes, SECOND)
    cases.end()


if __name__ == "__main__":
    main()
