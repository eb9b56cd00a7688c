/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes nodes of a model as an ONNX model, for plugins with a parser of their own and for tests.
 */
#ifndef PT_ONNX_WRITER_H
#define PT_ONNX_WRITER_H

#include "graph/model.h"

/* Nodes of one graph, in order, with the values that come in and go out. */
typedef struct pt_onnx_part {
    const pt_id *nodes, *inputs, *outputs;
    uint32_t node_count, input_count, output_count;
    /*
     * Weights of at least so many bytes become external data at location "weight/ID", offset 0, where ID is the
     * weight's (pt_weight.id, ptp_weight.id); UINT64_MAX: all are inline.
     */
    uint64_t external_from;
} pt_onnx_part;

/*
 * Bodies come along with their nodes, constants are initializers. Inputs and outputs keep their names, all other values
 * are named "name%id", since names of different graphs may be equal. *out_bytes: pt_free.
 */
partita_status pt_onnx_write_part(const pt_model *model, const pt_onnx_part *part, void **out_bytes,
                                  uint64_t *out_size);
/* The whole model. */
partita_status pt_onnx_write(const pt_model *model, uint64_t external_from, void **out_bytes, uint64_t *out_size);

#endif
