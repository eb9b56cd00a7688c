/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growth of PT_ARRAY: the one place where its storage is moved.
 */
#include "base/base.h"

bool pt_array_grow(void *data_pointer, size_t *capacity, size_t need, size_t item_bytes) {
    if (need <= *capacity) return true;
    size_t wanted = *capacity < 8 ? 8 : *capacity;
    while (wanted < need) {
        if (!pt_add_size(wanted, wanted / 2 + 1, &wanted)) return false;
    }
    /* The pointer's type differs from array to array, so it's copied as bytes. */
    void *data;
    memcpy(&data, data_pointer, sizeof data);
    data = pt_realloc_array(data, wanted, item_bytes);
    if (!data) return false;
    memcpy(data_pointer, &data, sizeof data);
    *capacity = wanted;
    return true;
}
