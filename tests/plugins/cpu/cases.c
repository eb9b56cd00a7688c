/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the cases that make_cases.py wrote: every node on the reference kernels and on every level of this machine, with
 * its inputs as ports and as constants, by one worker and by several. Prints PASS, FAIL or SKIP per case.
 *
 *     cpu_cases FILE... [-k WORD]     only cases whose name holds WORD
 */
#include "plugins/cpu/fake_host.h"

#include "cpu/program/program.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define LIMIT 24

typedef struct case_tensor {
    bool present;
    uint32_t kind, dtype, rank;
    int64_t dims[LIMIT];
    uint64_t bytes;
    void *data;
    ptp_value *handle; /* of strings, sequences, optionals */
} case_tensor;

typedef struct case_attribute {
    partita_str name;
    uint32_t type, count;
    const uint8_t *data;
} case_attribute;

typedef struct one_case {
    partita_str name, op, domain;
    int32_t since;
    uint32_t data_shaped, attribute_count, in_count, out_count;
    partita_status status; /* what the run must return */
    float rtol, atol;
    case_attribute attributes[32];
    case_tensor in[LIMIT], out[LIMIT];
} one_case;

typedef struct reader {
    const uint8_t *at;
} reader;

static void take(reader *from, void *out, size_t size) {
    memcpy(out, from->at, size);
    from->at += size;
}

static uint32_t take_u32(reader *from) {
    uint32_t value;
    take(from, &value, sizeof(value));
    return value;
}

static partita_str take_text(reader *from) {
    partita_str text;
    text.size = take_u32(from);
    text.data = (const char *)from->at;
    from->at += text.size;
    return text;
}

static const ptp_host *host_of_cases;

#define MARK_SEQUENCE 0x100u
#define MARK_OPTIONAL 0x200u

static case_tensor take_tensor(reader *from);

/* A handle of the tensor, as items of containers are. */
static ptp_value *tensor_handle(const case_tensor *tensor) {
    ptp_value *value = NULL;
    ptp_tensor view = {.size = sizeof(view)};
    const ptp_host *host = host_of_cases;
    if (tensor->handle != NULL) {
        host->value_retain(host->self, tensor->handle);
        return tensor->handle;
    }
    host->value_new_tensor(host->self, tensor->dtype, tensor->rank, tensor->dims, &value);
    host->value_tensor(host->self, value, &view);
    if (tensor->bytes > 0) memcpy(view.data, tensor->data, tensor->bytes);
    return value;
}

static void drop_tensor(case_tensor *tensor) {
    free(tensor->data);
    if (tensor->handle != NULL) host_of_cases->value_release(host_of_cases->self, tensor->handle);
}

static void take_items(reader *from, case_tensor *tensor) {
    ptp_value *items[LIMIT] = {0};
    uint32_t count = take_u32(from);
    tensor->kind = (tensor->dtype & MARK_SEQUENCE) != 0 ? PARTITA_KIND_SEQUENCE : PARTITA_KIND_OPTIONAL;
    tensor->dtype &= 0xffu;
    for (uint32_t i = 0; i < count; i++) {
        case_tensor item = take_tensor(from);
        items[i] = tensor_handle(&item);
        drop_tensor(&item);
    }
    host_of_cases->value_new_container(host_of_cases->self, tensor->kind, tensor->dtype, items, count, &tensor->handle);
    for (uint32_t i = 0; i < count; i++) host_of_cases->value_release(host_of_cases->self, items[i]);
}

/* Strings: offsets, then bytes. */
static void take_strings(case_tensor *tensor) {
    uint64_t count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) count *= (uint64_t)tensor->dims[i];
    host_of_cases->value_new_strings(host_of_cases->self, tensor->rank, tensor->dims, tensor->data,
                                     (const char *)tensor->data + (count + 1) * sizeof(uint64_t), &tensor->handle);
    free(tensor->data);
    tensor->data = NULL;
}

