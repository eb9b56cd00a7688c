/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes for batches of cases, a few at once. One that crashes, hangs or grows is a report on the case that it was
 * at, and a new process goes on behind that case.
 */
#include "fuzz.h"
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
int __lsan_do_recoverable_leak_check(void);
#else
#define SANITIZED 0
#endif

#define MAX_RSS_BYTES (UINT64_C(2) << 30)
#define SAMPLES       8

typedef struct sample {
    uint64_t number;
    fuzz_result result;
} sample;

/* What parent and child both see. */
typedef struct shared {
    _Atomic uint64_t number; /* case it is at */
    _Atomic uint64_t since_ns;
    _Atomic bool ended;
    uint64_t ran, refused, unnamed, leaks, leaked_at;
    sample samples[SAMPLES];
} shared;

typedef struct job {
    pid_t pid; /* 0: free */
    uint32_t op;
    uint64_t first, last;
    bool leaks;
    const char *killed; /* why the parent ended it */
    FILE *errors;
    shared *shared;
} job;

typedef struct tally {
    uint64_t next; /* case that no batch has yet */
    uint32_t running;
    uint64_t ran, refused, unnamed, reports;
    bool printed;
} tally;

typedef struct watch {
    const fuzz_options *options;
    job *jobs;
    tally *tallies;
    uint64_t reports;
} watch;

static const char *device_of(const fuzz_options *options, uint64_t number) {
    return options->device ? options->device : number & 1 ? "reference" : "cpu";
}

/* ---- the child ---- */

static void run_batch(const watch *w, const job *j) {
    const fuzz_options *options = w->options;
    const fuzz_operator *op = &options->corpus->operators[j->op];
    shared *s = j->shared;
    partita_context *context = NULL;
    partita_context_options with = {.size = sizeof(with), .threads = 1 + (uint32_t)(j->first / options->batch % 2)};
    if (partita_context_create(&with, &context) != PARTITA_OK) _exit(99);
    for (uint64_t k = j->first; k < j->last; k++) {
        pt_arena arena = {0};
        fuzz_case c;
        fuzz_result result = {0};
        s->number = k;
        s->since_ns = pt_now_ns();
        if (fuzz_case_make(op, options->seed, k, &arena, &c)) {
            fuzz_case_run(context, &c, device_of(options, k), &result);
            s->ran += result.status == PARTITA_OK;
            s->refused += result.status != PARTITA_OK;
            if (!result.named && s->unnamed++ < SAMPLES) s->samples[s->unnamed - 1] = (sample){k, result};
            if (options->verbose)
                printf("%" PRIu64 " %s %d %s\n", k, device_of(options, k), (int)result.status, result.error);
        }
        pt_arena_deinit(&arena);
#if SANITIZED
        if (j->leaks && __lsan_do_recoverable_leak_check()) {
            s->leaks++;
            s->leaked_at = k;
            break;
        }
#endif
    }
    partita_context_destroy(context);
    s->ended = true;
    fflush(stdout);
}

static void start(watch *w, job *j, uint32_t op, uint64_t first, uint64_t last, bool leaks) {
    shared *s = j->shared;
    memset(s, 0, sizeof(*s));
    s->number = first;
    s->since_ns = pt_now_ns();
    j->op = op;
    j->first = first;
    j->last = last;
    j->leaks = leaks;
    j->killed = NULL;
    if (ftruncate(fileno(j->errors), 0) != 0 || lseek(fileno(j->errors), 0, SEEK_SET) != 0) j->killed = "no log";
    fflush(stdout);
    j->pid = fork();
    if (j->pid == 0) {
        struct rlimit memory = {UINT64_C(4) << 30, UINT64_C(4) << 30}, none = {0, 0};
        if (!SANITIZED) setrlimit(RLIMIT_AS, &memory);
        setrlimit(RLIMIT_CORE, &none);
        dup2(fileno(j->errors), 2);
        run_batch(w, j);
        exit(0); /* with the sanitizers' own checks */
    }
    w->tallies[op].running++;
}

/* ---- the parent ---- */

