/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading: the library, the one symbol, the agreement on a version, and the check of what must be there. A plugin is
 * untouched by this room until all of it holds, so that a bad one costs a message.
 */
#include "plugin/internal.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST_ABI_MIN    ((uint32_t)PTP_ABI_OLDEST)
#define HOST_ABI_MAX    ((uint32_t)PTP_ABI_VERSION)
#define MOST_EXTENSIONS 1024

void pt_table_copy(void *to, uint32_t to_size, const void *from) {
    uint32_t size = 0;
    memset(to, 0, to_size);
    if (from) memcpy(&size, from, sizeof(size));
    if (size > to_size) size = to_size;
    if (from) memcpy(to, from, size);
    memcpy(to, &to_size, sizeof(to_size));
}

/* ---- what must be there ---------------------------------------------------------------------- */

typedef enum table_kind { TABLE_PLUGIN, TABLE_DEVICE, TABLE_EXECUTABLE, TABLE_MEMORY, TABLE_COUNT } table_kind;

static const struct {
    table_kind table;
    const char *name;
    size_t offset;
} required_slots[] = {
#define REQUIRED(kind, type, slot)                                                                                     \
    { TABLE_##kind, #type "." #slot, offsetof(ptp_##type##_vtable, slot) }
    REQUIRED(PLUGIN, plugin, start),
    REQUIRED(PLUGIN, plugin, stop),
    REQUIRED(PLUGIN, plugin, device_count),
    REQUIRED(PLUGIN, plugin, open),
    REQUIRED(PLUGIN, plugin, close),
    REQUIRED(DEVICE, device, info),
    REQUIRED(DEVICE, device, ask),
    REQUIRED(DEVICE, device, compile),
    REQUIRED(EXECUTABLE, executable, destroy),
    REQUIRED(EXECUTABLE, executable, ports),
    REQUIRED(EXECUTABLE, executable, resize),
    REQUIRED(EXECUTABLE, executable, release),
    REQUIRED(EXECUTABLE, executable, exec),
    REQUIRED(MEMORY, memory, alloc),
    REQUIRED(MEMORY, memory, free),
    REQUIRED(MEMORY, memory, copy),
#undef REQUIRED
};

/* Tables are read through a copy: a slot beyond the plugin's size is a missing one. */
static partita_status check_slots(table_kind kind, const void *table) {
    for (size_t i = 0; i < PT_COUNT_OF(required_slots); i++) {
        void (*slot)(void);
        if (required_slots[i].table != kind) continue;
        memcpy(&slot, (const char *)table + required_slots[i].offset, sizeof(slot));
        if (!slot) return pt_fail(PARTITA_DEVICE_FAILED, "required slot %s is missing", required_slots[i].name);
    }
    return PARTITA_OK;
}

static partita_status check_pairs(const ptp_memory_vtable *memory) {
    if (!memory->map != !memory->unmap) {
        return pt_fail(PARTITA_DEVICE_FAILED, "memory.map and memory.unmap come together, and one is missing");
    }
    return PARTITA_OK;
}

static partita_status check_tables(pt_plugin *plugin) {
    const ptp_plugin_info *info = plugin->info;
    ptp_device_vtable device;
    ptp_executable_vtable executable;
    ptp_memory_vtable memory;
    pt_table_copy(&plugin->vtable, sizeof(plugin->vtable), info->plugin);
    if (info->operator_set && !info->plugin && !info->device) return PARTITA_OK;
    if (!info->plugin) return pt_fail(PARTITA_DEVICE_FAILED, "required table plugin is missing");
    PT_TRY(check_slots(TABLE_PLUGIN, &plugin->vtable));
    if (!info->device) {
        if (info->operator_set) return PARTITA_OK;
        return pt_fail(PARTITA_DEVICE_FAILED, "required table device is missing");
    }
    if (!info->executable) return pt_fail(PARTITA_DEVICE_FAILED, "required table executable is missing");
    pt_table_copy(&device, sizeof(device), info->device);
    pt_table_copy(&executable, sizeof(executable), info->executable);
    pt_table_copy(&memory, sizeof(memory), info->memory);
    PT_TRY(check_slots(TABLE_DEVICE, &device));
    PT_TRY(check_slots(TABLE_EXECUTABLE, &executable));
    if (!info->memory) return PARTITA_OK;
    PT_TRY(check_slots(TABLE_MEMORY, &memory));
    return check_pairs(&memory);
}

/* This host knows no extension yet: the ones that need not be understood are passed over. */
static partita_status check_extensions(const ptp_extension *extension) {
    for (uint32_t i = 0; extension; i++, extension = extension->next) {
        if (extension->id & PTP_EXTENSION_REQUIRED) {
            return pt_fail(PARTITA_DEVICE_FAILED, "needs extension 0x%x, which this version does not have",
                           extension->id & ~PTP_EXTENSION_REQUIRED);
        }
        if (i == MOST_EXTENSIONS) return pt_fail(PARTITA_DEVICE_FAILED, "its chain of extensions does not end");
    }
    return PARTITA_OK;
}

static partita_status check_sanitizer(const char *sanitizer) {
    if (!sanitizer || !*sanitizer || strcmp(sanitizer, PTP_SANITIZER) == 0) return PARTITA_OK;
    return pt_fail(PARTITA_DEVICE_FAILED, "is built with the %s sanitizer, and the host %s%s", sanitizer,
                   *PTP_SANITIZER ? "with another: " : "without", PTP_SANITIZER);
}

/* ---- the library ----------------------------------------------------------------------------- */

/* True when all that the headers of a library map lies in its file. What is no ELF file at all is left to dlopen. */
static bool is_whole(int fd, uint64_t bytes) {
    ElfW(Ehdr) head;
    ElfW(Phdr) row;
    if (pread(fd, &head, sizeof(head), 0) != sizeof(head) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0) return true;
    for (uint32_t i = 0; i < head.e_phnum && head.e_phentsize == sizeof(row); i++) {
        if (pread(fd, &row, sizeof(row), (off_t)(head.e_phoff + i * sizeof(row))) != sizeof(row)) return false;
        if (row.p_type == PT_LOAD && (row.p_offset > bytes || row.p_filesz > bytes - row.p_offset)) return false;
    }
    return true;
}

/* dlopen would wait at a pipe for ever, and die of pages that a file cut off does not have. */
static partita_status check_file(const char *path) {
    partita_status status = PARTITA_OK;
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return PARTITA_OK; /* dlopen says why */
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        status = pt_fail(PARTITA_DEVICE_FAILED, "library %s is no regular file", path);
    else if (!is_whole(fd, (uint64_t)about.st_size))
        status = pt_fail(PARTITA_DEVICE_FAILED, "library %s is cut off", path);
    close(fd);
    return status;
}

/* dlerror names a file and the cause; when the file is another one, it's what the plugin needs. */
static partita_status explain_dlopen(const pt_plugin *plugin) {
    const char *error = dlerror();
    const char *colon = error ? strstr(error, ": ") : NULL;
    const char *file = error ? error : "";
    size_t size = colon ? (size_t)(colon - file) : 0;
    if (access(plugin->library_path, F_OK) != 0) {
        return pt_fail(PARTITA_DEVICE_ABSENT, "library %s does not exist", plugin->library_path);
    }
    if (colon && strstr(colon, "cannot open shared object file") && memchr(file, '/', size) == NULL) {
        return pt_fail(PARTITA_DEVICE_ABSENT, "needs %.*s, which is not installed (%s)", (int)size, file, error);
    }
    return pt_fail(PARTITA_DEVICE_FAILED, "%s", error ? error : "dlopen failed");
}

typedef struct refusal {
    char message[256];
} refusal;

static void take_refusal(void *self, const char *message) {
    refusal *r = self;
    snprintf(r->message, sizeof(r->message), "%s", message ? message : "");
}

static partita_status negotiate(pt_plugin *plugin) {
    refusal refused = {""};
    const ptp_query query = {.size = sizeof(query),
                             .abi_min = HOST_ABI_MIN,
                             .abi_max = HOST_ABI_MAX,
                             .self = &refused,
                             .refuse = take_refusal};
    const ptp_plugin_info *given;
    ptp_plugin_info *info;
    ptp_query_fn fn = NULL;
    void *symbol = dlsym(plugin->library, "partita_plugin_query");
    if (!symbol) return pt_fail(PARTITA_DEVICE_FAILED, "does not export partita_plugin_query");
    memcpy(&fn, &symbol, sizeof(fn));
    given = fn(&query);
    if (!given) {
        return pt_fail(PARTITA_DEVICE_FAILED, "refuses this host (ABI %u to %u): %s", HOST_ABI_MIN, HOST_ABI_MAX,
                       refused.message[0] ? refused.message : "no reason given");
    }
    info = pt_arena_alloc(&plugin->registry->arena, sizeof(*info));
    if (!info) return PT_OUT_OF_MEMORY();
    pt_table_copy(info, sizeof(*info), given);
    plugin->info = info;
    if (info->abi < HOST_ABI_MIN || info->abi > HOST_ABI_MAX) {
        return pt_fail(PARTITA_DEVICE_FAILED, "answers with ABI %u, the host speaks %u to %u", info->abi, HOST_ABI_MIN,
                       HOST_ABI_MAX);
    }
    PT_TRY(check_sanitizer(info->sanitizer));
    PT_TRY(check_extensions(info->next));
    PT_TRY(check_tables(plugin));
    return pt_plugin_read_operators(plugin);
}

partita_status pt_plugin_load(pt_plugin *plugin) {
    partita_status status;
    if (plugin->abi_min > HOST_ABI_MAX || plugin->abi_max < HOST_ABI_MIN) {
        return pt_fail(PARTITA_DEVICE_FAILED, "speaks ABI %u to %u, the host %u to %u", plugin->abi_min,
                       plugin->abi_max, HOST_ABI_MIN, HOST_ABI_MAX);
    }
    PT_TRY(check_sanitizer(plugin->sanitizer)); /* before its runtime ends the process */
    PT_TRY(check_file(plugin->library_path));
    plugin->library = dlopen(plugin->library_path, RTLD_NOW | RTLD_LOCAL);
    if (!plugin->library) return explain_dlopen(plugin);
    status = negotiate(plugin);
    if (status != PARTITA_OK) {
        /* Nothing of it has run but the query, so that it can go. */
        dlclose(plugin->library);
        plugin->library = NULL;
        plugin->info = NULL;
    }
    return status;
}