static case_tensor take_tensor(reader *from) {
    case_tensor tensor = {.kind = PARTITA_KIND_TENSOR};
    tensor.dtype = take_u32(from);
    if (tensor.dtype == 0) return tensor;
    tensor.present = true;
    if (tensor.dtype >= MARK_SEQUENCE) {
        take_items(from, &tensor);
        return tensor;
    }
    tensor.rank = take_u32(from);
    take(from, tensor.dims, tensor.rank * sizeof(int64_t));
    take(from, &tensor.bytes, sizeof(tensor.bytes));
    tensor.data = malloc(tensor.bytes + 1);
    take(from, tensor.data, tensor.bytes);
    if (tensor.dtype == PARTITA_STRING) take_strings(&tensor);
    return tensor;
}

static void take_case(reader *from, one_case *out) {
    static const uint8_t width[] = {0, 8, 4, 1, 0, 0, 8, 4, 0};
    memset(out, 0, sizeof(*out));
    out->name = take_text(from);
    out->op = take_text(from);
    out->domain = take_text(from);
    out->since = (int32_t)take_u32(from);
    out->data_shaped = take_u32(from);
    out->status = (partita_status)(out->data_shaped >> 8);
    out->data_shaped &= 1;
    take(from, &out->rtol, 4);
    take(from, &out->atol, 4);
    out->attribute_count = take_u32(from);
    for (uint32_t i = 0; i < out->attribute_count; i++) {
        case_attribute *attribute = &out->attributes[i];
        attribute->name = take_text(from);
        attribute->type = take_u32(from);
        attribute->count = take_u32(from);
        attribute->data = from->at;
        if (attribute->type == PTP_ATTRIBUTE_TENSOR) {
            case_tensor skipped = take_tensor(from);
            drop_tensor(&skipped);
        } else if (attribute->type == PTP_ATTRIBUTE_STRINGS) {
            for (uint32_t s = 0; s < attribute->count; s++) take_text(from);
        } else {
            from->at += (size_t)attribute->count * width[attribute->type];
        }
    }
    out->in_count = take_u32(from);
    out->out_count = take_u32(from);
    for (uint32_t i = 0; i < out->in_count; i++) out->in[i] = take_tensor(from);
    for (uint32_t i = 0; i < out->out_count; i++) out->out[i] = take_tensor(from);
}

/* ---- the block of a part with one node ---- */

typedef struct builder {
    char *bytes;
    size_t size, capacity;
} builder;

static uint32_t put(builder *to, const void *data, size_t size) {
    to->size = (to->size + 7) / 8 * 8;
    while (to->size + size + 8 > to->capacity) {
        to->capacity = to->capacity * 2 + 4096;
        to->bytes = realloc(to->bytes, to->capacity);
    }
    uint32_t at = (uint32_t)to->size;
    if (size > 0) memcpy(to->bytes + at, data, size);
    to->size += size;
    return at;
}

static ptp_ref put_ref(builder *to, const void *data, size_t each, uint32_t count) {
    return (ptp_ref){put(to, data, each * count), count};
}

static ptp_ref put_text(builder *to, partita_str text) { return put_ref(to, text.data, 1, (uint32_t)text.size); }

static ptp_value_row value_row(builder *to, const case_tensor *tensor, uint32_t flags, uint32_t weight) {
    bool container = tensor->kind == PARTITA_KIND_SEQUENCE || tensor->kind == PARTITA_KIND_OPTIONAL;
    return (ptp_value_row){.name = put_text(to, (partita_str){"v", 1}),
                           .kind = tensor->kind,
                           .dtype = tensor->dtype,
                           .rank = container ? -1 : (int32_t)tensor->rank,
                           .flags = flags,
                           .dims = put_ref(to, tensor->dims, 8, tensor->rank),
                           .nominal = put_ref(to, tensor->dims, 8, tensor->rank),
                           .producer = PARTITA_NONE,
                           .weight = weight,
                           .bytes = tensor->bytes};
}

