/* SPDX-License-Identifier: Apache-2.0 */
/* Completions told in any order, signalled in that of submission. */
#include "gpu/order.h"

void gpu_order_init(gpu_order *order, const ptp_host *host) {
    *order = (gpu_order){.host = host};
    pthread_mutex_init(&order->lock, NULL);
    pthread_cond_init(&order->idle, NULL);
}

void gpu_order_deinit(gpu_order *order) {
    pthread_cond_destroy(&order->idle);
    pthread_mutex_destroy(&order->lock);
}

void gpu_order_add(gpu_order *order, gpu_completion *completion) {
    completion->next = NULL;
    completion->ready = false;
    pthread_mutex_lock(&order->lock);
    if (order->last)
        order->last->next = completion;
    else
        order->first = completion;
    order->last = completion;
    pthread_mutex_unlock(&order->lock);
}

/* The first one, if it is ready, off the list. The lock is held. */
static gpu_completion *take_ready(gpu_order *order) {
    gpu_completion *completion = order->first;
    if (!completion || !completion->ready) return NULL;
    order->first = completion->next;
    if (!order->first) order->last = NULL;
    return completion;
}

void gpu_order_ready(gpu_order *order, gpu_completion *completion, partita_status status, const char *cause) {
    const ptp_host *host = order->host;
    pthread_mutex_lock(&order->lock);
    completion->status = status;
    completion->cause = cause;
    completion->ready = true;
    /* the host may submit from within a signal, and hear of that here again: the outer call goes on with it */
    bool mine = !order->signalling;
    order->signalling = true;
    while (mine && (completion = take_ready(order))) {
        pthread_mutex_unlock(&order->lock);
        gpu_completion one = *completion;
        host->free(host->self, completion);
        if (one.done.timeline) {
            host->timeline_signal(host->self, one.done.timeline, one.done.value, one.status, one.cause);
        }
        pthread_mutex_lock(&order->lock);
    }
    if (mine) {
        order->signalling = false;
        pthread_cond_broadcast(&order->idle);
    }
    pthread_mutex_unlock(&order->lock);
}

void gpu_order_wait(gpu_order *order) {
    pthread_mutex_lock(&order->lock);
    while (order->first || order->signalling) pthread_cond_wait(&order->idle, &order->lock);
    pthread_mutex_unlock(&order->lock);
}
