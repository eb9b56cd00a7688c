/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator set: rows, out of operators.inc, types.inc and attributes.inc. It has no device; whoever computes the
 * operators claims them.
 */
#include "contrib/contrib.h"

#define ATTRIBUTE(kind, label) .size = sizeof(ptp_operator_attribute), .type = PTP_ATTRIBUTE_##kind, .name = #label
#define DEFAULT_INT(value)     .default_int = (value)
#define DEFAULT_FLOAT(value)   .default_float = (value)
#define DEFAULT_STRING(value)  .default_text = (value)
#define NEED(kind, label)      {ATTRIBUTE(kind, label), .flags = PTP_OPERATOR_ATTRIBUTE_REQUIRED},
#define MAY(kind, label)       {ATTRIBUTE(kind, label)},
#define HAS(kind, label, value)                                                                                        \
    {ATTRIBUTE(kind, label), .flags = PTP_OPERATOR_ATTRIBUTE_DEFAULT, DEFAULT_##kind(value)},

/* Each set ends with an empty row, because an array of none is not C. */
#define SET(label, ...)                                                                                                \
    static const ptp_operator_attribute attributes_##label[] = {__VA_ARGS__{.size = sizeof(ptp_operator_attribute)}};
#include "contrib/attributes.inc"

#define MANY      PTP_MANY
#define AT(input) (1u << (input))
#define KIND_PURE PTP_OPERATOR_PURE
#define KIND_EACH (PTP_OPERATOR_PURE | PTP_OPERATOR_ELEMENTWISE)
#define KIND_MOVE (PTP_OPERATOR_PURE | PTP_OPERATOR_MOVES_DATA)
#define KIND_DATA (PTP_OPERATOR_PURE | PTP_OPERATOR_DATA_SHAPED)

#define BODY(count, text)  {.size = sizeof(ptp_operator_body), .bytes = text, .byte_count = count},
#define BODIES(label, ...) static const ptp_operator_body bodies_##label[] = {__VA_ARGS__};
#include "contrib/bodies.inc"

#define TYPES(label, text, ...)                                                                                        \
    static const char letters_##label[] = text;                                                                        \
    static const uint64_t types_##label[] = {__VA_ARGS__};
#include "contrib/types.inc"

#define COMMON(domain_text, label, in_min, in_max, absent, out_min, out_max, kind, count, function, set)               \
    .size = sizeof(ptp_operator_row), .flags = KIND_##kind, .domain = domain_text, .name = #label, .since = 1,         \
    .flops = PTP_FLOPS_##count, .min_inputs = in_min, .max_inputs = in_max, .optional_inputs = absent,                 \
    .min_outputs = out_min, .max_outputs = out_max, .attributes = attributes_##set,                                    \
    .attribute_count = sizeof(attributes_##set) / sizeof(attributes_##set[0]) - 1, .infer = contrib_infer_##function,  \
    .input_letters = letters_##label, .letter_types = types_##label,                                                   \
    .letter_count = sizeof(types_##label) / sizeof(types_##label[0])

static const ptp_operator_row rows[] = {
#define ROW(...) {COMMON(__VA_ARGS__)},
#define ROW_WITH(domain_text, label, in_min, in_max, absent, out_min, out_max, kind, count, function, set, choice)     \
    {COMMON(domain_text, label, in_min, in_max, absent, out_min, out_max, kind, count, function, set),                 \
     .bodies = bodies_##label, .body_count = sizeof(bodies_##label) / sizeof(bodies_##label[0]),                       \
     .choose = contrib_choose_##choice},
#include "contrib/operators.inc"
};

static const ptp_operator_set operators = {
    .size = sizeof(ptp_operator_set), .count = sizeof(rows) / sizeof(rows[0]), .rows = rows};

PTP_DEFINE_OPERATOR_SET("contrib", "1.0", &operators)
