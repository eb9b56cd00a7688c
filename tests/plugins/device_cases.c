/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the cases that cpu/make_cases.py wrote on the device of any plugin, through the ABI alone: what the device takes
 * at ask it must compute, with its inputs as ports and as constants, and with dims that only resize tells: then it must
 * have built all programs before. Prints PASS, FAIL or NO per case; a NO comes with its reason.
 *
 *     device_cases PLUGIN FILE... [-k WORD] [-o NAME=VALUE]     only cases whose name holds WORD; an option of the
 * device
 */
#include "plugins/block_build.h"
#include "plugins/opencl/fake_host.h"

#include <math.h>
#include <stdbool.h>

#define MOST 16

static bool compile_only;

typedef struct case_tensor {
    bool present, dense;
    partita_dtype dtype;
    uint32_t rank;
    int64_t dims[MOST];
    uint64_t bytes;
    void *data; /* aligned copy */
} case_tensor;

typedef struct one_case {
    char name[512], op[64], domain[64];
    int32_t since;
    uint32_t flags;
    float rtol, atol;
    const uint8_t *attributes; /* where they start in the file */
    uint32_t attribute_count, in_count, out_count;
    case_tensor in[MOST], out[MOST];
} one_case;

/* ---- the file ---- */

static void take(const uint8_t **at, void *out, size_t size) {
    memcpy(out, *at, size);
    *at += size;
}

static uint32_t take_u32(const uint8_t **at) {
    uint32_t value;
    take(at, &value, sizeof(value));
    return value;
}

static void take_text(const uint8_t **at, char *out, size_t size) {
    uint32_t length = take_u32(at);
    snprintf(out, size, "%.*s", (int)length, (const char *)*at);
    *at += length;
}

static case_tensor take_tensor(const uint8_t **at) {
    case_tensor tensor = {0};
    uint32_t mark = take_u32(at);
    tensor.present = mark != 0;
    if (!mark) return tensor;
    if (mark & 0x300u) { /* a sequence or optional: its items are passed over */
        for (uint32_t n = take_u32(at); n > 0; n--) {
            case_tensor item = take_tensor(at);
            free(item.data);
        }
        return tensor;
    }
    tensor.dtype = mark;
    tensor.dense = mark != PARTITA_STRING;
    tensor.rank = take_u32(at);
    take(at, tensor.dims, tensor.rank * sizeof(int64_t));
    take(at, &tensor.bytes, sizeof(tensor.bytes));
    tensor.data = aligned_alloc(64, (tensor.bytes + 64) / 64 * 64);
    take(at, tensor.data, tensor.bytes);
    return tensor;
}

static void pass_attribute(const uint8_t **at, block_build *to) {
    static const uint8_t width[] = {0, 8, 4, 1, 0, 0, 8, 4, 0};
    char name[128], texts[MOST][128];
    const char *list[MOST];
    take_text(at, name, sizeof(name));
    uint32_t type = take_u32(at), count = take_u32(at);
    if (type == PTP_ATTRIBUTE_TENSOR) {
        case_tensor tensor = take_tensor(at);
        if (to) {
            uint32_t id = bb_value(to, name, tensor.dtype, (int32_t)tensor.rank, tensor.dims);
            to->values[id].flags |= PTP_VALUE_CONSTANT;
            to->values[id].data = bb_put(to, tensor.data, (uint32_t)tensor.bytes, (uint32_t)tensor.bytes);
            bb_tensor(to, name, id);
        }
        free(tensor.data);
    } else if (type == PTP_ATTRIBUTE_STRINGS) {
        for (uint32_t i = 0; i < count; i++) {
            take_text(at, texts[i % MOST], sizeof(texts[0]));
            list[i % MOST] = texts[i % MOST];
        }
        if (to) bb_strings(to, name, list, count);
    } else {
        if (to) bb_attribute(to, name, type, *at, count * width[type], count);
        *at += (size_t)count * width[type];
    }
}

