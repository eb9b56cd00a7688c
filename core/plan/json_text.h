/* SPDX-License-Identifier: Apache-2.0 */
/* Text of models in JSON documents. */
#ifndef PT_PLAN_JSON_TEXT_H
#define PT_PLAN_JSON_TEXT_H

#include "base/base.h"
#include <jansson.h>

/* Bytes that are no UTF-8, which hostile models may have in names, become '?'. NULL when memory is out. */
json_t *pt_json_text(partita_str text);

#endif
