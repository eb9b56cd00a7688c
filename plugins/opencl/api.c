/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the loader, and names of its error codes. */
#include "opencl/api.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LOADER "libOpenCL.so.1"

cl_api cl;
static char failure[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_once(void) {
    void *library = dlopen(LOADER, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        const char *cause = dlerror();
        snprintf(failure, sizeof(failure), "cannot open the OpenCL loader %s: %s", LOADER, cause ? cause : "not found");
        return;
    }
    static const struct {
        const char *name;
        size_t offset;
    } entries[] = {
#define X(name) {#name, offsetof(cl_api, name)},
        CL_API_ROWS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        void *entry = dlsym(library, entries[i].name);
        if (!entry) {
            snprintf(failure, sizeof(failure), "%s has no %s: OpenCL 1.2 is needed", LOADER, entries[i].name);
            return;
        }
        memcpy((char *)&cl + entries[i].offset, &entry, sizeof(entry));
    }
}

const char *cl_api_open(void) {
    pthread_once(&once, open_once);
    return failure[0] ? failure : NULL;
}

const char *cl_error_name(cl_int code) {
    static const struct {
        cl_int code;
        const char *name;
    } names[] = {
#define X(name) {name, #name},
        X(CL_DEVICE_NOT_FOUND) X(CL_DEVICE_NOT_AVAILABLE) X(CL_COMPILER_NOT_AVAILABLE)
            X(CL_MEM_OBJECT_ALLOCATION_FAILURE) X(CL_OUT_OF_RESOURCES) X(CL_OUT_OF_HOST_MEMORY)
                X(CL_BUILD_PROGRAM_FAILURE) X(CL_INVALID_VALUE) X(CL_INVALID_BUFFER_SIZE) X(CL_INVALID_HOST_PTR)
                    X(CL_INVALID_MEM_OBJECT) X(CL_INVALID_KERNEL_ARGS) X(CL_INVALID_ARG_SIZE)
                        X(CL_INVALID_WORK_GROUP_SIZE) X(CL_INVALID_GLOBAL_WORK_SIZE)
                            X(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST) X(CL_DEVICE_PARTITION_FAILED)
                                X(CL_INVALID_DEVICE_PARTITION_COUNT)
#undef X
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].code == code) return names[i].name;
    }
    return "OpenCL error";
}
