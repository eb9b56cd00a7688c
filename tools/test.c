/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `partita test`: folders in ONNX's test layout. Each case runs in a process of its own, so that a crash or a hang is a
 * result like any other: the command starts itself with --case.
 */
#include "job.h"
#include "tensor_file.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef PT_ARRAY(char *) path_list;

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void path_list_deinit(path_list *list) {
    for (size_t i = 0; i < list->size; i++) pt_free(list->data[i]);
    pt_array_deinit(list);
}

static partita_status path_list_add(path_list *list, const char *folder, const char *name) {
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = pt_malloc(size);
    if (!path || !pt_array_push(list, path)) {
        pt_free(path);
        return PT_OUT_OF_MEMORY();
    }
    snprintf(path, size, "%s%s%s", folder, name[0] ? "/" : "", name);
    return PARTITA_OK;
}

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Names in a folder that start with `prefix`, sorted; whole paths. */
static partita_status list_folder(const char *folder, const char *prefix, path_list *out_list) {
    DIR *stream = opendir(folder);
    if (!stream) return pt_fail(PARTITA_IO, "%s: %s", folder, strerror(errno));
    partita_status status = PARTITA_OK;
    for (struct dirent *entry; status == PARTITA_OK && (entry = readdir(stream));)
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            status = path_list_add(out_list, folder, entry->d_name);
    closedir(stream);
    if (out_list->size) qsort(out_list->data, out_list->size, sizeof(*out_list->data), by_text);
    return status;
}

#define MAX_DEPTH 16

/* A link to one of the `depth` + 1 folders that hold it. */
static bool leads_back(const char *path, int depth) {
    char above[4096];
    struct stat own, other;
    if (lstat(path, &own) != 0 || !S_ISLNK(own.st_mode) || stat(path, &own) != 0) return false;
    snprintf(above, sizeof(above), "%s", path);
    for (int i = 0; i <= depth; i++) {
        char *slash = strrchr(above, '/');
        if (!slash) break;
        *slash = '\0';
        if (stat(above, &other) == 0 && own.st_dev == other.st_dev && own.st_ino == other.st_ino) return true;
    }
    return false;
}

/* Folders below `folder` that hold a model.onnx. */
static partita_status find_cases(const char *folder, int depth, path_list *cases) {
    char model[4096];
    path_list names = {0};
    partita_status status = PARTITA_OK;
    if ((size_t)snprintf(model, sizeof(model), "%s/model.onnx", folder) >= sizeof(model) || depth > MAX_DEPTH)
        return pt_fail(PARTITA_IO, "%s: nested too deep", folder);
    if (access(model, F_OK) == 0) return path_list_add(cases, folder, "");
    PT_CHECK(list_folder(folder, "", &names));
    for (size_t i = 0; i < names.size; i++)
        if (is_folder(names.data[i]) && !leads_back(names.data[i], depth))
            PT_CHECK(find_cases(names.data[i], depth + 1, cases));
out:
    path_list_deinit(&names);
    return status;
}

/* ---- one case -------------------------------------------------------------------------------- */

static partita_status read_number(const json_t *document, const char *key, const char *path, double *out_number) {
    json_t *value = json_object_get(document, key);
    if (!value) return PARTITA_OK;
    if (!json_is_number(value) || !(json_number_value(value) >= 0))
        return pt_fail(PARTITA_BAD_INPUT, "%s: '%s' is no number of 0 or more", path, key);
    *out_number = json_number_value(value);
    return PARTITA_OK;
}

static partita_status read_tolerance(const tool_job *job, const char *folder, tool_tolerance *out_tolerance) {
    char path[4096];
    json_error_t error;
    snprintf(path, sizeof(path), "%s/data.json", folder);
    *out_tolerance = (tool_tolerance){.rtol = tool_option_double(job->options, OPTION_RTOL, 1e-3),
                                      .atol = tool_option_double(job->options, OPTION_ATOL, 1e-7),
                                      .widen_bfloat16 = true};
    if (access(path, F_OK) != 0) return PARTITA_OK;
    json_t *document = json_load_file(path, 0, &error);
    if (!document) return pt_fail(PARTITA_BAD_INPUT, "%s: no JSON: line %d: %s", path, error.line, error.text);
    partita_status status = json_is_object(document) ? PARTITA_OK : pt_fail(PARTITA_BAD_INPUT, "%s: no object", path);
    if (status == PARTITA_OK) status = read_number(document, "rtol", path, &out_tolerance->rtol);
    if (status == PARTITA_OK) status = read_number(document, "atol", path, &out_tolerance->atol);
    json_decref(document);
    return status;
}

