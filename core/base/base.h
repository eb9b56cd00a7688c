/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every room of the core stands on: status with message, checked arithmetic, host memory, strings, arrays.
 * The only header outside plugins' kernels that uses compiler extensions.
 */
#ifndef PT_BASE_BASE_H
#define PT_BASE_BASE_H

#include <partita/types.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define PT_NONE UINT32_MAX

#define PT_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#define PT_MUST_USE                    __attribute__((warn_unused_result))
#define PT_THREAD_LOCAL                _Thread_local
#define PT_COUNT_OF(array)             (sizeof(array) / sizeof((array)[0]))
#define PT_MIN(a, b)                   ((a) < (b) ? (a) : (b))
#define PT_MAX(a, b)                   ((a) > (b) ? (a) : (b))
#define PT_UNUSED(x)                   ((void)(x))

/* Tells the core that this is a spin loop. */
static inline void pt_cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- status ---------------------------------------------------------------------------------- */

/* Sets this thread's message and returns `code`. The message is one line, impersonal, without a final dot. */
partita_status pt_fail(partita_status code, const char *format, ...) PT_PRINTF(2, 3);
/* Puts "text: " in front of this thread's message; returns `code` unchanged. For use while unwinding. */
partita_status pt_annotate(partita_status code, const char *format, ...) PT_PRINTF(2, 3);
/* This thread's message of the last failure; "" when there was none. Valid until the next failure on this thread. */
const char *pt_last_message(void);
/* Sets the message as it is (a message that came from another thread or from a plugin). */
partita_status pt_fail_copy(partita_status code, const char *message);
void pt_clear_message(void);
const char *pt_status_text(partita_status code);
/* False for a number from a plugin that is no row of PARTITA_STATUS_ROWS. */
bool pt_status_is_valid(partita_status code);
/* Exit code of the command for a status. */
int pt_status_exit_code(partita_status code);
#define PT_OUT_OF_MEMORY() pt_fail(PARTITA_OUT_OF_MEMORY, "out of memory")

/* Returns from the enclosing function when `expr` fails. */
#define PT_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        partita_status pt_try_status_ = (expr);                                                                        \
        if (pt_try_status_ != PARTITA_OK) return pt_try_status_;                                                       \
    } while (0)
/* Jumps to `out:` with `status` set when `expr` fails. */
#define PT_CHECK(expr)                                                                                                 \
    do {                                                                                                               \
        if ((status = (expr)) != PARTITA_OK) goto out;                                                                 \
    } while (0)

/* ---- checked arithmetic ---------------------------------------------------------------------- */

