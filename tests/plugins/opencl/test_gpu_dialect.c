/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel dialect in the APIs that this machine may have no device for: the shared GPU part plans every case of the
 * tests on a backend that runs nothing but gives each source to a compiler: glslangValidator, NVRTC. What the machine
 * lacks is skipped.
 */
#include "gpu/backend.h"
#include "gpu/source.h"
#include "plugins/opencl/run_part.h"
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "skip.h"

struct ptp_buffer {
    int unused;
};
struct gpu_program {
    int unused;
};
struct ptp_device {
    gpu_device gpu;
    uint32_t compiled;
};

/* ---- a backend of no device ------------------------------------------------------------------------------------- */

static partita_status buffer_alloc(gpu_device *device, uint64_t bytes, ptp_buffer **out_buffer) {
    (void)bytes;
    *out_buffer = device->host->alloc(device->host->self, sizeof(**out_buffer), 16);
    return *out_buffer ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
}
static void buffer_free(gpu_device *device, ptp_buffer *buffer) { device->host->free(device->host->self, buffer); }
static partita_status buffer_upload(gpu_device *device, ptp_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t bytes) {
    (void)device;
    (void)buffer;
    (void)offset;
    (void)data;
    (void)bytes;
    return PARTITA_OK;
}
static void program_destroy(gpu_device *device, gpu_program *program) {
    device->host->free(device->host->self, program);
}
static partita_status program_done(gpu_device *device, const gpu_source *source, int failed, const char *log,
                                   gpu_program **out_program) {
    if (failed) return gpu_fail(device->host, PARTITA_CANNOT_COMPILE, "%s\n%s\n%s", source->name, log, source->text);
    ((ptp_device *)device)->compiled++;
    *out_program = device->host->alloc(device->host->self, sizeof(**out_program), 16);
    return PARTITA_OK;
}
static partita_status submit(gpu_device *device, const gpu_batch *batch) {
    (void)device;
    (void)batch;
    return PARTITA_OK;
}

/* ---- GLSL ------------------------------------------------------------------------------------------------------- */

/* Most texts are the same in both forms of the kernels: each is compiled once. */
static bool seen_before(const char *text) {
    static uint64_t seen[4096];
    static uint32_t count;
    uint64_t hash = 1469598103934665603ull;
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 1099511628211ull;
    for (uint32_t i = 0; i < count; i++) {
        if (seen[i] == hash) return true;
    }
    if (count < 4096) seen[count++] = hash;
    return false;
}

#define GLSLANG "glslangValidator -V --target-env vulkan1.2 --stdin -S comp -o /dev/null"

static partita_status glsl_create(gpu_device *device, const gpu_source *source, gpu_program **out_program) {
    const char *kernel = strstr(source->text, "#define ON_CPU"); /* behind it: what differs */
    if (seen_before(strchr(kernel, '\n'))) return program_done(device, source, 0, "", out_program);
    FILE *compiler = popen(GLSLANG " > /dev/stderr", "w");
    if (!compiler) return PARTITA_IO;
    fputs(source->text, compiler);
    return program_done(device, source, pclose(compiler) != 0, "glslangValidator refuses it", out_program);
}

static const gpu_backend_vtable glsl = {.name = "vulkan",
                                        .head = "#version 450\n"
                                                "#extension GL_EXT_shader_explicit_arithmetic_types : require\n"
                                                "#extension GL_EXT_shader_8bit_storage : require\n"
                                                "#extension GL_EXT_shader_16bit_storage : require\n"
                                                "#extension GL_EXT_control_flow_attributes : require\n",
                                        .prelude = "prelude/vulkan",
                                        .entry = "main",
                                        .buffer_alloc = buffer_alloc,
                                        .buffer_free = buffer_free,
                                        .buffer_upload = buffer_upload,
                                        .program_create = glsl_create,
                                        .program_destroy = program_destroy,
                                        .submit = submit};

/* ---- CUDA C ----------------------------------------------------------------------------------------------------- */