/* FOLDER/input_3.pb or output_3.pb for value `index`; NULL when there is none. */
static partita_status read_data(const char *folder, const char *what, uint32_t index, const partita_value_info *info,
                                partita_value **out_value) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s_%u.pb", folder, what, index);
    *out_value = NULL;
    if (access(path, F_OK) != 0) return PARTITA_OK;
    return tool_tensor_file_read(path, info->kind, out_value);
}

/* FOLDER/input_*.pb or output_*.pb, of which the model has `count`: a folder with more of them, or without an output to
 * judge by, is a mistake and no success. */
static partita_status check_files(const char *folder, const char *what, uint32_t count) {
    path_list names = {0};
    char prefix[16];
    snprintf(prefix, sizeof(prefix), "%s_", what);
    partita_status status = list_folder(folder, prefix, &names);
    if (status == PARTITA_OK && names.size == 0 && count > 0 && strcmp(what, "output") == 0)
        status = pt_fail(PARTITA_BAD_INPUT, "%s: no output_*.pb to judge by", folder);
    for (size_t i = 0; i < names.size && status == PARTITA_OK; i++) {
        unsigned long index = strtoul(strrchr(names.data[i], '_') + 1, NULL, 10);
        if (index >= count) status = pt_fail(PARTITA_BAD_INPUT, "%s: the model has %u %ss", names.data[i], count, what);
    }
    path_list_deinit(&names);
    return status;
}

static partita_status run_data_set(tool_job *job, const char *folder, const tool_tolerance *tolerance) {
    PT_TRY(check_files(folder, "input", job->input_count));
    PT_TRY(check_files(folder, "output", job->output_count));
    for (uint32_t i = 0; i < job->input_count; i++) {
        const partita_value_info *info = partita_model_input(job->model, i);
        partita_value *value;
        PT_TRY(read_data(folder, "input", i, info, &value));
        /* An optional input that the case leaves out keeps its empty value. */
        if (!value && info->kind == PARTITA_KIND_TENSOR && !info->has_default)
            return pt_fail(PARTITA_BAD_INPUT, "%s: no input_%u.pb for input '%s'", folder, i, info->name);
        if (!value) continue;
        partita_value_release(job->inputs[i]);
        job->inputs[i] = value;
    }
    if (!job->session) { PT_TRY(tool_job_session(job, false)); }
    PT_TRY(tool_job_run(job));
    for (uint32_t i = 0; i < job->output_count; i++) {
        const partita_value_info *info = partita_model_output(job->model, i);
        partita_value *expected;
        PT_TRY(read_data(folder, "output", i, info, &expected));
        if (!expected) continue;
        partita_status status = tool_value_compare(info->name, job->outputs[i], expected, tolerance);
        partita_value_release(expected);
        PT_TRY(status);
    }
    return PARTITA_OK;
}

static partita_status run_case(const tool_options *options) {
    tool_job job;
    path_list sets = {0};
    char model[4096];
    tool_tolerance tolerance;
    partita_status status;
    const char *folder = options->arguments[0];
    PT_CHECK(tool_job_open(options, &job));
    snprintf(model, sizeof(model), "%s/model.onnx", folder);
    PT_CHECK(tool_job_load(&job, model));
    PT_CHECK(read_tolerance(&job, folder, &tolerance));
    PT_CHECK(list_folder(folder, "test_data_set_", &sets));
    if (sets.size == 0) PT_CHECK(pt_fail(PARTITA_BAD_INPUT, "%s: no test_data_set_*", folder));
    for (size_t i = 0; i < sets.size; i++) PT_CHECK(run_data_set(&job, sets.data[i], &tolerance));
    if (options->given[OPTION_JSON]) {
        json_t *document = tool_json_document();
        json_object_set_new(document, "case", pt_json_text(pt_str(folder)));
        json_object_set_new(document, "passed", json_true());
        status = tool_json_print(document);
    }
out:
    path_list_deinit(&sets);
    tool_job_deinit(&job);
    return status;
}

