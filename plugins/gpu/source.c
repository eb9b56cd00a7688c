/* SPDX-License-Identifier: Apache-2.0 */
/* Sources are put together here; the cache is a hash table of texts, since a handful of macros is all that names a
 * program. */
#include "gpu/gpu.h"
#include <stdio.h>

typedef struct gpu_cached {
    struct gpu_cached *next;
    uint64_t hash;
    gpu_program *program;
    char *key; /* kernel, defines and generated body in one text */
} gpu_cached;

#define SLOTS 128u
struct gpu_program_cache {
    gpu_cached *slots[SLOTS];
};

static const char *text_find(const char *name) {
    for (unsigned i = 0; i < gpu_text_count; i++) {
        if (strcmp(gpu_texts[i].name, name) == 0) return gpu_texts[i].text;
    }
    return NULL;
}

static int key_print(const gpu_key *key, char *text, size_t capacity) {
    return snprintf(text, capacity, "// %s\n#define LOCAL_X %u\n#define LOCAL_Y %u\n#define LOCAL_Z %u\n%s%s%s",
                    key->kernel, key->local[0], key->local[1], key->local[2], key->defines, key->body ? "//\n" : "",
                    key->body ? key->body : "");
}

static uint64_t key_hash(const char *text) {
    uint64_t hash = 1469598103934665603ull;
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 1099511628211ull;
    return hash;
}

partita_status gpu_source_text(gpu_device *device, const gpu_key *key, char **out_text) {
    const gpu_backend_vtable *backend = device->backend;
    const char *kernel = key->body ? key->body : text_find(key->kernel);
    const char *prelude = text_find(backend->prelude);
    const char *common = text_find("prelude/common");
    if (!kernel || !prelude || !common) {
        return gpu_fail(device->host, PARTITA_INTERNAL, "no text for kernel '%s' with '%s'", key->kernel,
                        backend->prelude);
    }
    uint32_t features = device->caps.features;
    char macros[512];
    snprintf(macros, sizeof(macros),
             "#define LOCAL_X %u\n#define LOCAL_Y %u\n#define LOCAL_Z %u\n#define HAS_INT64 %d\n#define HAS_INT8 %d\n"
             "#define HAS_INT16 %d\n#define HAS_FLOAT64 %d\n#define ON_CPU %d\n#define VW %u\n",
             key->local[0], key->local[1], key->local[2], !!(features & GPU_HAS_INT64), !!(features & GPU_HAS_INT8),
             !!(features & GPU_HAS_INT16), !!(features & GPU_HAS_FLOAT64), !!(features & GPU_ON_CPU),
             gpu_vector_width(device));
    size_t size = strlen(backend->head) + strlen(macros) + strlen(key->defines) + strlen(prelude) + strlen(common) +
                  strlen(kernel) + 8;
    char *text = device->host->alloc(device->host->self, size, 16);
    if (!text) return gpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "no memory for %zu bytes of source", size);
    snprintf(text, size, "%s%s%s%s\n%s\n%s", backend->head, macros, key->defines, prelude, common, kernel);
    *out_text = text;
    return PARTITA_OK;
}

static partita_status program_build(gpu_device *device, const gpu_key *key, gpu_program **out_program) {
    char *text = NULL;
    partita_status status = gpu_source_text(device, key, &text);
    if (status != PARTITA_OK) return status;
    gpu_source source = {.name = device->backend->entry ? device->backend->entry : key->kernel,
                         .text = text,
                         .local = {key->local[0], key->local[1], key->local[2]},
                         .binding_count = key->binding_count};
    status = device->backend->program_create(device, &source, out_program);
    device->host->free(device->host->self, text);
    if (status == PARTITA_OK) {
        char message[128];
        device->programs_built++;
        device->fused_built += key->fused;
        snprintf(message, sizeof(message), "%s built kernel %s, program %u of the device", device->backend->name,
                 key->kernel, device->programs_built);
        device->host->log(device->host->self, PARTITA_LOG_DEBUG, message);
    }
    return status;
}

partita_status gpu_program_get(gpu_device *device, const gpu_key *key, gpu_program **out_program) {
    const ptp_host *host = device->host;
    char small[2048];
    char *text = small;
    int size = key_print(key, small, sizeof(small));
    if (size < 0) return gpu_fail(host, PARTITA_INTERNAL, "kernel '%s' has no key", key->kernel);
    if ((size_t)size >= sizeof(small)) {
        text = host->alloc(host->self, (uint64_t)size + 1, 16);
        if (!text) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for %d bytes of kernel text", size + 1);
        key_print(key, text, (size_t)size + 1);
    }
    uint64_t hash = key_hash(text);
    partita_status status = PARTITA_OK;
    gpu_cached *made = NULL;
    pthread_mutex_lock(&device->lock);
    if (!device->programs) {
        device->programs = host->alloc(host->self, sizeof(*device->programs), 16);
        if (device->programs) memset(device->programs, 0, sizeof(*device->programs));
    }
    if (!device->programs) {
        status = gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for the program cache");
        goto out;
    }
    gpu_cached **slot = &device->programs->slots[hash % SLOTS];
    for (gpu_cached *c = *slot; c; c = c->next) {
        if (c->hash == hash && strcmp(c->key, text) == 0) {
            *out_program = c->program;
            goto out;
        }
    }
    made = host->alloc(host->self, sizeof(*made) + (uint64_t)size + 1, 16);
    if (!made) {
        status = gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for the program cache");
        goto out;
    }
    made->hash = hash;
    made->key = (char *)(made + 1);
    memcpy(made->key, text, (size_t)size + 1);
    status = program_build(device, key, &made->program);
    if (status != PARTITA_OK) goto out;
    made->next = *slot;
    *slot = made;
    *out_program = made->program;
    made = NULL;
out:
    pthread_mutex_unlock(&device->lock);
    if (made) host->free(host->self, made);
    if (text != small) host->free(host->self, text);
    return status;
}

void gpu_programs_free(gpu_device *device) {
    if (!device->programs) return;
    for (uint32_t i = 0; i < SLOTS; i++) {
        for (gpu_cached *c = device->programs->slots[i]; c;) {
            gpu_cached *next = c->next;
            device->backend->program_destroy(device, c->program);
            device->host->free(device->host->self, c);
            c = next;
        }
    }
    device->host->free(device->host->self, device->programs);
    device->programs = NULL;
}
