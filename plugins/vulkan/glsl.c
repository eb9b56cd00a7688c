/* SPDX-License-Identifier: Apache-2.0 */
/* GLSL to SPIR-V by glslang, which lies in the plugin; and what a SPIR-V module says about the buffers it may write. */
#include "vulkan/vk.h"
#include <glslang/Include/glslang_c_interface.h>
#include <glslang/Public/resource_limits_c.h>

/* glslang counts its users by process; the first compile reads its built-in functions (60 ms), which later ones share.
 */
static pthread_mutex_t glslang_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t glslang_users;

void vk_glsl_retain(void) {
    pthread_mutex_lock(&glslang_lock);
    if (glslang_users++ == 0) glslang_initialize_process();
    pthread_mutex_unlock(&glslang_lock);
}

void vk_glsl_release(void) {
    pthread_mutex_lock(&glslang_lock);
    if (--glslang_users == 0) glslang_finalize_process();
    pthread_mutex_unlock(&glslang_lock);
}

static partita_status words_copy(const ptp_host *host, glslang_program_t *program, uint32_t **out_words,
                                 size_t *out_count) {
    size_t count = glslang_program_SPIRV_get_size(program);
    uint32_t *words = vk_alloc(host, count * sizeof(*words));
    if (!words) return PARTITA_OUT_OF_MEMORY;
    glslang_program_SPIRV_get(program, words);
    *out_words = words;
    *out_count = count;
    return PARTITA_OK;
}

partita_status vk_glsl_compile(const ptp_host *host, const char *name, const char *text, uint32_t **out_words,
                               size_t *out_count) {
    const int rules = GLSLANG_MSG_SPV_RULES_BIT | GLSLANG_MSG_VULKAN_RULES_BIT;
    glslang_input_t input = {.language = GLSLANG_SOURCE_GLSL,
                             .stage = GLSLANG_STAGE_COMPUTE,
                             .client = GLSLANG_CLIENT_VULKAN,
                             .client_version = GLSLANG_TARGET_VULKAN_1_2,
                             .target_language = GLSLANG_TARGET_SPV,
                             .target_language_version = GLSLANG_TARGET_SPV_1_5,
                             .code = text,
                             .default_version = 450,
                             .default_profile = GLSLANG_NO_PROFILE,
                             .messages = rules,
                             .resource = glslang_default_resource()};
    partita_status status = PARTITA_OK;
    glslang_program_t *program = glslang_program_create();
    glslang_shader_t *shader = glslang_shader_create(&input);
    if (!program || !shader) {
        status = gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no compiler for kernel %s", name);
        goto out;
    }
    if (!glslang_shader_preprocess(shader, &input) || !glslang_shader_parse(shader, &input)) {
        status = gpu_fail(host, PARTITA_CANNOT_COMPILE, "kernel %s: %s", name, glslang_shader_get_info_log(shader));
        goto out;
    }
    glslang_program_add_shader(program, shader);
    if (!glslang_program_link(program, rules)) {
        status = gpu_fail(host, PARTITA_CANNOT_COMPILE, "kernel %s: %s", name, glslang_program_get_info_log(program));
        goto out;
    }
    glslang_program_SPIRV_generate(program, GLSLANG_STAGE_COMPUTE);
    status = words_copy(host, program, out_words, out_count);
out:
    if (program) glslang_program_delete(program);
    if (shader) glslang_shader_delete(shader);
    return status;
}

/* ---- reflection -------------------------------------------------------------------------------------------------- */

/* Numbers of the SPIR-V specification. */
enum {
    SPV_HEADER = 5,
    SPV_OP_TYPE_POINTER = 32,
    SPV_OP_VARIABLE = 59,
    SPV_OP_DECORATE = 71,
    SPV_OP_MEMBER_DECORATE = 72,
    SPV_NON_WRITABLE = 24,
    SPV_BINDING = 33
};

typedef struct spirv_id {
    uint32_t pointee; /* of a pointer type */
    uint32_t binding; /* of a variable, plus 1 */
    bool read_only;   /* of a variable, or of all that lies in a block */
} spirv_id;

partita_status vk_spirv_writes(const ptp_host *host, const uint32_t *words, size_t count, uint32_t *out_writes) {
    uint32_t writes = 0, bound = count > SPV_HEADER ? words[3] : 0;
    if (bound == 0 || bound > 1u << 24) return gpu_fail(host, PARTITA_INTERNAL, "SPIR-V with %u ids", bound);
    spirv_id *ids = vk_alloc(host, bound * sizeof(*ids));
    if (!ids) return PARTITA_OUT_OF_MEMORY;
    for (size_t at = SPV_HEADER; at < count && words[at] >> 16; at += words[at] >> 16) {
        const uint32_t *w = &words[at];
        uint32_t op = w[0] & 0xffff, length = w[0] >> 16;
        if (length > count - at || length < 3 || w[1] >= bound || w[2] >= (op == SPV_OP_VARIABLE ? bound : UINT32_MAX))
            continue;
        if (op == SPV_OP_DECORATE && w[2] == SPV_BINDING && length > 3) ids[w[1]].binding = w[3] + 1;
        if (op == SPV_OP_DECORATE && w[2] == SPV_NON_WRITABLE) ids[w[1]].read_only = true;
        if (op == SPV_OP_MEMBER_DECORATE && length > 3 && w[3] == SPV_NON_WRITABLE) ids[w[1]].read_only = true;
        if (op == SPV_OP_TYPE_POINTER && length > 3) ids[w[1]].pointee = w[3];
        if (op != SPV_OP_VARIABLE || !ids[w[2]].binding || ids[w[2]].binding > GPU_MAX_BINDINGS) continue;
        uint32_t block = ids[w[1]].pointee;
        bool read_only = ids[w[2]].read_only || (block < bound && ids[block].read_only);
        if (!read_only) writes |= 1u << (ids[w[2]].binding - 1);
    }
    vk_free(host, ids);
    *out_writes = writes;
    return PARTITA_OK;
}