/* An empty model is planned. */
static partita_status open_devices(const tool_options *options) {
    static const unsigned char empty[] = {0x08, 8, 0x3a, 3, 0x12, 1, 'g', 0x42, 2, 0x10, 17};
    tool_job job;
    partita_status status = tool_job_open(options, &job);
    partita_plan_options plan = {.size = sizeof(plan),
                                 .devices = tool_option_text(options, OPTION_DEVICES, NULL),
                                 .fallback = options->given[OPTION_FALLBACK]};
    if (status == PARTITA_OK) status = partita_model_load_memory(job.context, empty, sizeof(empty), NULL, &job.model);
    if (status == PARTITA_OK) status = partita_plan_create(job.model, &plan, &job.plan);
    return status; /* the process ends here: nothing is released */
}

/* ---- all cases ------------------------------------------------------------------------------- */

typedef struct verdict {
    int code;       /* exit code; -1: crash or hang */
    char text[600]; /* why not */
} verdict;

/* This command's own options, for the child. */
static partita_status child_arguments(const tool_options *options, const char *folder, path_list *out_words) {
    static const int not_passed[] = {OPTION_JSON, OPTION_TIME_LIMIT, OPTION_CASE, OPTION_HELP};
    PT_TRY(path_list_add(out_words, "/proc/self/exe", ""));
    PT_TRY(path_list_add(out_words, "test", ""));
    PT_TRY(path_list_add(out_words, "--case", ""));
    for (int i = 0; i < OPTION_COUNT; i++) {
        bool skip = !options->given[i];
        for (size_t k = 0; k < PT_COUNT_OF(not_passed); k++) skip |= i == not_passed[k];
        if (skip) continue;
        char word[128];
        snprintf(word, sizeof(word), "--%s", tool_option_rows[i].name);
        if (options->values[i].size == 0) PT_TRY(path_list_add(out_words, word, ""));
        for (size_t k = 0; k < options->values[i].size; k++) {
            PT_TRY(path_list_add(out_words, word, ""));
            PT_TRY(path_list_add(out_words, options->values[i].data[k], ""));
        }
    }
    PT_TRY(path_list_add(out_words, "--", ""));
    PT_TRY(path_list_add(out_words, folder, ""));
    return pt_array_push(out_words, NULL) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

/* Reads the child's stderr until it ends or the time is up; false when it is up. */
static bool gather(int fd, double limit_s, char *text, size_t capacity) {
    uint64_t start = pt_now_ns();
    size_t size = 0;
    for (;;) {
        double left = limit_s * 1e3 - tool_ms_since(start);
        struct pollfd item = {.fd = fd, .events = POLLIN};
        if (left <= 0) return false;
        if (poll(&item, 1, (int)PT_MIN(left + 1, 1e6)) <= 0) continue;
        char chunk[512];
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got <= 0) break;
        for (ssize_t i = 0; i < got; i++) {
            if (size + 1 >= capacity) break;
            text[size++] = chunk[i] == '\n' ? ' ' : chunk[i];
        }
        text[size] = '\0';
    }
    while (size && text[size - 1] == ' ') text[--size] = '\0';
    return true;
}

/* Starts this command with `words`, or without any looks only at the devices that the options name. */
static void be_child(const tool_options *options, char *const *words, const int *ends) {
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    if (words) {
        execv(words[0], words);
        _exit(127);
    }
    partita_status status = open_devices(options);
    if (status != PARTITA_OK) fprintf(stderr, "%s\n", pt_last_message());
    _exit(partita_status_exit_code(status));
}

