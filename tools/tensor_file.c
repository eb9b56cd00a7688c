/* SPDX-License-Identifier: Apache-2.0 */
/* A value from a .pb file of ONNX's test data. */
#include "tensor_file.h"

/* Strings lie one after the other; the API takes them as pieces. */
static partita_status strings_of_item(const pt_item *item, partita_value **out_value) {
    partita_str *strings = pt_realloc_array(NULL, item->count + 1, sizeof(*strings));
    if (!strings) return PT_OUT_OF_MEMORY();
    for (uint64_t i = 0; i < item->count; i++)
        strings[i] =
            (partita_str){(const char *)item->data + item->offsets[i], item->offsets[i + 1] - item->offsets[i]};
    partita_status status = partita_value_create_strings(item->rank, item->dims, strings, out_value);
    pt_free(strings);
    return status;
}

static partita_status container_of_item(const pt_item *item, partita_value **out_value) {
    partita_status status = PARTITA_OK;
    partita_value **items = pt_calloc(item->item_count + 1, sizeof(*items));
    if (!items) return PT_OUT_OF_MEMORY();
    for (uint64_t i = 0; i < item->item_count && status == PARTITA_OK; i++)
        status = tool_value_of_item(&item->items[i], &items[i]);
    if (status == PARTITA_OK && item->kind == PARTITA_KIND_SPARSE)
        status = partita_value_create_sparse(item->rank, item->dims, items[0], items[1], out_value);
    else if (status == PARTITA_OK)
        status = partita_value_create_container(item->kind, item->dtype, items, item->item_count, out_value);
    for (uint64_t i = 0; i < item->item_count; i++) partita_value_release(items[i]);
    pt_free(items);
    return status;
}

partita_status tool_value_of_item(const pt_item *item, partita_value **out_value) {
    if (item->kind != PARTITA_KIND_TENSOR) return container_of_item(item, out_value);
    if (item->dtype == PARTITA_STRING) return strings_of_item(item, out_value);
    return partita_value_create(item->dtype, item->rank, item->dims, item->data, out_value);
}

partita_status tool_tensor_file_read(const char *path, partita_kind kind, partita_value **out_value) {
    pt_arena arena = {0};
    pt_item item;
    partita_status status = pt_item_read_file(path, kind, &arena, &item);
    if (status == PARTITA_OK) status = tool_value_of_item(&item, out_value);
    pt_arena_deinit(&arena);
    return status;
}
