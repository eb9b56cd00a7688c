/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completions of one in-order queue. Drivers tell of them on several threads at once, and the later of two may be told
 * first; the host is owed them in order, since a value that is reached stands for all below it.
 */
#ifndef PLUGINS_GPU_ORDER_H
#define PLUGINS_GPU_ORDER_H

#include <partita/plugin.h>
#include <pthread.h>
#include <stdbool.h>

/* One submission. Starts a block of the host's memory, which is freed before the host hears of the completion. */
typedef struct gpu_completion {
    struct gpu_completion *next;
    ptp_point done; /* no timeline: nobody hears of it */
    partita_status status;
    const char *cause; /* static text, or NULL */
    bool ready;
} gpu_completion;

typedef struct gpu_order {
    const ptp_host *host;
    pthread_mutex_t lock; /* never held across a call of the host or of a driver, both of which may call back */
    pthread_cond_t idle;
    gpu_completion *first, *last;
    bool signalling; /* by some thread, which takes what gets ready meanwhile */
} gpu_order;

void gpu_order_init(gpu_order *order, const ptp_host *host);
/* Nothing is under way any more. */
void gpu_order_deinit(gpu_order *order);
/* Appends what is submitted next; the caller holds whatever makes submissions one after the other. */
void gpu_order_add(gpu_order *order, gpu_completion *completion);
/* From any thread, once: it is complete. Signals all that are ready up to the first that is not. */
void gpu_order_ready(gpu_order *order, gpu_completion *completion, partita_status status, const char *cause);
/* Blocks until all that were added have been signalled. */
void gpu_order_wait(gpu_order *order);

#endif
