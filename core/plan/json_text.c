/* SPDX-License-Identifier: Apache-2.0 */
/* Text of models in JSON documents. */
#include "plan/json_text.h"

json_t *pt_json_text(partita_str text) {
    json_t *json = json_stringn(text.data ? text.data : "", text.size);
    if (json) return json;
    pt_text clean = {0};
    pt_text_append_clean(&clean, text, false);
    json = json_stringn_nocheck(clean.data ? clean.data : "", clean.size);
    pt_text_deinit(&clean);
    return json;
}
