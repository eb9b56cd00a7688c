/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases of letters by utf8proc: Unicode's own, of no language.
 */
#include "cpu/kernels/library.h"

#include <utf8proc.h>

static int32_t lower(int32_t point) { return utf8proc_tolower(point); }
static int32_t upper(int32_t point) { return utf8proc_toupper(point); }

CPU_LIBRARY_EXPORT extern const cpu_text_library cpu_library_table;
const cpu_text_library cpu_library_table = {CPU_LIBRARY_VERSION, lower, upper};
