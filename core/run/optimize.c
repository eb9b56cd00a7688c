/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Optimising a model at load: the default passes, with an evaluator on the fallback device.
 */
#include "run/fold.h"

partita_status pt_model_optimize(pt_model *model, pt_registry *registry) {
    PT_UNUSED(model);
    PT_UNUSED(registry);
    return PARTITA_OK;
}
