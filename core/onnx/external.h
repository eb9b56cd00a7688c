/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files with external data, and the rule where they may lie: after symbolic links beneath the folder that holds the
 * model's given path, or beneath the folder that holds its resolved path. So caches load in which the model and its
 * data are links to another folder, and nothing else on the machine can be read through a model.
 */
#ifndef PT_ONNX_EXTERNAL_H
#define PT_ONNX_EXTERNAL_H

#include "graph/weight.h"

typedef struct pt_onnx_folder {
    int fd;     /* of the folder; -1 */
    char *real; /* its path without links */
} pt_onnx_folder;

typedef struct pt_onnx_files {
    pt_onnx_folder folders[2]; /* of the given path, of the resolved one */
    uint32_t folder_count;     /* 0: external data isn't allowed */
    bool read;                 /* read instead of mapping */
    pt_arena names;
    pt_map index; /* location -> mappings */
    PT_ARRAY(pt_mapping *) mappings;
} pt_onnx_files;

/* The folders around a model's path. */
partita_status pt_onnx_files_beside(pt_onnx_files *files, const char *model_path);
/* One folder. */
partita_status pt_onnx_files_in(pt_onnx_files *files, const char *folder);
void pt_onnx_files_deinit(pt_onnx_files *files);
/* The file at `location`, opened once; borrowed. */
partita_status pt_onnx_files_get(pt_onnx_files *files, partita_str location, pt_mapping **out_mapping);

#endif
