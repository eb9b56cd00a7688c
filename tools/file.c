/* SPDX-License-Identifier: Apache-2.0 */
/* Files read as a whole, and files that appear only when they are whole. */
#include "file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

partita_status tool_file_read(const char *path, void **out_data, size_t *out_bytes) {
    FILE *file = fopen(path, "rb");
    if (!file) return pt_fail(PARTITA_IO, "%s: %s", path, strerror(errno));
    partita_status status = PARTITA_OK;
    PT_ARRAY(char) bytes = {0};
    struct stat about;
    size_t got;
    /* A device need not have an end; a pipe does. */
    if (fstat(fileno(file), &about) == 0 && (S_ISCHR(about.st_mode) || S_ISBLK(about.st_mode))) {
        status = pt_fail(PARTITA_IO, "%s: is a device", path);
        goto out;
    }
    do {
        if (!pt_array_reserve(&bytes, bytes.size + 65536)) {
            status = PT_OUT_OF_MEMORY();
            goto out;
        }
        got = fread(bytes.data + bytes.size, 1, bytes.capacity - bytes.size, file);
        bytes.size += got;
    } while (got > 0);
    if (ferror(file)) {
        status = pt_fail(PARTITA_IO, "%s: %s", path, strerror(errno));
        goto out;
    }
    *out_data = bytes.data;
    *out_bytes = bytes.size;
    bytes.data = NULL;
out:
    fclose(file);
    pt_free(bytes.data);
    return status;
}

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = pt_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* The stream over a new file beside `file->path`, or NULL where its folder takes none. `about`: of the old file. */
static FILE *open_beside(tool_file *file, const struct stat *about) {
    size_t size = strlen(file->path) + 24;
    if (!(file->beside = pt_malloc(size))) return NULL;
    snprintf(file->beside, size, "%s.%ld.part", file->path, (long)getpid());
    int fd = open(file->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 && about && fchmod(fd, about->st_mode & 07777) != 0) close(fd), unlink(file->beside), fd = -1;
    FILE *stream = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (stream) return stream;
    pt_free(file->beside);
    file->beside = NULL;
    return NULL;
}

partita_status tool_file_begin(const char *path, tool_file *out_file) {
    char resolved[PATH_MAX];
    struct stat about;
    tool_file file = {.name = path};
    partita_status status = PARTITA_OK;
    bool is_stdout = strcmp(path, "-") == 0, exists = stat(path, &about) == 0;
    if (!(file.path = copy_text(!is_stdout && exists && realpath(path, resolved) ? resolved : path)))
        return PT_OUT_OF_MEMORY();
    if (is_stdout)
        file.stream = stdout;
    else if (!exists || (S_ISREG(about.st_mode) && access(path, W_OK) == 0))
        file.stream = open_beside(&file, exists ? &about : NULL);
    if (!file.stream) file.stream = fopen(path, "wb");
    if (file.stream) {
        *out_file = file;
    } else {
        status = pt_fail(PARTITA_IO, "%s: %s", path, strerror(errno));
        pt_free(file.path);
    }
    return status;
}

partita_status tool_file_end(tool_file *file, partita_status status) {
    bool failed = fflush(file->stream) != 0 || ferror(file->stream);
    if (file->stream != stdout) failed |= fclose(file->stream) != 0;
    if (status == PARTITA_OK && failed) status = pt_fail(PARTITA_IO, "%s: %s", file->name, strerror(errno));
    if (status == PARTITA_OK && file->beside && rename(file->beside, file->path) != 0)
        status = pt_fail(PARTITA_IO, "%s: %s", file->name, strerror(errno));
    if (status != PARTITA_OK && file->beside) unlink(file->beside);
    pt_free(file->path);
    pt_free(file->beside);
    memset(file, 0, sizeof(*file));
    return status;
}
