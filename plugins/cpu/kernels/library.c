/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens the shared objects of library.h, which lie in the folder `cpu` beside the plugin. They stay open.
 */
#include "cpu/kernels/libraries.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

typedef struct library {
    const char *name; /* of the file */
    const void *table;
} library;

static library libraries[CPU_LIBRARY_COUNT] = {
    [CPU_LIBRARY_JPEG] = {"jpeg", NULL},         [CPU_LIBRARY_PNG] = {"png", NULL},
    [CPU_LIBRARY_TIFF] = {"tiff", NULL},         [CPU_LIBRARY_WEBP] = {"webp", NULL},
    [CPU_LIBRARY_JPEG2000] = {"openjpeg", NULL}, [CPU_LIBRARY_REGEX] = {"re2", NULL},
    [CPU_LIBRARY_TEXT] = {"utf8proc", NULL},
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static partita_status open_library(const ptp_host *host, library *l) {
    char path[4096];
    Dl_info self;
    if (dladdr(libraries, &self) == 0 || self.dli_fname == NULL) self.dli_fname = "";
    const char *slash = strrchr(self.dli_fname, '/');
    int folder = slash != NULL ? (int)(slash - self.dli_fname) : 0;
    int length = snprintf(path, sizeof(path), "%.*s/cpu/%s.so", folder, self.dli_fname, l->name);
    if (length < 0 || (size_t)length >= sizeof(path)) path[0] = '\0';
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *why = dlerror();
        return cpu_fail(host, PARTITA_UNSUPPORTED, "this needs the library %s, which was left out or is missing: %s",
                        l->name, why != NULL ? why : path);
    }
    const uint32_t *version = dlsym(handle, CPU_LIBRARY_SYMBOL);
    if (version == NULL || *version != CPU_LIBRARY_VERSION) {
        dlclose(handle);
        return cpu_fail(host, PARTITA_UNSUPPORTED, "%s is of another version of Partita", path);
    }
    l->table = version;
    return PARTITA_OK;
}

partita_status cpu_library_open(const ptp_host *host, cpu_library which, const void **out_table) {
    library *l = &libraries[which];
    partita_status status = PARTITA_OK;
    pthread_mutex_lock(&lock);
    if (l->table == NULL) status = open_library(host, l);
    *out_table = l->table;
    pthread_mutex_unlock(&lock);
    return status;
}
