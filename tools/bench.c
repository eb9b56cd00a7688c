/* SPDX-License-Identifier: Apache-2.0 */
/* `partita bench`: latency and throughput of a session, one request at a time or several in flight. */
#include "job.h"
#include "process_memory.h"
#include <inttypes.h>
#include <stdlib.h>

typedef PT_ARRAY(double) times;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const times *sorted, double part) {
    size_t index = (size_t)(part * (double)(sorted->size - 1) + 0.5);
    return sorted->data[index];
}

typedef struct bench_limits {
    double seconds;
    uint64_t rounds, in_flight;
} bench_limits;

static bool goes_on(const bench_limits *limits, uint64_t started, uint64_t begin_ns) {
    if (limits->rounds) return started < limits->rounds;
    return started == 0 || tool_ms_since(begin_ns) < limits->seconds * 1e3;
}

static partita_status measure_serial(tool_job *job, const bench_limits *limits, times *out_times) {
    uint64_t begin = pt_now_ns();
    for (uint64_t i = 0; goes_on(limits, i, begin); i++) {
        uint64_t start = pt_now_ns();
        PT_TRY(tool_job_run(job));
        if (!pt_array_push(out_times, tool_ms_since(start))) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

/* A ring of requests: the oldest is waited for before the next one starts. */
static partita_status measure_in_flight(tool_job *job, const bench_limits *limits, times *out_times) {
    uint64_t begin = pt_now_ns(), started = 0, finished = 0;
    partita_status status = PARTITA_OK;
    partita_run_options run = {.size = sizeof(run)};
    run.deadline_ms = tool_option_uint(job->options, OPTION_DEADLINE, 0);
    partita_request **ring = pt_calloc(limits->in_flight, sizeof(*ring));
    uint64_t *starts = pt_calloc(limits->in_flight, sizeof(*starts));
    if (!ring || !starts) PT_CHECK(PT_OUT_OF_MEMORY());
    while (finished < started || goes_on(limits, started, begin)) {
        bool more = goes_on(limits, started, begin);
        if (more && started - finished < limits->in_flight) {
            uint64_t slot = started % limits->in_flight;
            starts[slot] = pt_now_ns();
            PT_CHECK(partita_request_start(job->session, &run, job->inputs, job->input_count, NULL, job->output_count,
                                           &ring[slot]));
            started++;
            continue;
        }
        uint64_t slot = finished % limits->in_flight;
        PT_CHECK(partita_request_wait(ring[slot], UINT64_MAX));
        partita_request_destroy(ring[slot]);
        ring[slot] = NULL;
        if (!pt_array_push(out_times, tool_ms_since(starts[slot]))) PT_CHECK(PT_OUT_OF_MEMORY());
        finished++;
    }
out:
    for (uint64_t i = 0; ring && i < limits->in_flight; i++) partita_request_destroy(ring[i]);
    pt_free(ring);
    pt_free(starts);
    return status;
}

static partita_status report(const tool_job *job, times *all, double first_ms, double wall_ms, double rss_mib) {
    qsort(all->data, all->size, sizeof(*all->data), ascending);
    double median = percentile(all, 0.5), throughput = (double)all->size / wall_ms * 1e3;
    if (!job->options->given[OPTION_JSON]) {
        printf("load %.1f ms, first run %.2f ms, peak memory +%.1f MiB\n", job->load_ms, first_ms, rss_mib);
        printf("%zu runs: min %.3f  median %.3f  p90 %.3f  p99 %.3f ms, %.1f per second\n", all->size, all->data[0],
               median, percentile(all, 0.9), percentile(all, 0.99), throughput);
        return PARTITA_OK;
    }
    json_t *document = tool_json_document();
    json_object_set_new(document, "load_ms", json_real(job->load_ms));
    json_object_set_new(document, "first_ms", json_real(first_ms));
    json_object_set_new(document, "min_ms", json_real(all->data[0]));
    json_object_set_new(document, "median_ms", json_real(median));
    json_object_set_new(document, "p90_ms", json_real(percentile(all, 0.9)));
    json_object_set_new(document, "p99_ms", json_real(percentile(all, 0.99)));
    json_object_set_new(document, "n", json_integer((json_int_t)all->size));
    json_object_set_new(document, "throughput", json_real(throughput));
    json_object_set_new(document, "rss_mib", json_real(rss_mib));
    json_object_set_new(document, "devices", tool_plan_devices(job->plan));
    return tool_json_print(document);
}

partita_status tool_bench(const tool_options *options) {
    tool_job job = {.options = options};
    times all = {0};
    bench_limits limits = {.seconds = tool_option_double(options, OPTION_SECONDS, 3),
                           .rounds = tool_option_uint(options, OPTION_ROUNDS, 0),
                           .in_flight = tool_option_uint(options, OPTION_IN_FLIGHT, 1)};
    partita_status status;
    double before = tool_process_memory_now().resident_mib;
    PT_CHECK(tool_job_session(&job, false));
    uint64_t start = pt_now_ns();
    PT_CHECK(tool_job_run(&job));
    double first_ms = tool_ms_since(start);
    start = pt_now_ns();
    if (limits.in_flight > 1)
        PT_CHECK(measure_in_flight(&job, &limits, &all));
    else
        PT_CHECK(measure_serial(&job, &limits, &all));
    double wall_ms = tool_ms_since(start);
    status = report(&job, &all, first_ms, wall_ms, tool_process_memory_now().peak_mib - before);
out:
    pt_array_deinit(&all);
    tool_job_deinit(&job);
    return status;
}
