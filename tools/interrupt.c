/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ctrl-C while a model runs: the run is cancelled, which a device that hangs does not hold up, and the command ends
 * with words. At any other time, and the second time, the command ends at once. A thread waits for the signal, so that
 * all of this is ordinary code.
 */
#include "interrupt.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static partita_request *running;
static bool interrupted;

/* As if the signal had never been caught: whoever waits for the command sees it. */
static void end(const sigset_t *signals) {
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    kill(getpid(), SIGINT);
    pause();
}

static void *wait_for_signal(void *user) {
    sigset_t signals;
    int number;
    PT_UNUSED(user);
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    for (;;) {
        if (sigwait(&signals, &number) != 0) continue;
        pthread_mutex_lock(&lock);
        bool first = !interrupted && running;
        interrupted = true;
        if (first) partita_request_cancel(running);
        pthread_mutex_unlock(&lock);
        if (first) continue;
        fprintf(stderr, "partita: interrupted\n");
        end(&signals);
    }
    return NULL;
}

partita_status tool_interrupt_watch(void) {
    sigset_t signals;
    pthread_t thread;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* threads that start later have it blocked too */
    if (pthread_create(&thread, NULL, wait_for_signal, NULL) != 0) {
        pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
        return pt_fail(PARTITA_OUT_OF_MEMORY, "no thread could be started");
    }
    pthread_detach(thread);
    return PARTITA_OK;
}

void tool_interrupt_running(partita_request *request) {
    pthread_mutex_lock(&lock);
    running = request;
    pthread_mutex_unlock(&lock);
}

void tool_interrupt_end(void) {
    sigset_t signals;
    pthread_mutex_lock(&lock);
    bool ends = interrupted;
    pthread_mutex_unlock(&lock);
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    if (ends) end(&signals);
}
