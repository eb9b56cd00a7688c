/* SPDX-License-Identifier: Apache-2.0 */
/* Names that every way of showing a plan uses. */
#ifndef PT_PLAN_WORDS_H
#define PT_PLAN_WORDS_H

#include "plan/plan.h"

/* "cpu", "opencl:0", or "(host)". */
const char *pt_plan_device_name(const pt_plan *plan, uint32_t device);
/* "share", "import", "copy", "staged". */
const char *pt_plan_route_name(const pt_plan_edge *edge);
/* "4096 bytes", or "unknown (at most 4096) bytes" where only data tells. */
void pt_plan_print_bytes(const pt_plan_edge *edge, pt_text *out);
/* "dtype", ...: the short name of a reason. */
const char *pt_reason_code(uint32_t reason);
/* The device's own text, else the reason's; "" for a yes that is none of pieces only. */
const char *pt_plan_answer_text(const pt_plan_answer *answer);
/* Device that computes a node: of its own unit, or of the node around it that a device runs whole. */
uint32_t pt_plan_where(const pt_plan *plan, pt_id node);
/* Name of a value; of one without, its producer's and the output's number. */
partita_str pt_plan_value_name(const pt_plan *plan, pt_id value, pt_text *scratch);
/* carrier[source]: the live node that carries it, PT_NONE for removed ones. Freed by pt_free; NULL when memory is out.
 */
pt_id *pt_plan_carriers(const pt_model *model);

#endif