static inline bool pt_mul_u64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool pt_add_u64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool pt_mul_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool pt_add_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool pt_sub_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_sub_overflow(a, b, out); }
static inline bool pt_mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool pt_add_size(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
/* Rounds up to a power of two; false on overflow. */
static inline bool pt_align_u64(uint64_t value, uint64_t alignment, uint64_t *out) {
    if (!pt_add_u64(value, alignment - 1, out)) return false;
    *out &= ~(alignment - 1);
    return true;
}

/* ---- element types --------------------------------------------------------------------------- */

/* Bits of one element; 0 for strings and for numbers that are no dtype. */
uint32_t pt_dtype_bits(partita_dtype dtype);
/* "float32"; "undefined" for numbers that are no dtype. */
const char *pt_dtype_name(partita_dtype dtype);
/* The dtype with this printed name; PARTITA_UNDEFINED when there is none. */
partita_dtype pt_dtype_from_name(partita_str name);
/* Elements of a shape; false when a dim is negative or the product exceeds INT64_MAX. Rank 0 has one
 * element. */
bool pt_dims_count(const int64_t *dims, uint32_t rank, uint64_t *out_count);
/* Bytes of `count` packed elements; false for strings and for more than INT64_MAX bytes. */
bool pt_dtype_bytes(partita_dtype dtype, uint64_t count, uint64_t *out_bytes);

/* ---- memory ---------------------------------------------------------------------------------- */

/*
 * All memory of the core comes from here, so that tests can make the k-th allocation fail. NULL on failure, without a
 * message: callers return PT_OUT_OF_MEMORY(). Thread-safe.
 */
void *pt_malloc(size_t bytes);
void *pt_calloc(size_t count, size_t bytes);
/* As realloc for `count` items of `bytes`; NULL on overflow too, the old block stays valid. */
void *pt_realloc_array(void *old, size_t count, size_t bytes);
/* `alignment`: a power of two. Freed by pt_free. */
void *pt_malloc_aligned(size_t bytes, size_t alignment);
void pt_free(void *block);
/* Test hook: after `k` more successful allocations one fails (`once`) or all fail. k < 0 switches it off. */
void pt_alloc_fail_after(int64_t k, bool once);
/* Allocations asked for since the last pt_alloc_fail_after. */
uint64_t pt_alloc_count(void);
/* Allocations of the process that failed so far: tells the host's own want of memory from that of a device. */
uint64_t pt_alloc_failures(void);

/*
 * Arena: bump allocation, freed as a whole. Not thread-safe. {0} is an empty arena.
 */
typedef struct pt_arena {
    struct pt_arena_block *blocks;
    size_t bytes; /* handed out in all */
} pt_arena;
void pt_arena_deinit(pt_arena *arena);
/* Zeroed, aligned to 16 bytes. NULL on failure. */
void *pt_arena_alloc(pt_arena *arena, size_t bytes);
void *pt_arena_array(pt_arena *arena, size_t count, size_t bytes);
/* A terminated copy; its `data` is NULL on failure. */
partita_str pt_arena_str(pt_arena *arena, partita_str text);
partita_str pt_arena_printf(pt_arena *arena, const char *format, ...) PT_PRINTF(2, 3);

/* ---- strings --------------------------------------------------------------------------------- */

#define PT_STR(literal) ((partita_str){(literal), sizeof(literal) - 1})
#define PT_STR_ARG(s)   (int)(s).size, ((s).data ? (s).data : "") /* for "%.*s" */
static inline partita_str pt_str(const char *text) { return (partita_str){text, text ? strlen(text) : 0}; }
static inline bool pt_str_equal(partita_str a, partita_str b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
static inline bool pt_str_is(partita_str a, const char *b) { return pt_str_equal(a, pt_str(b)); }
uint64_t pt_hash_bytes(const void *data, size_t size, uint64_t seed);
/* splitmix64, of a counter or a key: well mixed, no secret, and the same on every machine. */
static inline uint64_t pt_mix(uint64_t z) {
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
static inline uint64_t pt_random(uint64_t *state) { return pt_mix(*state += UINT64_C(0x9e3779b97f4a7c15)); }

/* A growing text. {0} is empty. After a failed append `failed` stays set and further appends do nothing. */
typedef struct pt_text {
    char *data; /* terminated; NULL when empty */
    size_t size, capacity;
    bool failed;
} pt_text;
void pt_text_deinit(pt_text *text);
void pt_text_append(pt_text *text, partita_str piece);
/* With '?' for each byte that is no UTF-8: names of hostile models. `shown`: and a space for each control character, so
 * that a name neither breaks a line nor speaks to a terminal. */
void pt_text_append_clean(pt_text *text, partita_str piece, bool shown);
/* The same into `capacity` bytes, terminated; what does not fit is left out at a character's end. */
void pt_str_show(partita_str text, char *out, size_t capacity);
void pt_text_printf(pt_text *text, const char *format, ...) PT_PRINTF(2, 3);

/* ---- arrays ---------------------------------------------------------------------------------- */

/* A growing array: PT_ARRAY(uint32_t) ids = {0}; pt_array_push(&ids, 3) is false when memory is out. */
#define PT_ARRAY(type)                                                                                                 \
    struct {                                                                                                           \
        type *data;                                                                                                    \
        size_t size, capacity;                                                                                         \
    }
bool pt_array_grow(void *data_pointer, size_t *capacity, size_t need, size_t item_bytes);
#define pt_array_reserve(array, need)                                                                                  \
    ((need) <= (array)->capacity || pt_array_grow(&(array)->data, &(array)->capacity, (need), sizeof(*(array)->data)))
#define pt_array_push(array, ...)                                                                                      \
    (pt_array_reserve((array), (array)->size + 1) ? ((array)->data[(array)->size++] = (__VA_ARGS__), true) : false)
#define pt_array_deinit(array) (pt_free((array)->data), (array)->data = NULL, (array)->size = (array)->capacity = 0)

/* Map from bytes to uint32_t. Keys are borrowed and must outlive the map. {0} is empty. */
typedef struct pt_map {
    struct pt_map_slot *slots;
    size_t size, capacity;
} pt_map;
void pt_map_deinit(pt_map *map);
/* Inserts or overwrites. False when memory is out. */
bool pt_map_put(pt_map *map, partita_str key, uint32_t value);
/* PT_NONE when absent. */
uint32_t pt_map_get(const pt_map *map, partita_str key);

/* ---- log, time ------------------------------------------------------------------------------- */

typedef void (*pt_log_fn)(void *user, int32_t level, const char *message);
/* Where the messages of one context go. Constant, and outlives whoever logs through it. */
typedef struct pt_log_sink {
    pt_log_fn fn; /* NULL: where those of the process go */
    void *user;
} pt_log_sink;
/* Messages of the process, which belong to no context. NULL: warnings and errors to stderr
 * (PARTITA_LOG=debug|info|warning|error|off). Thread-safe. */
void pt_log_set(pt_log_fn fn, void *user);
void pt_log(int32_t level, const char *format, ...) PT_PRINTF(2, 3);
/* Where a context is known. sink NULL: as pt_log. The callback may be in several calls at once. Thread-safe. */
void pt_log_to(const pt_log_sink *sink, int32_t level, const char *format, ...) PT_PRINTF(3, 4);
/* Monotonic nanoseconds. */
uint64_t pt_now_ns(void);
/* Nanoseconds that this thread computed: what a piece of work costs, however busy the machine is. */
uint64_t pt_thread_ns(void);
/* getenv; in privileged processes NULL for all but PARTITA_LOG. */
const char *pt_env(const char *name);

#endif
