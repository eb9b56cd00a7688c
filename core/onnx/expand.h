/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expanding operators into the functions that define them.
 */
#ifndef PT_ONNX_EXPAND_H
#define PT_ONNX_EXPAND_H

#include "graph/model.h"

/*
 * Replaces the node by the nodes of a FunctionProto, which carry its sources and are no schema's yet (pt_model_check).
 * The order of the graph is that of pt_model_sort afterwards. After a failure the model is only fit to be destroyed.
 */
partita_status pt_onnx_expand(pt_model *model, pt_id node, const void *bytes, uint64_t size);

#endif