static partita_status run_child(const tool_options *options, char *const *words, double limit_s, verdict *out) {
    int ends[2];
    memset(out, 0, sizeof(*out));
    if (pipe(ends) != 0) return pt_fail(PARTITA_IO, "pipe: %s", strerror(errno));
    fflush(stdout);
    partita_status status = PARTITA_OK;
    pid_t child = fork();
    if (child == 0) be_child(options, words, ends);
    close(ends[1]);
    if (child < 0) {
        status = pt_fail(PARTITA_IO, "fork: %s", strerror(errno));
    } else {
        bool ended = gather(ends[0], limit_s, out->text, sizeof(out->text));
        int state;
        if (!ended) kill(child, SIGKILL);
        while (waitpid(child, &state, 0) < 0 && errno == EINTR) {}
        out->code = ended && WIFEXITED(state) ? WEXITSTATUS(state) : -1;
        if (!ended)
            snprintf(out->text, sizeof(out->text), "no answer within %g s", limit_s);
        else if (WIFSIGNALED(state))
            snprintf(out->text, sizeof(out->text), "ended by signal %d (%s)", WTERMSIG(state),
                     strsignal(WTERMSIG(state)));
    }
    close(ends[0]);
    return status;
}

static partita_status run_case_apart(const tool_options *options, const char *folder, double limit_s, verdict *out) {
    path_list words = {0};
    partita_status status = child_arguments(options, folder, &words);
    if (status == PARTITA_OK) status = run_child(options, words.data, limit_s, out);
    path_list_deinit(&words);
    return status;
}

/* Devices that are absent are no failure of each case. Apart as well: a plugin may crash when it is opened. */
static partita_status check_devices(const tool_options *options, double limit_s) {
    verdict result;
    PT_TRY(run_child(options, NULL, limit_s, &result));
    if (result.code == partita_status_exit_code(PARTITA_INVALID_ARGUMENT))
        return pt_fail(PARTITA_INVALID_ARGUMENT, "%s", result.text);
    if (result.code == partita_status_exit_code(PARTITA_DEVICE_ABSENT))
        return pt_fail(PARTITA_DEVICE_ABSENT, "%s", result.text);
    return PARTITA_OK;
}

partita_status tool_test(const tool_options *options) {
    if (options->given[OPTION_CASE]) return run_case(options);
    path_list cases = {0};
    partita_status status = PARTITA_OK;
    json_t *rows = json_array();
    unsigned passed = 0, failed = 0;
    double limit_s = tool_option_double(options, OPTION_TIME_LIMIT, 60);
    for (int i = 0; i < options->argument_count; i++) PT_CHECK(find_cases(options->arguments[i], 0, &cases));
    if (cases.size == 0) PT_CHECK(pt_fail(PARTITA_BAD_INPUT, "%s: no folder with a model.onnx", options->arguments[0]));
    PT_CHECK(check_devices(options, limit_s));
    for (size_t i = 0; i < cases.size; i++) {
        verdict result;
        PT_CHECK(run_case_apart(options, cases.data[i], limit_s, &result));
        const char *text = strncmp(result.text, "partita: ", 9) == 0 ? result.text + 9 : result.text;
        bool ok = result.code == 0;
        if (ok)
            passed++;
        else
            failed++;
        if (!ok && !options->given[OPTION_JSON]) printf("failed %s: %s\n", cases.data[i], text);
        json_array_append_new(rows,
                              json_pack("{s:o,s:b,s:i,s:o}", "case", pt_json_text(pt_str(cases.data[i])), "passed", ok,
                                        "code", result.code, "text", pt_json_text(pt_str(ok ? "" : text))));
    }
    if (options->given[OPTION_JSON]) {
        json_t *document = tool_json_document();
        json_object_set(document, "cases", rows);
        json_object_set_new(document, "passed", json_integer(passed));
        json_object_set_new(document, "failed", json_integer(failed));
        json_object_set_new(document, "skipped", json_integer(0));
        PT_CHECK(tool_json_print(document));
    } else {
        printf("%u passed, %u failed, 0 skipped\n", passed, failed);
    }
    if (failed) status = pt_fail(PARTITA_MISMATCH, "%u of %zu cases failed", failed, cases.size);
out:
    json_decref(rows);
    path_list_deinit(&cases);
    return status;
}