/* A tensor becomes the value row `count`, its bytes in the block. */
static ptp_attribute_row attribute_row(builder *to, const case_attribute *attribute, ptp_value_row *values,
                                       uint32_t *count) {
    static const uint8_t width[] = {0, 8, 4, 1, 0, 0, 8, 4, 0};
    ptp_attribute_row row = {.name = put_text(to, attribute->name), .type = attribute->type};
    if (attribute->type == PTP_ATTRIBUTE_TENSOR) {
        reader from = {attribute->data};
        case_tensor tensor = take_tensor(&from);
        values[*count] = value_row(to, &tensor, PTP_VALUE_CONSTANT, PARTITA_NONE);
        values[*count].data = put_ref(to, tensor.data, 1, (uint32_t)tensor.bytes);
        row.data = put_ref(to, count, 4, 1);
        ++*count;
        drop_tensor(&tensor);
        return row;
    }
    if (attribute->type == PTP_ATTRIBUTE_STRINGS) {
        ptp_ref *texts = calloc(attribute->count + 1, sizeof(*texts));
        reader from = {attribute->data};
        for (uint32_t s = 0; s < attribute->count; s++) texts[s] = put_text(to, take_text(&from));
        row.data = put_ref(to, texts, sizeof(ptp_ref), attribute->count);
        free(texts);
    } else {
        row.data = put_ref(to, attribute->data, width[attribute->type], attribute->count);
    }
    return row;
}

/* Values: inputs that are there, then outputs that are there. Inputs from `first_constant` on are weights. */
static builder block_make(const one_case *one, uint32_t first_constant, uint32_t *out_values) {
    builder to = {0};
    ptp_block block = {.size = sizeof(block), .version = 1};
    ptp_value_row values[2 * LIMIT + 32];
    ptp_attribute_row attributes[32];
    uint32_t ins[LIMIT], outs[LIMIT], ports[LIMIT], port_count = 0, out_ports[LIMIT], out_port_count = 0, count = 0;
    uint32_t weights = 0;
    put(&to, &block, sizeof(block));
    for (uint32_t i = 0; i < one->in_count; i++) {
        ins[i] = PARTITA_NONE;
        if (!one->in[i].present) continue;
        bool constant = i >= first_constant;
        ins[i] = count;
        values[count++] = value_row(&to, &one->in[i], constant ? PTP_VALUE_CONSTANT : PTP_VALUE_INPUT,
                                    constant ? weights++ : PARTITA_NONE);
        if (!constant) ports[port_count++] = ins[i];
    }
    for (uint32_t i = 0; i < one->out_count; i++) {
        outs[i] = PARTITA_NONE;
        if (!one->out[i].present) continue;
        outs[i] = out_ports[out_port_count++] = count;
        values[count] = value_row(&to, &one->out[i], PTP_VALUE_OUTPUT | (one->data_shaped ? PTP_VALUE_DATA_SHAPED : 0),
                                  PARTITA_NONE);
        values[count++].producer = 0;
    }
    for (uint32_t i = 0; i < one->attribute_count; i++)
        attributes[i] = attribute_row(&to, &one->attributes[i], values, &count);
    ptp_node_row node = {.op = put_text(&to, one->op),
                         .domain = put_text(&to, one->domain),
                         .name = put_text(&to, one->name),
                         .since = one->since,
                         .inputs = put_ref(&to, ins, 4, one->in_count),
                         .outputs = put_ref(&to, outs, 4, one->out_count),
                         .attributes = {0, one->attribute_count},
                         .unit = PARTITA_NONE};
    ptp_graph_row graph = {.first_node = 0,
                           .node_count = 1,
                           .inputs = put_ref(&to, ports, 4, port_count),
                           .outputs = put_ref(&to, out_ports, 4, out_port_count),
                           .parent = PARTITA_NONE};
    block.graphs = (ptp_table){put(&to, &graph, sizeof(graph)), 1, sizeof(graph), 0};
    block.nodes = (ptp_table){put(&to, &node, sizeof(node)), 1, sizeof(node), 0};
    block.values = (ptp_table){put(&to, values, sizeof(values[0]) * count), count, sizeof(values[0]), 0};
    block.attributes = (ptp_table){put(&to, attributes, sizeof(attributes[0]) * one->attribute_count),
                                   one->attribute_count, sizeof(attributes[0]), 0};
    block.bytes = to.size;
    memcpy(to.bytes, &block, sizeof(block));
    *out_values = count;
    return to;
}

/* ---- comparison ---- */

