/* SPDX-License-Identifier: Apache-2.0 */
/* Files that the command reads and writes as a whole. */
#ifndef TOOLS_FILE_H
#define TOOLS_FILE_H

#include "base/base.h"
#include <stdio.h>

/* A whole file; freed by pt_free. A pipe is read to its end, a device is refused. */
partita_status tool_file_read(const char *path, void **out_data, size_t *out_bytes);

/* A file that is written: it appears under its name when it is whole, so that whoever is killed, or finds the disk
 * full, leaves the old one. What is there and is no regular file, a pipe say, is written as it is, and "-" is stdout.
 */
typedef struct tool_file {
    FILE *stream;
    const char *name; /* as it was given, for words */
    char *path;       /* behind links */
    char *beside;     /* written in its stead and renamed; NULL: none */
} tool_file;

/* `path` outlives the file. */
partita_status tool_file_begin(const char *path, tool_file *out_file);
/* Closes it. Anything but OK of `status`, which is what the writer says, leaves the old file and is returned. */
partita_status tool_file_end(tool_file *file, partita_status status);

#endif