static uint64_t rss_bytes(pid_t pid) {
    char path[64];
    unsigned long long size = 0, resident = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    if (fscanf(file, "%llu %llu", &size, &resident) != 2) resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A sanitizer's words, or those of a failed assertion. */
static void print_errors(const job *j) {
    static char text[65536];
    char *rest = NULL;
    uint32_t lines = 0;
    ssize_t size = pread(fileno(j->errors), text, sizeof(text) - 1, 0);
    text[size > 0 ? size : 0] = 0;
    for (char *line = strtok_r(text, "\n", &rest); line && lines < 24; line = strtok_r(NULL, "\n", &rest))
        if (strstr(line, "    #") || strstr(line, "ERROR") || strstr(line, "runtime error") || strstr(line, "ssert")) {
            printf("    %.400s\n", line);
            lines++;
        }
}

static void report(watch *w, const job *j, uint64_t number, const char *what) {
    const fuzz_options *options = w->options;
    const fuzz_operator *op = &options->corpus->operators[j->op];
    printf("REPORT %.*s: %s at --op %.*s --seed %" PRIu64 " --case %" PRIu64 " --device %s\n", PT_STR_ARG(op->op), what,
           PT_STR_ARG(op->op), options->seed, number, device_of(options, number));
    print_errors(j);
    fflush(stdout);
    w->tallies[j->op].reports++;
    w->reports++;
}

static void take_results(watch *w, const job *j) {
    const fuzz_operator *op = &w->options->corpus->operators[j->op];
    const shared *s = j->shared;
    tally *t = &w->tallies[j->op];
    t->ran += s->ran;
    t->refused += s->refused;
    t->unnamed += s->unnamed;
    for (uint64_t i = 0; i < s->unnamed && i < SAMPLES; i++)
        printf("UNNAMED %.*s: case %" PRIu64 ": %d: %s\n", PT_STR_ARG(op->op), s->samples[i].number,
               (int)s->samples[i].result.status, s->samples[i].result.error);
}

/* A child is gone: its results, the report if it is one, and what is left of its batch. */
static void finish(watch *w, job *j, int code) {
    shared *s = j->shared;
    uint64_t number = s->number;
    bool clean = WIFEXITED(code) && WEXITSTATUS(code) == 0;
    j->pid = 0;
    w->tallies[j->op].running--;
    if (clean && !s->leaks) {
        if (!j->leaks) take_results(w, j);
        return;
    }
    if (s->ended && !j->leaks && !s->leaks && !j->killed) { /* the check at its end: which case was it? */
        take_results(w, j);
        start(w, j, j->op, j->first, j->last, true);
        return;
    }
    char what[64];
    snprintf(what, sizeof(what), "%s %d", WIFSIGNALED(code) ? "signal" : "exit",
             WIFSIGNALED(code) ? WTERMSIG(code) : WEXITSTATUS(code));
    if (s->leaks) number = s->leaked_at;
    if (!j->leaks) take_results(w, j);
    report(w, j, number, j->killed ? j->killed : s->leaks ? "leak" : what);
    if (number + 1 < j->last) start(w, j, j->op, number + 1, j->last, j->leaks);
}

/* Batches for whoever is free: operators in turn, so that the last ones end together. */
static bool give_work(watch *w, job *j) {
    const fuzz_options *o = w->options;
    for (uint32_t op = 0; op < o->corpus->operator_count; op++) {
        tally *t = &w->tallies[op];
        uint64_t end = o->first + o->count;
        if (t->next >= end) continue;
        uint64_t last = t->next + o->batch < end ? t->next + o->batch : end;
        start(w, j, op, t->next, last, o->leaks);
        t->next = last;
        return true;
    }
    return false;
}

static void watch_job(watch *w, job *j) {
    int code = 0;
    uint64_t now = pt_now_ns(), since = j->shared->since_ns;
    if (waitpid(j->pid, &code, WNOHANG) == j->pid) {
        finish(w, j, code);
        return;
    }
    uint64_t limit = (uint64_t)w->options->limit_s * 1000000000u;
    if (now > since + limit + 2000000000u)
        kill(j->pid, SIGKILL);
    else if (!j->killed && now > since + limit) {
        j->killed = "hang";
        kill(j->pid, SIGABRT);
    } else if (!j->killed && rss_bytes(j->pid) > MAX_RSS_BYTES) {
        j->killed = "memory";
        kill(j->pid, SIGABRT);
    }
}

static void print_ended(watch *w) {
    const fuzz_options *o = w->options;
    for (uint32_t op = 0; op < o->corpus->operator_count; op++) {
        tally *t = &w->tallies[op];
        if (t->printed || t->running || t->next < o->first + o->count) continue;
        t->printed = true;
        const fuzz_operator *row = &o->corpus->operators[op];
        bool fine = t->reports == 0 && t->unnamed == 0;
        printf("%s fuzz %.*s%s%.*s: %" PRIu64 " ran, %" PRIu64 " refused, %" PRIu64 " reports, %" PRIu64
               " errors without node or cause\n",
               fine ? "PASS" : "FAIL", PT_STR_ARG(row->domain), row->domain.size ? "." : "", PT_STR_ARG(row->op),
               t->ran, t->refused, t->reports, t->unnamed);
        if (!fine && !t->reports) w->reports++;
        fflush(stdout);
    }
}

uint64_t fuzz_watch(const fuzz_options *options) {
    watch w = {.options = options};
    bool busy = true;
    w.jobs = calloc(options->jobs, sizeof(*w.jobs));
    w.tallies = calloc(options->corpus->operator_count, sizeof(*w.tallies));
    if (!w.jobs || !w.tallies) return 1;
    for (uint32_t op = 0; op < options->corpus->operator_count; op++) {
        const fuzz_operator *row = &options->corpus->operators[op];
        bool wanted = !options->only || pt_str_is(row->op, options->only);
        w.tallies[op].printed = !wanted;
        w.tallies[op].next = wanted ? options->first : options->first + options->count;
    }
    for (uint32_t i = 0; i < options->jobs; i++) {
        void *page = mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        w.jobs[i].errors = tmpfile();
        if (page == MAP_FAILED || !w.jobs[i].errors) return 1;
        w.jobs[i].shared = page;
    }
    while (busy) {
        busy = false;
        for (uint32_t i = 0; i < options->jobs; i++) {
            if (w.jobs[i].pid) watch_job(&w, &w.jobs[i]);
            if (w.jobs[i].pid || give_work(&w, &w.jobs[i])) busy = true;
        }
        print_ended(&w);
        usleep(2000);
    }
    for (uint32_t i = 0; i < options->jobs; i++) {
        fclose(w.jobs[i].errors);
        munmap(w.jobs[i].shared, sizeof(shared));
    }
    free(w.jobs);
    free(w.tallies);
    return w.reports;
}