static double number_at(const case_tensor *shape, const void *data, uint64_t i) {
    switch (shape->dtype) {
    case PARTITA_COMPLEX64: /* its parts */
    case PARTITA_FLOAT32: return (double)((const float *)data)[i];
    case PARTITA_COMPLEX128:
    case PARTITA_FLOAT64: return ((const double *)data)[i];
    case PARTITA_INT64: return (double)((const int64_t *)data)[i];
    case PARTITA_UINT64: return (double)((const uint64_t *)data)[i];
    case PARTITA_INT32: return ((const int32_t *)data)[i];
    case PARTITA_UINT32: return ((const uint32_t *)data)[i];
    case PARTITA_INT16: return ((const int16_t *)data)[i];
    case PARTITA_UINT16: return ((const uint16_t *)data)[i];
    case PARTITA_INT8: return ((const int8_t *)data)[i];
    case PARTITA_BFLOAT16: {
        uint32_t bits = (uint32_t)((const uint16_t *)data)[i] << 16;
        float value;
        memcpy(&value, &bits, sizeof(value));
        return (double)value;
    }
    case PARTITA_FLOAT16: {
        uint16_t half = ((const uint16_t *)data)[i];
        int exponent = half >> 10 & 31, fraction = half & 1023;
        double value = exponent == 31  ? (fraction ? NAN : INFINITY)
                       : exponent == 0 ? ldexp(fraction, -24)
                                       : ldexp(1024 + fraction, exponent - 25);
        return half & 0x8000 ? -value : value;
    }
    default: return ((const uint8_t *)data)[i];
    }
}

static uint64_t count_of(const case_tensor *tensor) {
    uint64_t count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) count *= (uint64_t)tensor->dims[i];
    return count;
}

/* Whether two handles hold the same: containers item by item, strings byte by byte, numbers by `compare_numbers`. */
static bool same_values(const one_case *one, const ptp_value *want, const ptp_value *got) {
    const ptp_host *host = host_of_cases;
    partita_kind kind = host->value_kind(host->self, want);
    if (got == NULL || host->value_kind(host->self, got) != kind) return false;
    if (kind != PARTITA_KIND_TENSOR) {
        uint64_t n = host->value_count(host->self, want);
        bool same = host->value_count(host->self, got) == n;
        for (uint64_t i = 0; same && i < n; i++)
            same = same_values(one, host->value_item(host->self, want, i), host->value_item(host->self, got, i));
        return same;
    }
    ptp_tensor a = {.size = sizeof(a)}, b = {.size = sizeof(b)};
    host->value_tensor(host->self, want, &a);
    host->value_tensor(host->self, got, &b);
    if (a.dtype != b.dtype || a.rank != b.rank || (a.rank > 0 && memcmp(a.dims, b.dims, a.rank * 8) != 0)) return false;
    if (a.dtype != PARTITA_STRING) return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
    const uint64_t *x, *y;
    const char *p, *q;
    uint64_t n, m;
    host->value_strings(host->self, want, &x, &p, &n);
    host->value_strings(host->self, got, &y, &q, &m);
    return n == m && memcmp(x, y, (n + 1) * 8) == 0 && memcmp(p, q, x[n]) == 0;
}

static bool compare(const one_case *one, uint32_t index, const ptp_tensor *got, char *why, size_t size) {
    const case_tensor *want = &one->out[index];
    uint64_t count = count_of(want), wrong = 0, first = 0;
    if (count > want->bytes) count = want->bytes; /* packed types are compared by bytes */
    if (want->dtype == PARTITA_COMPLEX64 || want->dtype == PARTITA_COMPLEX128) count *= 2;
    bool shape = got->rank == want->rank && got->dtype == want->dtype;
    for (uint32_t d = 0; shape && d < want->rank; d++) shape = got->dims[d] == want->dims[d];
    if (!shape) {
        snprintf(why, size, "output %u has another shape or type", index);
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        double a = number_at(want, want->data, i), b = number_at(want, got->data, i);
        bool same = a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= one->atol + one->rtol * fabs(a);
        if (!same && wrong++ == 0) first = i;
    }
    if (wrong > 0)
        snprintf(why, size, "output %u: %llu of %llu wrong, first at %llu: %.9g instead of %.9g", index,
                 (unsigned long long)wrong, (unsigned long long)count, (unsigned long long)first,
                 number_at(want, got->data, first), number_at(want, want->data, first));
    return wrong == 0;
}

/* ---- one run ---- */

#define CANARY 0x5a

