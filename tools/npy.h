/* SPDX-License-Identifier: Apache-2.0 */
/* numpy's array files: .npy as bytes, .npz as archives of them (numpy.lib.format, versions 1 to 3). */
#ifndef TOOLS_NPY_H
#define TOOLS_NPY_H

#include "base/base.h"
#include <partita/partita.h>

/* A value of an archive or of inputs and outputs, under its name. */
typedef struct tool_value {
    char *name;
    partita_value *value;
} tool_value;
typedef PT_ARRAY(tool_value) tool_values;

void tool_values_deinit(tool_values *values);
/* Takes over `value`; copies the name. */
partita_status tool_values_add(tool_values *values, const char *name, partita_value *value);
partita_value *tool_values_find(const tool_values *values, const char *name);

/* `name`: of the file, for errors. `wanted`: element type to read it as where numpy has none (bfloat16 as uint16, ...);
 * PARTITA_UNDEFINED: as the file says. */
partita_status tool_npy_parse(const char *name, const void *data, size_t bytes, partita_dtype wanted,
                              partita_value **out_value);
partita_status tool_npz_read(const char *path, tool_values *out_values);
/* Dense tensors that numpy has a type for; the names of others are given to stderr as a warning. */
partita_status tool_npz_write(const char *path, const tool_values *values);

#endif
