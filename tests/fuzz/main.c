/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_operators SEEDS [--cases N] [--first K] [--op NAME] [--seed S] [--case K] [--device NAME] [--jobs N] [--limit S]
 *                      [--write FOLDER] [--verbose] [--leaks]
 * --case runs one case in this process, for a debugger; with --write it only writes it as files.
 */
#include "fuzz.h"
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
/* Sizes out of models meet an allocator that says no, as on a machine without that much memory. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1:max_allocation_size_mb=256:detect_leaks=1:protect_shadow_gap=0:"
           "intercept_tls_get_addr=0:handle_abort=1:allocator_release_to_os_interval_ms=-1:quarantine_size_mb=16";
}
#endif

static const char *text_of(int argc, char **argv, const char *name) {
    for (int i = 2; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0) return argv[i + 1];
    return NULL;
}

static uint64_t number_of(int argc, char **argv, const char *name, uint64_t otherwise) {
    const char *text = text_of(argc, argv, name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static bool flag_of(int argc, char **argv, const char *name) {
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], name) == 0) return true;
    return false;
}

static int one_case(const fuzz_options *options, uint64_t number, const char *folder) {
    const fuzz_corpus *corpus = options->corpus;
    for (uint32_t i = 0; i < corpus->operator_count; i++) {
        const fuzz_operator *op = &corpus->operators[i];
        if (options->only && !pt_str_is(op->op, options->only)) continue;
        pt_arena arena = {0};
        fuzz_case c;
        fuzz_result result = {0};
        partita_context *context = NULL;
        if (!fuzz_case_make(op, options->seed, number, &arena, &c)) {
            printf("%.*s: the seed cannot be read\n", PT_STR_ARG(op->op));
        } else if (folder) {
            if (fuzz_case_write(&c, folder) != PARTITA_OK) printf("%s\n", partita_last_error());
        } else if (partita_context_create(NULL, &context) == PARTITA_OK) {
            const char *device = options->device ? options->device : number & 1 ? "reference" : "cpu";
            fuzz_case_run(context, &c, device, &result);
            printf("%.*s on %s: %s: %s%s\n", PT_STR_ARG(op->op), device, partita_status_text(result.status),
                   result.error, result.named ? "" : " (names no node or cause)");
        }
        partita_context_destroy(context);
        pt_arena_deinit(&arena);
    }
    return 0;
}

int main(int argc, char **argv) {
    fuzz_corpus corpus;
    if (argc < 2 || fuzz_corpus_read(argv[1], &corpus) != PARTITA_OK) {
        fprintf(stderr, "fuzz_operators: %s\n", argc < 2 ? "which file of seeds?" : partita_last_error());
        return 2;
    }
    setenv("PARTITA_LOG", "off", 0);
    fuzz_options options = {.corpus = &corpus,
                            .seed = number_of(argc, argv, "--seed", 1),
                            .first = number_of(argc, argv, "--first", 0),
                            .count = number_of(argc, argv, "--cases", 1000),
                            .batch = (uint32_t)number_of(argc, argv, "--batch", 250),
                            .jobs = (uint32_t)number_of(argc, argv, "--jobs", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN)),
                            .limit_s = (uint32_t)number_of(argc, argv, "--limit", 10),
                            .device = text_of(argc, argv, "--device"),
                            .only = text_of(argc, argv, "--op"),
                            .verbose = flag_of(argc, argv, "--verbose"),
                            .leaks = flag_of(argc, argv, "--leaks")};
    int code = 0;
    if (flag_of(argc, argv, "--case"))
        code = one_case(&options, number_of(argc, argv, "--case", 0), text_of(argc, argv, "--write"));
    else
        code = fuzz_watch(&options) ? 1 : 0;
    fuzz_corpus_deinit(&corpus);
    return code;
}
