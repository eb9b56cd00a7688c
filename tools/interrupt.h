/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C while a model runs. */
#ifndef TOOLS_INTERRUPT_H
#define TOOLS_INTERRUPT_H

#include "base/base.h"
#include <partita/partita.h>

/* Before any other thread starts. */
partita_status tool_interrupt_watch(void);
/* The request that Ctrl-C cancels from now on, until it is NULL again. */
void tool_interrupt_running(partita_request *request);
/* Ends the process as the signal does, if one came: a device that hangs would hold up an ordinary exit. */
void tool_interrupt_end(void);

#endif