static void take_case(const uint8_t **at, one_case *out) {
    memset(out, 0, sizeof(*out));
    take_text(at, out->name, sizeof(out->name));
    take_text(at, out->op, sizeof(out->op));
    take_text(at, out->domain, sizeof(out->domain));
    out->since = (int32_t)take_u32(at);
    out->flags = take_u32(at);
    take(at, &out->rtol, 4);
    take(at, &out->atol, 4);
    out->attribute_count = take_u32(at);
    out->attributes = *at;
    for (uint32_t i = 0; i < out->attribute_count; i++) pass_attribute(at, NULL);
    out->in_count = take_u32(at);
    out->out_count = take_u32(at);
    for (uint32_t i = 0; i < out->in_count; i++) out->in[i] = take_tensor(at);
    for (uint32_t i = 0; i < out->out_count; i++) out->out[i] = take_tensor(at);
}

static void drop_case(one_case *one) {
    for (uint32_t i = 0; i < MOST; i++) {
        free(one->in[i].data);
        free(one->out[i].data);
    }
}

static bool all_dense(const one_case *one) {
    bool dense = one->domain[0] == 0;
    for (uint32_t i = 0; i < one->in_count; i++) dense = dense && (!one->in[i].present || one->in[i].dense);
    for (uint32_t i = 0; i < one->out_count; i++) dense = dense && (!one->out[i].present || one->out[i].dense);
    return dense;
}

/* ---- one part ---- */

typedef struct part {
    block_build build;
    ptp_shape shapes[BB_MAX];
    uint32_t in_ports[MOST], out_ports[MOST]; /* index of the case's tensor */
} part;

/* How a case becomes a part: inputs from `first_constant` on are constants; dims of the others are known, or open. */
typedef struct variant {
    uint32_t first_constant;
    bool open;
} variant;

static void part_build(part *p, const one_case *one, const variant *how) {
    static const int64_t open_dims[MOST] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    uint32_t ins[MOST], outs[MOST];
    block_build *b = &p->build;
    bb_init(b);
    for (uint32_t i = 0; i < one->in_count; i++) {
        const case_tensor *in = &one->in[i];
        bool port = i < how->first_constant;
        ins[i] = PARTITA_NONE;
        if (!in->present) continue;
        if (port) p->in_ports[b->input_count] = i;
        ins[i] = port ? bb_input(b, "x", in->dtype, (int32_t)in->rank, how->open ? open_dims : in->dims)
                      : bb_constant(b, "c", in->dtype, (int32_t)in->rank, in->dims, in->data);
        if (!port) b->weights[b->weight_count - 1].bytes = in->bytes;
        p->shapes[ins[i]] = (ptp_shape){.rank = (int32_t)in->rank, .dims = in->dims};
    }
    for (uint32_t i = 0; i < one->out_count; i++) {
        const case_tensor *out = &one->out[i];
        outs[i] = PARTITA_NONE;
        if (!out->present) continue;
        p->out_ports[b->output_count] = i;
        outs[i] = bb_output(b, bb_value(b, "y", out->dtype, (int32_t)out->rank, how->open ? open_dims : out->dims));
        p->shapes[outs[i]] = (ptp_shape){.rank = (int32_t)out->rank, .dims = out->dims};
        if (one->flags & 1u) b->values[outs[i]].flags |= PTP_VALUE_DATA_SHAPED;
    }
    bb_node(b, one->op, one->since, ins, one->in_count, outs, one->out_count);
    const uint8_t *at = one->attributes;
    for (uint32_t i = 0; i < one->attribute_count; i++) pass_attribute(&at, b);
    for (uint32_t v = 0; v < b->value_count; v++) {
        if (p->shapes[v].dims) continue; /* a tensor of an attribute */
        p->shapes[v] = (ptp_shape){.rank = b->values[v].rank};
    }
    bb_finish(b);
    for (uint32_t v = 0; v < b->value_count; v++) {
        if (!p->shapes[v].dims) p->shapes[v].dims = ptp_ref_data(b->block, b->values[v].dims);
    }
}

/* ---- comparison ---- */

