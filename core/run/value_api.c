/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application's side of values.
 */
#include "run/context.h"
#include "run/value.h"

partita_status partita_value_create_borrowed(partita_dtype dtype, uint32_t rank, const int64_t *dims, void *data,
                                             uint64_t bytes, partita_value **out_value) {
    partita_value *value;
    PT_REQUIRE(out_value && (dims || !rank) && (data || !bytes));
    PT_TRY(pt_value_create_over(dtype, rank, dims, data, NULL, &value));
    if (value->bytes != bytes) {
        uint64_t need = value->bytes;
        partita_value_release(value);
        return pt_fail(PARTITA_INVALID_ARGUMENT, "the dims need %llu bytes, given are %llu", (unsigned long long)need,
                       (unsigned long long)bytes);
    }
    *out_value = value;
    return PARTITA_OK;
}

partita_status partita_value_create(partita_dtype dtype, uint32_t rank, const int64_t *dims, const void *data,
                                    partita_value **out_value) {
    partita_value *value;
    PT_REQUIRE(out_value && (dims || !rank));
    PT_TRY(pt_value_create_dense(dtype, rank, dims, &value));
    if (data)
        memcpy(value->data, data, (size_t)value->bytes);
    else
        memset(value->data, 0, (size_t)value->bytes);
    *out_value = value;
    return PARTITA_OK;
}

partita_status partita_value_create_strings(uint32_t rank, const int64_t *dims, const partita_str *strings,
                                            partita_value **out_value) {
    partita_status status = PARTITA_OK;
    uint64_t count, bytes = 0;
    size_t size;
    char *joined = NULL;
    PT_REQUIRE(out_value && (dims || !rank));
    if (!pt_dims_count(dims, rank, &count) || !pt_mul_size((size_t)count, sizeof(uint64_t), &size) ||
        count >= SIZE_MAX / 16)
        return pt_fail(PARTITA_BAD_INPUT, "dims are negative or overflow");
    PT_REQUIRE(strings || !count);
    uint64_t *offsets = pt_calloc((size_t)count + 1, sizeof(*offsets));
    if (!offsets) return PT_OUT_OF_MEMORY();
    for (uint64_t i = 0; i < count; i++) offsets[i + 1] = bytes += strings[i].size;
    joined = pt_malloc((size_t)bytes + 1);
    if (!joined) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint64_t i = 0; i < count; i++)
        if (strings[i].size) memcpy(joined + offsets[i], strings[i].data, strings[i].size);
    status = pt_value_create_text(rank, dims, offsets, joined, out_value);
out:
    pt_free(joined);
    pt_free(offsets);
    return status;
}

partita_status partita_value_create_sparse(uint32_t rank, const int64_t *dims, partita_value *values,
                                           partita_value *indices, partita_value **out_value) {
    PT_REQUIRE(out_value && (dims || !rank));
    return pt_value_create_sparse(rank, dims, values, indices, out_value);
}

partita_status partita_value_create_container(partita_kind kind, partita_dtype dtype, partita_value *const *items,
                                              uint64_t n, partita_value **out_value) {
    PT_REQUIRE(out_value);
    return pt_value_create_container(kind, dtype, items, n, out_value);
}

partita_status partita_value_create_on_device(partita_context *context, const char *device, partita_dtype dtype,
                                              uint32_t rank, const int64_t *dims, partita_value **out_value) {
    pt_device *handle;
    PT_REQUIRE(context && device && out_value && (dims || !rank));
    PT_TRY(pt_registry_device(context->registry, pt_str(device), &handle));
    uint32_t domain = handle->has_memory && handle->info.domain_count ? 0 : PTP_DOMAIN_HOST;
    PT_TRY(pt_value_create_in(handle, domain, NULL, dtype, rank, dims, out_value));
    if (domain != PTP_DOMAIN_HOST) {
        pt_context_retain(context);
        (*out_value)->context = context;
    }
    return PARTITA_OK;
}

static partita_status check_dense(const partita_value *value, uint64_t bytes) {
    if (!value || !pt_value_is_dense(value))
        return pt_fail(PARTITA_INVALID_ARGUMENT, "the value is no dense tensor of numbers");
    if (value->bytes != bytes)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "the tensor has %llu bytes, given are %llu",
                       (unsigned long long)value->bytes, (unsigned long long)bytes);
    return PARTITA_OK;
}

partita_status partita_value_read(const partita_value *value, void *data, uint64_t bytes) {
    PT_TRY(check_dense(value, bytes));
    PT_REQUIRE(data || !bytes);
    if (value->storage == PT_STORAGE_DEVICE) return pt_value_copy_device(value, data, false);
    if (bytes) memcpy(data, value->data, (size_t)bytes);
    return PARTITA_OK;
}

partita_status partita_value_write(partita_value *value, const void *data, uint64_t bytes) {
    PT_TRY(check_dense(value, bytes));
    PT_REQUIRE(data || !bytes);
    if (value->storage == PT_STORAGE_DEVICE) return pt_value_copy_device(value, (void *)data, true);
    if (bytes) memmove(value->data, data, (size_t)bytes); /* an output bound over an input */
    return PARTITA_OK;
}

partita_status partita_value_view_of(const partita_value *value, partita_value_view *out_view) {
    PT_REQUIRE(value && out_view);
    bool tensor = value->kind == PARTITA_KIND_TENSOR;
    *out_view = (partita_value_view){.size = sizeof(*out_view),
                                     .kind = value->kind,
                                     .dtype = value->dtype,
                                     .rank = value->rank,
                                     .dims = value->dims,
                                     .data = value->data,
                                     .bytes = value->bytes,
                                     .offsets = value->offsets,
                                     .device = value->device ? value->device->name : ""};
    out_view->count = tensor || value->kind == PARTITA_KIND_SPARSE ? value->count
                      : value->kind == PARTITA_KIND_MAP            ? (value->item_count ? value->items[0]->count : 0)
                                                                   : value->item_count;
    return PARTITA_OK;
}

partita_value *partita_value_item(const partita_value *value, uint64_t index) {
    return value && index < value->item_count ? value->items[index] : NULL;
}