static partita_status run_case(const ptp_host *host, const one_case *one, const builder *built, uint32_t values,
                               uint32_t first_constant, const cpu_program_config *config, char *why, size_t size) {
    ptp_weight weights[LIMIT];
    ptp_tensor inputs[LIMIT], outputs[LIMIT];
    ptp_shape shapes[2 * LIMIT + 32];
    fake_output given[LIMIT] = {0};
    fake_run run = {given, one->out_count};
    cpu_program *program = NULL;
    cpu_frame *frame = NULL;
    uint32_t weight_count = 0, port_count = 0, out_port_count = 0, value = 0, port = 0;
    void *rooms[LIMIT];
    ptp_compile compile = {.size = sizeof(compile),
                           .block = (const ptp_block *)(const void *)built->bytes,
                           .weights = weights,
                           .precision = PTP_PRECISION_EXACT};
    ptp_resize resize = {.size = sizeof(resize), .shape_count = values, .shapes = shapes};
    for (uint32_t i = 0; i < one->in_count; i++) {
        const case_tensor *in = &one->in[i];
        if (!in->present) continue;
        bool container = in->kind != PARTITA_KIND_TENSOR;
        shapes[value++] = (ptp_shape){.rank = container ? -1 : (int32_t)in->rank, .dims = in->dims};
        if (i >= first_constant)
            weights[weight_count++] = (ptp_weight){
                .size = sizeof(ptp_weight), .data = in->data, .bytes = in->bytes, .fd = -1, .value = in->handle};
        else
            inputs[port_count++] = (ptp_tensor){.size = sizeof(ptp_tensor),
                                                .kind = in->kind,
                                                .dtype = in->dtype,
                                                .rank = in->rank,
                                                .dims = in->dims,
                                                .domain = PTP_DOMAIN_HOST,
                                                .data = in->data,
                                                .bytes = in->bytes,
                                                .value = in->handle};
    }
    compile.weight_count = weight_count;
    for (uint32_t i = 0; i < one->out_count; i++) {
        const case_tensor *out = &one->out[i];
        if (!out->present) continue;
        bool known = !one->data_shaped && out->kind == PARTITA_KIND_TENSOR;
        shapes[value++] = (ptp_shape){.rank = known ? (int32_t)out->rank : -1, .dims = out->dims};
        outputs[out_port_count] = (ptp_tensor){.size = sizeof(ptp_tensor),
                                               .kind = PARTITA_KIND_TENSOR,
                                               .dtype = out->dtype,
                                               .rank = out->rank,
                                               .dims = out->dims,
                                               .domain = PTP_DOMAIN_HOST,
                                               .bytes = out->bytes};
        rooms[out_port_count] = outputs[out_port_count].data = malloc(out->bytes + 64);
        memset(rooms[out_port_count++], CANARY, out->bytes + 64);
    }
    for (; value < values; value++) shapes[value] = (ptp_shape){.rank = -1};
    fake_host_shapes(compile.block, shapes);
    partita_status status = cpu_program_create(config, &compile, &program);
    if (status == PARTITA_OK) status = cpu_frame_create(program, &resize, &frame);
    if (status == PARTITA_OK) {
        void *scratch = aligned_alloc(64, resize.scratch_bytes);
        ptp_exec exec = {.size = sizeof(exec),
                         .input_count = port_count,
                         .run = (ptp_run *)&run,
                         .inputs = inputs,
                         .outputs = outputs,
                         .output_count = out_port_count,
                         .scratch_data = scratch,
                         .scratch_bytes = resize.scratch_bytes};
        memset(scratch, 0xa5, resize.scratch_bytes);
        status = cpu_frame_run(frame, &exec);
        free(scratch);
    }
    if (status != PARTITA_OK) snprintf(why, size, "status %d: %s", status, fake_host_failure());
    for (uint32_t i = 0; i < one->out_count && status == PARTITA_OK; i++) {
        const case_tensor *want = &one->out[i];
        if (!want->present) continue;
        ptp_tensor got = outputs[port];
        if (given[port].value != NULL) host->value_tensor(host->self, given[port].value, &got);
        bool same =
            want->handle != NULL ? same_values(one, want->handle, given[port].value) : compare(one, i, &got, why, size);
        if (!same) status = PARTITA_MISMATCH;
        if (!same && want->handle != NULL) snprintf(why, size, "output %u is another value", i);
        for (uint32_t c = 0; c < 64 && !one->data_shaped && want->handle == NULL && status == PARTITA_OK; c++) {
            if (((uint8_t *)got.data)[want->bytes + c] == CANARY) continue;
            snprintf(why, size, "output %u was written past its end", i);
            status = PARTITA_MISMATCH;
        }
        port++;
    }
    for (uint32_t i = 0; i < out_port_count; i++) {
        if (given[i].owned != NULL) host->free(host->self, given[i].owned);
        free(rooms[i]);
        if (given[i].value != NULL) host->value_release(host->self, given[i].value);
    }
    cpu_frame_destroy(frame);
    cpu_program_destroy(program);
    return status;
}