static double number_at(partita_dtype dtype, const void *data, uint64_t i) {
    switch (dtype) {
#define NUMBER(name, type)                                                                                             \
    case PARTITA_##name: return (double)((const type *)data)[i];
        NUMBER(FLOAT32, float)
        NUMBER(FLOAT64, double)
        NUMBER(INT64, int64_t)
        NUMBER(UINT64, uint64_t)
        NUMBER(INT32, int32_t)
        NUMBER(UINT32, uint32_t)
        NUMBER(INT16, int16_t)
        NUMBER(UINT16, uint16_t)
        NUMBER(INT8, int8_t)
        NUMBER(UINT8, uint8_t)
        NUMBER(BOOL, uint8_t)
#undef NUMBER
    case PARTITA_FLOAT16: {
        uint16_t half = ((const uint16_t *)data)[i];
        int exponent = half >> 10 & 31, fraction = half & 1023;
        double value = exponent == 31  ? (fraction ? (double)NAN : (double)INFINITY)
                       : exponent == 0 ? ldexp(fraction, -24)
                                       : ldexp(1024 + fraction, exponent - 25);
        return half & 0x8000 ? -value : value;
    }
    default: return ((const uint8_t *)data)[i];
    }
}

static bool same(const one_case *one, uint32_t index, const void *got, char *why, size_t size) {
    const case_tensor *want = &one->out[index];
    uint32_t element = bb_dtype_bytes(want->dtype);
    uint64_t n = element ? want->bytes / element : want->bytes, wrong = 0, first = 0;
    for (uint64_t i = 0; i < n; i++) {
        double a = number_at(want->dtype, want->data, i), b = number_at(want->dtype, got, i);
        bool equal = a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= (double)one->atol + (double)one->rtol * fabs(a);
        if (!equal && wrong++ == 0) first = i;
    }
    if (wrong) {
        snprintf(why, size, "output %u: %llu of %llu wrong, first at %llu: %.9g instead of %.9g", index,
                 (unsigned long long)wrong, (unsigned long long)n, (unsigned long long)first,
                 number_at(want->dtype, got, first), number_at(want->dtype, want->data, first));
    }
    return wrong == 0;
}

/* ---- one run ---- */

#define OFFSET 256u /* tensors lie there in their buffers, which end right after them */

static partita_status copy_wait(fake_host *fake, ptp_device *device, ptp_copy copy) {
    ptp_timeline timeline;
    fake_timeline_init(&timeline);
    copy.size = sizeof(copy);
    partita_status status = fake->info->memory->copy(device, &copy, 1, (ptp_point){&timeline, 1});
    if (status == PARTITA_OK) status = fake_wait(fake, &timeline, 1, 0);
    return status;
}

static partita_status run_part(fake_host *fake, ptp_device *device, const part *p, const one_case *one,
                               ptp_executable *executable, ptp_instance *instance, const ptp_resize *resize,
                               bool *out_same, char *why, size_t size) {
    const ptp_memory_vtable *memory = fake->info->memory;
    const block_build *b = &p->build;
    ptp_tensor tensors[2 * MOST];
    ptp_timeline timeline;
    partita_status status = PARTITA_OK;
    ptp_exec exec = {.size = sizeof(exec),
                     .input_count = b->input_count,
                     .inputs = tensors,
                     .outputs = tensors + MOST,
                     .output_count = b->output_count,
                     .done = {&timeline, 1},
                     .scratch_bytes = resize->scratch_bytes};
    memset(tensors, 0, sizeof(tensors));
    fake_timeline_init(&timeline);
    for (uint32_t i = 0; i < MOST; i++) tensors[i].size = tensors[MOST + i].size = sizeof(ptp_tensor);
    for (uint32_t i = 0; i < b->input_count + b->output_count && status == PARTITA_OK; i++) {
        bool input = i < b->input_count;
        const case_tensor *t = input ? &one->in[p->in_ports[i]] : &one->out[p->out_ports[i - b->input_count]];
        ptp_tensor *tensor = input ? &tensors[i] : &tensors[MOST + i - b->input_count];
        *tensor = (ptp_tensor){.size = sizeof(*tensor),
                               .kind = PARTITA_KIND_TENSOR,
                               .dtype = t->dtype,
                               .rank = t->rank,
                               .dims = t->dims,
                               .offset = OFFSET,
                               .bytes = t->bytes};
        status = memory->alloc(device, 0, OFFSET + t->bytes, &tensor->buffer);
        if (input && t->bytes && status == PARTITA_OK) {
            status = copy_wait(
                fake, device,
                (ptp_copy){
                    .source_data = t->data, .target = tensor->buffer, .target_offset = OFFSET, .bytes = t->bytes});
        }
    }
    if (status == PARTITA_OK && resize->scratch_bytes)
        status = memory->alloc(device, 0, resize->scratch_bytes, &exec.scratch);
    if (status == PARTITA_OK) status = fake->info->executable->exec(executable, instance, &exec);
    if (status == PARTITA_OK) status = fake_wait(fake, &timeline, 1, 0);
    for (uint32_t i = 0; i < b->output_count && status == PARTITA_OK; i++) {
        const case_tensor *t = &one->out[p->out_ports[i]];
        void *got = calloc(1, t->bytes + 1);
        if (t->bytes) {
            status = copy_wait(fake, device,
                               (ptp_copy){.source = tensors[MOST + i].buffer,
                                          .source_offset = OFFSET,
                                          .target_data = got,
                                          .bytes = t->bytes});
        }
        if (status == PARTITA_OK && *out_same) *out_same = same(one, p->out_ports[i], got, why, size);
        free(got);
    }
    for (uint32_t i = 0; i < 2 * MOST; i++) memory->free(device, tensors[i].buffer);
    memory->free(device, exec.scratch);
    return status;
}

