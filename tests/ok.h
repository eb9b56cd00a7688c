/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call of a test that must succeed. OK_MESSAGE, what it says when it does not, may be defined before this is
 * included: whoever is linked to the shared library asks that for its message.
 */
#ifndef TESTS_OK_H
#define TESTS_OK_H

#include <partita/types.h>

#ifndef OK_MESSAGE
#include "base/base.h"
#define OK_MESSAGE pt_last_message()
#endif

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        if ((call) != PARTITA_OK) fail_msg("%s: %s", #call, OK_MESSAGE);                                               \
    } while (0)

#endif
