/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models out of text, in the format that pt_model_print writes. Types are needed for inputs and constants only; a float
 * attribute needs a point. Names of source nodes may be left out.
 */
#ifndef PT_TESTS_PASSES_TEXT_H
#define PT_TESTS_PASSES_TEXT_H

#include "graph/model.h"

/* BAD_INPUT naming the line when the text is wrong. Nodes are of opset `version`. */
partita_status text_parse(const char *text, int32_t version, pt_model **out_model);

#endif