typedef enum outcome { PASS, FAIL, NO } outcome;

static uint32_t programs_of(fake_host *fake, ptp_device *device) {
    ptp_usage usage = {.size = sizeof(usage)};
    fake->info->device->usage(device, &usage);
    return usage.programs_built;
}

static bool any_empty(const one_case *one) {
    bool empty = false;
    for (uint32_t i = 0; i < MOST; i++) {
        empty =
            empty || (one->in[i].present && one->in[i].bytes == 0) || (one->out[i].present && one->out[i].bytes == 0);
    }
    return empty;
}

static outcome run_case(fake_host *fake, ptp_device *device, const one_case *one, const variant *how, char *why,
                        size_t size) {
    static part p;
    outcome result = FAIL;
    ptp_executable *executable = NULL;
    ptp_instance *instance = NULL;
    uint32_t unit = 0, built = 0;
    bool equal = true;
    memset(&p, 0, sizeof(p));
    part_build(&p, one, how);
    ptp_ask ask = {.size = sizeof(ask), .block = p.build.block, .units = &unit, .count = 1};
    ptp_answer answer = {.size = sizeof(answer)};
    partita_status status = fake->info->device->ask(device, &ask, &answer);
    if (status == PARTITA_OK && answer.can == PTP_NO) {
        snprintf(why, size, "reason %u: %s", answer.reason, answer.text);
        result = answer.reason != PARTITA_REASON_NONE && answer.text[0] ? NO : FAIL;
        goto out;
    }
    ptp_compile compile = {.size = sizeof(compile),
                           .block = p.build.block,
                           .weights = p.build.weights,
                           .weight_count = p.build.weight_count};
    ptp_resize resize = {.size = sizeof(resize), .shape_count = p.build.value_count, .shapes = p.shapes};
    if (status == PARTITA_OK) status = fake->info->device->compile(device, &compile, &executable);
    built = programs_of(fake, device);
    if (status == PARTITA_OK) status = fake->info->executable->resize(executable, &resize, &instance);
    built = programs_of(fake, device) - built;
    if (how->open && status == PARTITA_UNSUPPORTED) { /* dims that ask could not see */
        snprintf(why, size, "%.900s", fake->message);
        result = why[0] ? NO : FAIL;
        goto out;
    }
    if (status == PARTITA_OK && !compile_only) {
        status = run_part(fake, device, &p, one, executable, instance, &resize, &equal, why, size);
    }
    if (status != PARTITA_OK)
        snprintf(why, size, "status %d: %.900s", (int)status, fake->message);
    else if (equal && built > 0 && !any_empty(one))
        snprintf(why, size, "resize built %u programs", built);
    else if (equal)
        result = PASS;
out:
    if (instance) fake->info->executable->release(executable, instance);
    fake->info->executable->destroy(executable);
    bb_free(&p.build);
    return result;
}

