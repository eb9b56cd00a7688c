/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Computing nodes while a model is loaded: constant folding on the device with the role FALLBACK.
 */
#ifndef PT_RUN_FOLD_H
#define PT_RUN_FOLD_H

#include "plugin/registry.h"
#include "run/value.h"

/* Computes a node whose inputs are all constants; outputs [node's output_count] are the caller's references, NULL for
 * absent ones. A device that does not take the node fails to compile it. */
partita_status pt_fold_node(pt_device *device, pt_model *model, pt_id node, partita_value **outputs);
/* The default passes, with the fallback device as the evaluator where there is one. */
partita_status pt_model_optimize(pt_model *model, pt_registry *registry);

#endif
