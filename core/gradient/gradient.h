/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator Gradient of ai.onnx.preview.training: at load each is replaced by the nodes that compute its outputs.
 */
#ifndef PT_GRADIENT_GRADIENT_H
#define PT_GRADIENT_GRADIENT_H

#include "graph/model.h"

/*
 * Replaces every Gradient by nodes of ONNX that carry its source. The model was checked and inferred; the importer put
 * the values that the attributes xs, zs and y name behind the inputs of each. UNSUPPORTED where an operator between has
 * no derivative: it names both nodes.
 */
partita_status pt_model_expand_gradients(pt_model *model);

#endif
