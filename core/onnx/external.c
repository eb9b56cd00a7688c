/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A location is opened without side effects (O_PATH neither waits for a FIFO nor wakes a device), then the opened file
 * itself is asked what it is and where it lies, so that nothing can be exchanged between check and use.
 */
#include "onnx/external.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void fd_path(int fd, char out[64]) { snprintf(out, 64, "/proc/self/fd/%d", fd); }

/* Where the opened file lies, without links. */
static partita_status real_path(int fd, char out[PATH_MAX]) {
    char link[64];
    fd_path(fd, link);
    ssize_t size = readlink(link, out, PATH_MAX - 1);
    if (size < 0) return pt_fail(PARTITA_IO, "cannot resolve a path: %s: %s", link, strerror(errno));
    out[size] = '\0';
    return PARTITA_OK;
}

static partita_status add_folder(pt_onnx_files *files, const char *path) {
    pt_onnx_folder *folder = &files->folders[files->folder_count];
    char real[PATH_MAX];
    folder->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder->fd < 0) return pt_fail(PARTITA_IO, "folder %s: %s", path, strerror(errno));
    partita_status status = real_path(folder->fd, real);
    if (status == PARTITA_OK) {
        folder->real = pt_malloc(strlen(real) + 1);
        if (!folder->real) status = PT_OUT_OF_MEMORY();
    }
    if (status != PARTITA_OK) {
        close(folder->fd);
        return status;
    }
    strcpy(folder->real, real);
    files->folder_count++;
    return PARTITA_OK;
}

partita_status pt_onnx_files_in(pt_onnx_files *files, const char *folder) { return add_folder(files, folder); }

/* The folder of a path, as text. */
static partita_status parent_of(const char *path, char out[PATH_MAX]) {
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (slash == path ? 1 : (size_t)(slash - path)) : 1;
    if (size >= PATH_MAX) return pt_fail(PARTITA_IO, "the path is too long");
    memcpy(out, slash ? path : ".", size);
    out[size] = '\0';
    return PARTITA_OK;
}

partita_status pt_onnx_files_beside(pt_onnx_files *files, const char *model_path) {
    char resolved[PATH_MAX], folder[PATH_MAX];
    PT_TRY(parent_of(model_path, folder));
    PT_TRY(add_folder(files, folder));
    if (!realpath(model_path, resolved)) return pt_fail(PARTITA_IO, "%s", strerror(errno));
    PT_TRY(parent_of(resolved, folder));
    return strcmp(folder, files->folders[0].real) == 0 ? PARTITA_OK : add_folder(files, folder);
}

void pt_onnx_files_deinit(pt_onnx_files *files) {
    for (uint32_t i = 0; i < files->folder_count; i++) {
        close(files->folders[i].fd);
        pt_free(files->folders[i].real);
    }
    for (size_t i = 0; i < files->mappings.size; i++) pt_mapping_release(files->mappings.data[i]);
    pt_array_deinit(&files->mappings);
    pt_map_deinit(&files->index);
    pt_arena_deinit(&files->names);
    *files = (pt_onnx_files){0};
}

/* What can be refused by the text alone. */
static partita_status check_location(partita_str location) {
    if (location.size == 0) return pt_fail(PARTITA_BAD_MODEL, "external data without a location");
    if (memchr(location.data, 0, location.size)) return pt_fail(PARTITA_BAD_MODEL, "a location contains a zero byte");
    if (location.size >= PATH_MAX) return pt_fail(PARTITA_BAD_MODEL, "the location of external data is too long");
    if (location.data[0] == '/') {
        return pt_fail(PARTITA_BAD_MODEL, "external data at an absolute path: %.*s", PT_STR_ARG(location));
    }
    for (size_t begin = 0, end; begin <= location.size; begin = end + 1) {
        for (end = begin; end < location.size && location.data[end] != '/'; end++) {}
        if (end - begin == 2 && memcmp(location.data + begin, "..", 2) == 0) {
            return pt_fail(PARTITA_BAD_MODEL, "external data outside the model's folder: %.*s", PT_STR_ARG(location));
        }
    }
    return PARTITA_OK;
}

static bool lies_beneath(const char *path, const char *folder) {
    size_t size = strlen(folder);
    if (size == 1) return true; /* the root */
    return strncmp(path, folder, size) == 0 && path[size] == '/';
}

/* Opens what lies at `location` of a folder; DECLINED when nothing is there. */
static partita_status open_in(const pt_onnx_files *files, const pt_onnx_folder *folder, const char *location,
                              int *out_fd) {
    partita_status status = PARTITA_OK;
    char real[PATH_MAX], link[64];
    struct stat info;
    int path_fd = openat(folder->fd, location, O_PATH | O_CLOEXEC);
    if (path_fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return PARTITA_DECLINED;
    if (path_fd < 0) return pt_fail(PARTITA_IO, "external data %s: %s", location, strerror(errno));
    PT_CHECK(real_path(path_fd, real));
    bool beneath = false;
    for (uint32_t i = 0; i < files->folder_count; i++) beneath |= lies_beneath(real, files->folders[i].real);
    if (!beneath) {
        status = pt_fail(PARTITA_BAD_MODEL, "external data %s lies outside the model's folder", location);
        goto out;
    }
    if (fstat(path_fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        status = pt_fail(PARTITA_BAD_MODEL, "external data %s is no regular file", location);
        goto out;
    }
    fd_path(path_fd, link);
    *out_fd = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*out_fd < 0) status = pt_fail(PARTITA_IO, "external data %s: %s", location, strerror(errno));
out:
    close(path_fd);
    return status;
}

static partita_status open_location(const pt_onnx_files *files, const char *location, int *out_fd) {
    for (uint32_t i = 0; i < files->folder_count; i++) {
        partita_status status = open_in(files, &files->folders[i], location, out_fd);
        if (status != PARTITA_DECLINED) return status;
    }
    return pt_fail(PARTITA_IO, "external data %s: no such file", location);
}

partita_status pt_onnx_files_get(pt_onnx_files *files, partita_str location, pt_mapping **out_mapping) {
    if (files->folder_count == 0) {
        return pt_fail(PARTITA_BAD_MODEL, "external data %.*s, but the model has no folder", PT_STR_ARG(location));
    }
    uint32_t known = pt_map_get(&files->index, location);
    if (known != PT_NONE) {
        *out_mapping = files->mappings.data[known];
        return PARTITA_OK;
    }
    int fd;
    PT_TRY(check_location(location));
    partita_str name = pt_arena_str(&files->names, location);
    if (!name.data || !pt_array_reserve(&files->mappings, files->mappings.size + 1)) return PT_OUT_OF_MEMORY();
    PT_TRY(open_location(files, name.data, &fd));
    partita_status status = pt_mapping_open_fd(fd, name.data, files->read, out_mapping);
    close(fd);
    if (status != PARTITA_OK) return status;
    files->mappings.data[files->mappings.size++] = *out_mapping;
    if (!pt_map_put(&files->index, name, (uint32_t)files->mappings.size - 1)) return PT_OUT_OF_MEMORY();
    return PARTITA_OK;
}