/* True when all ways to run the case agree with what is expected. */
static bool check_case(const ptp_host *host, const one_case *one, char *why, size_t size) {
    static const char *const names[] = {"baseline", "avx2", "avx512", "reference"};
    for (uint32_t constants = 0; constants < 2; constants++) {
        uint32_t values, first_constant = constants ? 1 : LIMIT;
        bool containers = false;
        for (uint32_t i = 1; i < one->in_count; i++) containers |= one->in[i].kind != PARTITA_KIND_TENSOR;
        if (constants && containers) continue;
        builder built = block_make(one, first_constant, &values);
        for (uint32_t level = 0; level < 4; level++) {
            cpu_program_config config = {.host = host, .level = level < 3 ? level : 0, .reference = level == 3};
            if (config.level > cpu_level_detect()) continue;
            for (uint32_t workers = 1; workers <= 3; workers += 2) {
                char detail[400] = "";
                int64_t before = fake_host_alive();
                config.workers = workers;
                partita_status status =
                    run_case(host, one, &built, values, first_constant, &config, detail, sizeof(detail));
                if (one->status != PARTITA_OK) {
                    bool failed = status == one->status;
                    if (!failed) snprintf(detail, sizeof(detail), "status %d instead of %d", status, one->status);
                    status = failed ? PARTITA_OK : PARTITA_INTERNAL;
                }
                if (status == PARTITA_OK && fake_host_alive() != before) {
                    snprintf(detail, sizeof(detail), "%lld blocks leaked", (long long)(fake_host_alive() - before));
                    status = PARTITA_INTERNAL;
                }
                if (status == PARTITA_OK) continue;
                snprintf(why, size, "%s, %u workers%s: %s", names[level], workers, constants ? ", constants" : "",
                         detail);
                free(built.bytes);
                return false;
            }
        }
        free(built.bytes);
    }
    return true;
}

static uint8_t *file_read(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) return NULL;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc((size_t)size + 1);
    if (fread(bytes, 1, (size_t)size, file) != (size_t)size) {
        free(bytes);
        bytes = NULL;
    }
    fclose(file);
    return bytes;
}

int main(int argc, char **argv) {
    const ptp_host *host = host_of_cases = fake_host_start(3);
    const char *word = NULL;
    int failures = 0;
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "-k") == 0) word = argv[i + 1];
    for (int i = 1; i < argc && strcmp(argv[i], "-k") != 0; i++) {
        uint8_t *bytes = file_read(argv[i]);
        if (bytes == NULL || memcmp(bytes, "PTC1", 4) != 0) {
            printf("FAIL %s: no file of cases\n", argv[i]);
            return 1;
        }
        reader from = {bytes + 4};
        uint32_t count = take_u32(&from);
        for (uint32_t c = 0; c < count; c++) {
            static one_case one;
            char why[600], name[400];
            take_case(&from, &one);
            snprintf(name, sizeof(name), "%.*s", (int)one.name.size, one.name.data);
            if (word == NULL || strstr(name, word) != NULL) {
                bool passed = check_case(host, &one, why, sizeof(why));
                if (passed)
                    printf("PASS %s\n", name);
                else
                    printf("FAIL %s: %s\n", name, why);
                failures += !passed;
            }
            for (uint32_t t = 0; t < one.in_count; t++) drop_tensor(&one.in[t]);
            for (uint32_t t = 0; t < one.out_count; t++) drop_tensor(&one.out[t]);
        }
        free(bytes);
    }
    fake_host_stop();
    return failures > 0;
}
