/* SPDX-License-Identifier: Apache-2.0 */
/* Judging a value against an expected one, element by element. */
#include "job.h"
#include "element.h"
#include <inttypes.h>
#include <math.h>

static bool close_enough(double a, double b, double rtol, double atol) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b)) return a == b;
    return fabs(a - b) <= atol + rtol * fabs(b);
}

static bool strings_equal(const partita_value_view *a, const partita_value_view *b, uint64_t i) {
    partita_str x = {(const char *)a->data + a->offsets[i], a->offsets[i + 1] - a->offsets[i]};
    partita_str y = {(const char *)b->data + b->offsets[i], b->offsets[i + 1] - b->offsets[i]};
    return pt_str_equal(x, y);
}

static partita_status compare_elements(const char *name, const partita_value_view *got, const partita_value_view *want,
                                       const tool_tolerance *tolerance) {
    double rtol = tolerance->rtol;
    if (tolerance->widen_bfloat16 && got->dtype == PARTITA_BFLOAT16) rtol = fmax(rtol, 0x1p-6);
    uint64_t wrong = 0, worst = 0;
    double worst_gap = -1, a_worst = 0, b_worst = 0;
    for (uint64_t i = 0; i < want->count; i++) {
        if (want->dtype == PARTITA_STRING) {
            if (!strings_equal(got, want, i) && wrong++ == 0) worst = i;
            continue;
        }
        tool_element a = tool_element_at(got, i), b = tool_element_at(want, i);
        bool same = a.is_integer ? a.integer == b.integer
                                 : close_enough(a.real, b.real, rtol, tolerance->atol) &&
                                       close_enough(a.imaginary, b.imaginary, rtol, tolerance->atol);
        if (same) continue;
        wrong++;
        double gap = fabs(a.real - b.real);
        if (gap > worst_gap || !isfinite(gap)) worst = i, worst_gap = gap, a_worst = a.real, b_worst = b.real;
    }
    if (wrong == 0) return PARTITA_OK;
    if (want->dtype == PARTITA_STRING)
        return pt_fail(PARTITA_MISMATCH, "%s: %" PRIu64 " of %" PRIu64 " strings differ, first at %" PRIu64, name,
                       wrong, want->count, worst);
    return pt_fail(PARTITA_MISMATCH,
                   "%s: %" PRIu64 " of %" PRIu64 " elements differ; worst at %" PRIu64
                   ": %.9g, expected %.9g (rtol %g, atol %g)",
                   name, wrong, want->count, worst, a_worst, b_worst, rtol, tolerance->atol);
}

static partita_status compare_tensors(const char *name, const partita_value_view *got, const partita_value_view *want,
                                      const tool_tolerance *tolerance) {
    if (got->dtype != want->dtype)
        return pt_fail(PARTITA_MISMATCH, "%s: element type %s, expected %s", name, partita_dtype_name(got->dtype),
                       partita_dtype_name(want->dtype));
    bool same = got->rank == want->rank;
    for (uint32_t i = 0; same && i < want->rank; i++) same = got->dims[i] == want->dims[i];
    if (!same) {
        pt_text text = {0};
        for (uint32_t i = 0; i < got->rank; i++) pt_text_printf(&text, "%s%" PRId64, i ? "x" : "", got->dims[i]);
        pt_text_printf(&text, ", expected ");
        for (uint32_t i = 0; i < want->rank; i++) pt_text_printf(&text, "%s%" PRId64, i ? "x" : "", want->dims[i]);
        partita_status status = pt_fail(PARTITA_MISMATCH, "%s: shape %s", name, text.data ? text.data : "differs");
        pt_text_deinit(&text);
        return status;
    }
    return compare_elements(name, got, want, tolerance);
}

partita_status tool_value_compare(const char *name, const partita_value *got, const partita_value *expected,
                                  const tool_tolerance *tolerance) {
    partita_value_view a = {.size = sizeof(a)}, b = {.size = sizeof(b)};
    if (!got) return pt_fail(PARTITA_MISMATCH, "%s: no value", name);
    PT_TRY(partita_value_view_of(got, &a));
    PT_TRY(partita_value_view_of(expected, &b));
    if (a.kind != b.kind) return pt_fail(PARTITA_MISMATCH, "%s: another kind of value than expected", name);
    if (a.kind == PARTITA_KIND_TENSOR) return compare_tensors(name, &a, &b, tolerance);
    if (a.count != b.count)
        return pt_fail(PARTITA_MISMATCH, "%s: %" PRIu64 " items, expected %" PRIu64, name, a.count, b.count);
    uint64_t items = a.kind == PARTITA_KIND_MAP || a.kind == PARTITA_KIND_SPARSE ? 2 : a.count;
    for (uint64_t i = 0; i < items; i++) {
        char item[600];
        snprintf(item, sizeof(item), "%s[%" PRIu64 "]", name, i);
        PT_TRY(tool_value_compare(item, partita_value_item(got, i), partita_value_item(expected, i), tolerance));
    }
    return PARTITA_OK;
}
