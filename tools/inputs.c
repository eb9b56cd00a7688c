/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs of a run: from archives, files and the command line; seeded random values for what nobody gave. */
#include "job.h"
#include "element.h"
#include "tensor_file.h"
#include <stdlib.h>

static uint32_t find_input(const tool_job *job, const char *name) {
    for (uint32_t i = 0; i < job->input_count; i++)
        if (strcmp(partita_model_input(job->model, i)->name, name) == 0) return i;
    return PT_NONE;
}

static partita_status unknown_input(const tool_job *job, const char *name) {
    pt_text list = {0};
    for (uint32_t i = 0; i < job->input_count; i++)
        pt_text_printf(&list, "%s%s", i ? ", " : "", partita_model_input(job->model, i)->name);
    partita_status status =
        pt_fail(PARTITA_BAD_INPUT, "the model has no input '%s'; it has %s", name, list.data ? list.data : "none");
    pt_text_deinit(&list);
    return status;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/* "1x3x48x192" into dims; -1 when it is no shape. */
static int32_t parse_shape(const char *text, int64_t *dims, uint32_t capacity) {
    uint32_t rank = 0;
    if (*text == '\0') return 0;
    for (;;) {
        char word[24];
        uint64_t dim;
        size_t size = strcspn(text, "x,");
        snprintf(word, sizeof(word), "%.*s", (int)PT_MIN(size, sizeof(word) - 1), text);
        if (size >= sizeof(word) || rank == capacity || !tool_parse_uint(word, INT64_MAX, &dim)) return -1;
        dims[rank++] = (int64_t)dim;
        if (text[size] == '\0') return (int32_t)rank;
        text += size + 1;
    }
}

static int64_t named_dim(const tool_options *options, const char *name) {
    const tool_list *list = &options->values[OPTION_DIM];
    size_t size = strlen(name);
    for (size_t i = list->size; size && i-- > 0;)
        if (strncmp(list->data[i], name, size) == 0 && list->data[i][size] == '=')
            return strtoll(list->data[i] + size + 1, NULL, 10);
    return 1;
}

#define MAX_RANK 32

/* A shape that contradicts the model's own sizes is told here, where the words that are wrong are known. */
static partita_status check_sizes(const char *given, const partita_value_info *info, const int64_t *dims) {
    for (int32_t i = 0; i < info->rank; i++)
        if (info->dims[i] >= 0 && info->dims[i] != dims[i])
            return pt_fail(PARTITA_BAD_INPUT, "--shape: '%s': dim %d is %lld, input '%s' has %lld there", given, (int)i,
                           (long long)dims[i], info->name, (long long)info->dims[i]);
    return PARTITA_OK;
}

partita_status tool_input_shape(const tool_job *job, const partita_value_info *info, int64_t *out_dims) {
    if (info->rank > MAX_RANK) return pt_fail(PARTITA_UNSUPPORTED, "input '%s': rank %d", info->name, (int)info->rank);
    const tool_list *list = &job->options->values[OPTION_SHAPE];
    size_t size = strlen(info->name);
    for (size_t i = list->size; i-- > 0;) {
        if (strncmp(list->data[i], info->name, size) != 0 || list->data[i][size] != '=') continue;
        int32_t rank = parse_shape(list->data[i] + size + 1, out_dims, MAX_RANK);
        if (rank < 0)
            return pt_fail(PARTITA_INVALID_ARGUMENT, "--shape: '%s' is not of the form INPUT=1x3x48x192",
                           list->data[i]);
        if (info->rank >= 0 && rank != info->rank)
            return pt_fail(PARTITA_INVALID_ARGUMENT, "--shape: '%s' has rank %d, input '%s' has rank %d", list->data[i],
                           (int)rank, info->name, (int)info->rank);
        return check_sizes(list->data[i], info, out_dims);
    }
    for (int32_t i = 0; i < info->rank; i++)
        out_dims[i] = info->dims[i] >= 0 ? info->dims[i] : named_dim(job->options, info->dim_names[i]);
    return PARTITA_OK;
}

/* --shape and --dim that name nothing are mistakes, not no-ops. */
static partita_status check_names(const tool_job *job) {
    const tool_list *shapes = &job->options->values[OPTION_SHAPE], *dims = &job->options->values[OPTION_DIM];
    for (size_t i = 0; i < shapes->size; i++) {
        const char *equals = strrchr(shapes->data[i], '=');
        char name[512];
        if (!equals || (size_t)(equals - shapes->data[i]) >= sizeof(name))
            return pt_fail(PARTITA_INVALID_ARGUMENT, "--shape: '%s' has no '='", shapes->data[i]);
        snprintf(name, sizeof(name), "%.*s", (int)(equals - shapes->data[i]), shapes->data[i]);
        if (find_input(job, name) == PT_NONE) return unknown_input(job, name);
    }
    for (size_t i = 0; i < dims->size; i++) {
        bool found = false;
        const char *equals = strrchr(dims->data[i], '=');
        size_t size = equals ? (size_t)(equals - dims->data[i]) : 0;
        for (uint32_t k = 0; k < job->input_count; k++) {
            const partita_value_info *info = partita_model_input(job->model, k);
            for (int32_t d = 0; d < info->rank; d++)
                found |= strlen(info->dim_names[d]) == size && strncmp(info->dim_names[d], dims->data[i], size) == 0;
        }
        uint64_t value;
        if (!found)
            return pt_fail(PARTITA_INVALID_ARGUMENT, "--dim: no input has a dim '%.*s'", (int)size, dims->data[i]);
        if (!tool_parse_uint(dims->data[i] + size + 1, INT64_MAX, &value))
            return pt_fail(PARTITA_INVALID_ARGUMENT, "--dim: '%s': '%s' is no size of a dim", dims->data[i],
                           dims->data[i] + size + 1);
    }
    return PARTITA_OK;
}

/* ---- one input from the command line --------------------------------------------------------- */

/* The words of `text`, `count` of them or one for all, into elements. */
static partita_status parse_words(const partita_value_info *info, const char *text, uint64_t count, void *data) {
    const char *at = text;
    for (uint64_t i = 0; i < count; i++) {
        size_t size = strcspn(at, ",");
        char word[64];
        snprintf(word, sizeof(word), "%.*s", (int)PT_MIN(size, sizeof(word) - 1), at);
        if (info->dtype == PARTITA_STRING)
            ((partita_str *)data)[i] = (partita_str){at, size};
        else if (size >= sizeof(word) || !tool_element_parse(data, info->dtype, i, word))
            return pt_fail(PARTITA_BAD_INPUT, "input '%s': '%s' is no %s", info->name, word,
                           partita_dtype_name(info->dtype));
        if (at[size] == ',') at += size + 1;
    }
    return PARTITA_OK;
}

/* Numbers or words with commas, as many as the shape has elements; one stands for all. */
static partita_status parse_literal(const tool_job *job, const partita_value_info *info, const char *text,
                                    partita_value **out_value) {
    int64_t dims[MAX_RANK];
    uint64_t count, words = 1;
    bool strings = info->dtype == PARTITA_STRING;
    if (info->kind != PARTITA_KIND_TENSOR || info->dtype == PARTITA_COMPLEX64 || info->dtype == PARTITA_COMPLEX128)
        return pt_fail(PARTITA_UNSUPPORTED, "input '%s': %s from the command line; give a file", info->name,
                       info->kind == PARTITA_KIND_TENSOR ? partita_dtype_name(info->dtype)
                                                         : tool_kind_name(info->kind));
    PT_TRY(tool_input_shape(job, info, dims));
    uint32_t rank = info->rank > 0 ? (uint32_t)info->rank : 0;
    for (const char *at = text; *at; at++) words += *at == ',';
    if (!pt_dims_count(dims, rank, &count))
        return pt_fail(PARTITA_BAD_INPUT, "input '%s': shape overflows", info->name);
    /* One free dim is as long as the list: --input x=1,2,3 for a vector of any length. */
    if (rank == 1 && info->dims[0] < 0 && count == 1) count = words, dims[0] = (int64_t)words;
    if (words != 1 && words != count)
        return pt_fail(PARTITA_BAD_INPUT, "input '%s': %llu values for %llu elements", info->name,
                       (unsigned long long)words, (unsigned long long)count);
    pt_arena arena = {0};
    void *data = pt_arena_array(&arena, count + 1, 16);
    if (data) memset(data, 0, (count + 1) * 16);
    partita_status status = data ? parse_words(info, text, count, data) : PT_OUT_OF_MEMORY();
    if (status == PARTITA_OK)
        status = strings ? partita_value_create_strings(rank, dims, data, out_value)
                         : partita_value_create(info->dtype, rank, dims, data, out_value);
    pt_arena_deinit(&arena);
    return status;
}

static bool ends_with(const char *text, const char *end) {
    size_t size = strlen(text), tail = strlen(end);
    return size >= tail && strcmp(text + size - tail, end) == 0;
}

static partita_status read_file(const tool_job *job, const partita_value_info *info, const char *path,
                                partita_value **out_value) {
    void *data;
    size_t bytes;
    if (ends_with(path, ".pb")) return tool_tensor_file_read(path, info->kind, out_value);
    PT_TRY(tool_file_read(path, &data, &bytes));
    partita_status status;
    if (ends_with(path, ".npy")) {
        status = tool_npy_parse(path, data, bytes, info->dtype, out_value);
    } else {
        int64_t dims[MAX_RANK];
        uint64_t count, need;
        status = tool_input_shape(job, info, dims);
        uint32_t rank = info->rank > 0 ? (uint32_t)info->rank : 0;
        if (status == PARTITA_OK &&
            (!pt_dims_count(dims, rank, &count) || !pt_dtype_bytes(info->dtype, count, &need) || need != bytes))
            status = pt_fail(PARTITA_BAD_INPUT, "%s: %zu bytes are not what the shape of input '%s' takes", path, bytes,
                             info->name);
        if (status == PARTITA_OK) status = partita_value_create(info->dtype, rank, dims, data, out_value);
    }
    pt_free(data);
    return status;
}

/* ---- random values --------------------------------------------------------------------------- */

static void random_element(void *data, partita_dtype dtype, uint64_t index, uint64_t *state) {
    uint64_t bits = pt_random(state);
    /* Patterns below that of 1: values above a half. */
    if (dtype == PARTITA_FLOAT16)
        ((uint16_t *)data)[index] = (uint16_t)(0x3c00 - (bits & 0x3ff));
    else if (dtype == PARTITA_BFLOAT16)
        ((uint16_t *)data)[index] = (uint16_t)(0x3f80 - (bits & 0x7f));
    else if (tool_element_set(data, dtype, index, (double)(bits >> 11) * 0x1p-53))
        return;
    /* 0 or 1: an index that every table has, and a mask. */
    else if (pt_dtype_bits(dtype) >= 8)
        ((unsigned char *)data)[index * (pt_dtype_bits(dtype) / 8)] = (unsigned char)(bits & 1);
    else
        tool_element_parse(data, dtype, index, bits & 1 ? "1" : "0");
}

static partita_status random_value(const tool_job *job, const partita_value_info *info, uint64_t seed,
                                   partita_value **out_value) {
    int64_t dims[MAX_RANK];
    uint64_t count, bytes, state = seed;
    if (info->kind == PARTITA_KIND_OPTIONAL || info->kind == PARTITA_KIND_SEQUENCE)
        return partita_value_create_container(info->kind, info->dtype, NULL, 0, out_value);
    if (info->kind != PARTITA_KIND_TENSOR)
        return pt_fail(PARTITA_BAD_INPUT, "input '%s' is a map or sparse tensor: give it by --input", info->name);
    PT_TRY(tool_input_shape(job, info, dims));
    uint32_t rank = info->rank > 0 ? (uint32_t)info->rank : 0;
    if (!pt_dims_count(dims, rank, &count))
        return pt_fail(PARTITA_BAD_INPUT, "input '%s': shape overflows", info->name);
    partita_status status = PARTITA_OK;
    if (info->dtype == PARTITA_STRING) {
        static const char *const words[] = {"alpha", "beta", "gamma", "delta"};
        partita_str *strings = pt_realloc_array(NULL, count + 1, sizeof(*strings));
        if (!strings) return PT_OUT_OF_MEMORY();
        for (uint64_t i = 0; i < count; i++) strings[i] = pt_str(words[pt_random(&state) & 3]);
        status = partita_value_create_strings(rank, dims, strings, out_value);
        pt_free(strings);
        return status;
    }
    if (!pt_dtype_bytes(info->dtype, count, &bytes))
        return pt_fail(PARTITA_BAD_INPUT, "input '%s': shape overflows", info->name);
    unsigned char *data = pt_calloc(bytes + 16, 1);
    if (!data)
        return pt_fail(PARTITA_OUT_OF_MEMORY, "input '%s': out of memory for %llu bytes", info->name,
                       (unsigned long long)bytes);
    for (uint64_t i = 0; i < count; i++) random_element(data, info->dtype, i, &state);
    status = partita_value_create(info->dtype, rank, dims, data, out_value);
    pt_free(data);
    return status;
}

partita_status tool_inputs_names(tool_job *job, const char ***out_names, uint32_t *out_count) {
    const tool_list *archives = &job->options->values[OPTION_INPUTS], *single = &job->options->values[OPTION_INPUT];
    for (size_t i = 0; i < archives->size; i++) PT_TRY(tool_npz_read(archives->data[i], &job->given));
    const char **names = pt_calloc(job->given.size + single->size + 1, sizeof(*names));
    if (!names) return PT_OUT_OF_MEMORY();
    *out_count = 0;
    for (size_t i = 0; i < job->given.size; i++) names[(*out_count)++] = job->given.data[i].name;
    for (size_t i = 0; i < single->size; i++) {
        const char *equals = strchr(single->data[i], '=');
        partita_str name = {single->data[i], equals ? (size_t)(equals - single->data[i]) : 0};
        if (!(names[*out_count] = pt_arena_str(&job->arena, name).data)) {
            pt_free(names);
            return PT_OUT_OF_MEMORY();
        }
        ++*out_count;
    }
    *out_names = names;
    return PARTITA_OK;
}

partita_status tool_inputs_make(tool_job *job) {
    const tool_list *single = &job->options->values[OPTION_INPUT];
    uint64_t seed = tool_option_uint(job->options, OPTION_SEED, 0);
    PT_TRY(check_names(job));
    for (size_t i = 0; i < job->given.size; i++) {
        uint32_t input = find_input(job, job->given.data[i].name);
        if (input == PT_NONE) return unknown_input(job, job->given.data[i].name);
        partita_value_retain(job->given.data[i].value);
        partita_value_release(job->inputs[input]);
        job->inputs[input] = job->given.data[i].value;
    }
    for (size_t i = 0; i < single->size; i++) {
        const char *equals = strchr(single->data[i], '=');
        char name[512];
        if (!equals || (size_t)(equals - single->data[i]) >= sizeof(name))
            return pt_fail(PARTITA_INVALID_ARGUMENT, "--input: '%s' has no '='", single->data[i]);
        snprintf(name, sizeof(name), "%.*s", (int)(equals - single->data[i]), single->data[i]);
        uint32_t input = find_input(job, name);
        if (input == PT_NONE) return unknown_input(job, name);
        const partita_value_info *info = partita_model_input(job->model, input);
        partita_value *value = NULL;
        if (equals[1] == '@')
            PT_TRY(read_file(job, info, equals + 2, &value));
        else
            PT_TRY(parse_literal(job, info, equals + 1, &value));
        partita_value_release(job->inputs[input]);
        job->inputs[input] = value;
    }
    for (uint32_t i = 0; i < job->input_count; i++) {
        if (job->inputs[i]) continue;
        PT_TRY(random_value(job, partita_model_input(job->model, i), seed * 1000003 + i, &job->inputs[i]));
    }
    return PARTITA_OK;
}
