/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking values apart and putting them together along an axis: what control flow does between iterations.
 */
#ifndef PT_RUN_VALUE_PARTS_H
#define PT_RUN_VALUE_PARTS_H

#include "run/value.h"

/* Element `index` along `axis`, which goes away. Of tensors of strings only axis 0. */
partita_status pt_value_slice(const partita_value *value, uint32_t axis, int64_t index, partita_value **out_value);
/*
 * Stacks `count` tensors of one shape along a new axis, `reverse`: the last one first. They may be fewer than `length`:
 * the rest is zero. `like` gives element type and dims where there are none (dims that are not known: 0).
 */
partita_status pt_value_stack(partita_value *const *items, uint64_t count, uint64_t length, uint32_t axis, bool reverse,
                              const pt_type *like, const char *name, partita_value **out_value);
/* A value that shares no memory with anything else: itself, with one more reference, where it has its own. */
partita_status pt_value_own(partita_value *value, partita_value **out_value);
/* A scalar in host memory as a number or truth; BAD_INPUT naming `what` when it is none. */
partita_status pt_value_scalar_int(const partita_value *value, const char *what, int64_t *out_number);
partita_status pt_value_scalar_bool(const partita_value *value, const char *what, bool *out_truth);
partita_status pt_value_from_int(int64_t number, partita_value **out_value);
partita_status pt_value_from_bool(bool truth, partita_value **out_value);

#endif