static struct {
    int (*create)(void **program, const char *text, const char *name, int n, const char *const *headers,
                  const char *const *names);
    int (*compile)(void *program, int n, const char *const *options);
    int (*log)(void *program, char *log);
    int (*destroy)(void **program);
} nvrtc;

static bool nvrtc_open(void) {
    void *library = dlopen(NVRTC_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    static const char *const names[] = {"nvrtcCreateProgram", "nvrtcCompileProgram", "nvrtcGetProgramLog",
                                        "nvrtcDestroyProgram"};
    for (size_t i = 0; library && i < 4; i++) {
        void *symbol = dlsym(library, names[i]);
        if (!symbol) return false;
        memcpy((char *)&nvrtc + i * sizeof(symbol), &symbol, sizeof(symbol));
    }
    return library != NULL;
}

static partita_status cuda_create(gpu_device *device, const gpu_source *source, gpu_program **out_program) {
    static const char *const options[] = {"--gpu-architecture=compute_80"};
    static char log[1 << 20];
    void *program = NULL;
    int failed = nvrtc.create(&program, source->text, source->name, 0, NULL, NULL);
    if (!failed) failed = nvrtc.compile(program, 1, options);
    if (failed) nvrtc.log(program, log);
    nvrtc.destroy(&program);
    return program_done(device, source, failed, log, out_program);
}

static const gpu_backend_vtable cuda = {.name = "cuda",
                                        .head = "",
                                        .prelude = "prelude/cuda",
                                        .buffer_alloc = buffer_alloc,
                                        .buffer_free = buffer_free,
                                        .buffer_upload = buffer_upload,
                                        .program_create = cuda_create,
                                        .program_destroy = program_destroy,
                                        .submit = submit};

/* ---- the cases -------------------------------------------------------------------------------------------------- */

static const struct {
    const trial_case *cases;
    const unsigned *count;
} families[] = {
    {cases_elementwise, &cases_elementwise_count},
    {cases_move, &cases_move_count},
    {cases_compute, &cases_compute_count},
};

static void compile_case(ptp_device *device, const trial_case *one) {
    fake_host *fake = device->gpu.host->self;
    trial *t = malloc(sizeof(*t));
    trial_init(t);
    one->build(t);
    bb_finish(&t->block);
    ptp_executable *executable = NULL;
    ptp_compile compile = {.size = sizeof(compile),
                           .block = t->block.block,
                           .weights = t->block.weights,
                           .weight_count = t->block.weight_count};
    if (gpu_compile(device, &compile, &executable) != PARTITA_OK) fail_msg("%s: %s", one->name, fake->message);
    gpu_executable_vtable.destroy(executable);
    trial_free(t);
    free(t);
}

static void compile_all(const gpu_backend_vtable *backend, uint32_t features) {
    fake_host fake;
    fake_host_init(&fake);
    ptp_device device = {.gpu = {.backend = backend,
                                 .host = &fake.host,
                                 .caps = {.features = features | GPU_HAS_INT64 | GPU_HAS_INT8 | GPU_HAS_INT16,
                                          .alignment = 64,
                                          .max_group = 256,
                                          .vector_width = 4}}};
    assert_int_equal(gpu_device_init(&device.gpu), PARTITA_OK);
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        for (unsigned i = 0; i < *families[f].count; i++) compile_case(&device, &families[f].cases[i]);
    }
    assert_true(device.compiled > 50);
    gpu_device_deinit(&device.gpu);
    assert_int_equal(fake.live, 0);
}

static void glsl_compiles(void **state) {
    (void)state;
    if (system("glslangValidator --version > /dev/null 2>&1") != 0)
        SKIP_BECAUSE("tool:glslang", "glslangValidator is not installed");
    compile_all(&glsl, 0);
    compile_all(&glsl, GPU_ON_CPU);
}

static void cuda_compiles(void **state) {
    (void)state;
    if (!nvrtc_open()) SKIP_BECAUSE("library:nvrtc", "libnvrtc.so is not installed");
    compile_all(&cuda, 0);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {cmocka_unit_test(glsl_compiles), cmocka_unit_test(cuda_compiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