/* FAIL when one variant fails, NO when all are refused. */
static outcome run_variants(fake_host *fake, ptp_device *device, const one_case *one, char *why, size_t size) {
    static const variant variants[] = {{MOST, false}, {1, false}, {1, true}, {MOST, true}};
    static const char *const names[] = {"", "with constants", "with open dims and constants", "with open dims"};
    outcome whole = NO;
    for (int v = 0; v < 4 && whole != FAIL; v++) {
        if (one->in_count < 2 && (v == 1 || v == 2)) continue;
        outcome result = run_case(fake, device, one, &variants[v], why, size);
        if (result != NO) whole = result;
        size_t used = strlen(why);
        if (result == FAIL && used < size) snprintf(why + used, size - used, " %s", names[v]);
    }
    return whole;
}

static void run_file(fake_host *fake, ptp_device *device, const char *path, const char *word, uint32_t *counts) {
    static const char *const names[] = {"PASS", "FAIL", "NO"};
    FILE *file = fopen(path, "rb");
    static one_case one;
    char why[1024];
    if (!file) {
        printf("FAIL %s cannot be read\n", path);
        counts[FAIL]++;
        return;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc((size_t)size + 1);
    size_t got = fread(bytes, 1, (size_t)size, file);
    fclose(file);
    const uint8_t *at = bytes + 4;
    bool valid = got == (size_t)size && size >= 8 && memcmp(bytes, "PTC1", 4) == 0;
    for (uint32_t n = valid ? take_u32(&at) : 0; n > 0; n--) {
        take_case(&at, &one);
        if ((!word || strstr(one.name, word)) && one.flags >> 8 == 0 && all_dense(&one)) {
            outcome result = run_variants(fake, device, &one, why, sizeof(why));
            printf("%s %s%s%s\n", names[result], one.name, result == PASS ? "" : ": ", result == PASS ? "" : why);
            counts[result]++;
        }
        drop_case(&one);
    }
    free(bytes);
}

int main(int argc, char **argv) {
    fake_host fake;
    uint32_t counts[3] = {0}, option_count = 0;
    const char *word = NULL;
    ptp_option options[8];
    ptp_device *device = NULL;
    char names[8][64];
    fake_host_init(&fake);
    for (int i = 2; i < argc; i++) compile_only = compile_only || strcmp(argv[i], "-c") == 0;
    for (int i = 2; i + 1 < argc; i++) {
        const char *equals = strchr(argv[i + 1], '=');
        if (strcmp(argv[i], "-k") == 0) word = argv[i + 1];
        if (strcmp(argv[i], "-o") != 0 || !equals || option_count == 8) continue;
        snprintf(names[option_count], sizeof(names[0]), "%.*s", (int)(equals - argv[i + 1]), argv[i + 1]);
        options[option_count] = (ptp_option){names[option_count], equals + 1};
        option_count++;
    }
    partita_status status = argc < 2 ? PARTITA_INVALID_ARGUMENT : fake_host_start(&fake, argv[1]);
    if (status == PARTITA_DEVICE_ABSENT) {
        printf("SKIP[driver:%s] no device: %s\n", argv[1], fake.message);
        return 0;
    }
    if (status == PARTITA_OK) status = fake.info->plugin->open(fake.plugin, 0, options, option_count, &device);
    if (status != PARTITA_OK) {
        printf("FAIL %s: status %d: %s\n", argc < 2 ? "usage" : argv[1], (int)status, fake.message);
        return 1;
    }
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] == '-')
            i++;
        else
            run_file(&fake, device, argv[i], word, counts);
    }
    fake.info->plugin->close(device);
    if (fake.info->plugin->stop(fake.plugin) != PARTITA_OK) counts[FAIL]++;
    if (fake.live != 0) {
        printf("FAIL %lld blocks of memory are left\n", (long long)fake.live);
        counts[FAIL]++;
    }
    printf("%u passed, %u failed, %u refused, %u messages\n", counts[PASS], counts[FAIL], counts[NO], fake.errors);
    return counts[FAIL] || fake.errors ? 1 : 0;
}
