/* SPDX-License-Identifier: Apache-2.0 */
/* numpy's array files, read and written; archives through libzip. */
#include "npy.h"
#include "element.h"
#include "file.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <zip.h>

/* numpy's descriptions of element types, little endian. */
static const struct {
    const char *text;
    partita_dtype dtype;
} descriptions[] = {{"<f4", PARTITA_FLOAT32},   {"<f8", PARTITA_FLOAT64},    {"<f2", PARTITA_FLOAT16},
                    {"|i1", PARTITA_INT8},      {"<i2", PARTITA_INT16},      {"<i4", PARTITA_INT32},
                    {"<i8", PARTITA_INT64},     {"|u1", PARTITA_UINT8},      {"<u2", PARTITA_UINT16},
                    {"<u4", PARTITA_UINT32},    {"<u8", PARTITA_UINT64},     {"|b1", PARTITA_BOOL},
                    {"<c8", PARTITA_COMPLEX64}, {"<c16", PARTITA_COMPLEX128}};

void tool_values_deinit(tool_values *values) {
    for (size_t i = 0; i < values->size; i++) {
        pt_free(values->data[i].name);
        partita_value_release(values->data[i].value);
    }
    pt_array_deinit(values);
}

partita_status tool_values_add(tool_values *values, const char *name, partita_value *value) {
    size_t size = strlen(name) + 1;
    char *copy = pt_malloc(size);
    if (copy) memcpy(copy, name, size);
    tool_value row = {copy, value};
    if (!copy || !pt_array_push(values, row)) {
        pt_free(copy);
        partita_value_release(value);
        return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

partita_value *tool_values_find(const tool_values *values, const char *name) {
    for (size_t i = 0; i < values->size; i++)
        if (strcmp(values->data[i].name, name) == 0) return values->data[i].value;
    return NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct npy_header {
    char description[16];
    bool fortran_order, big_endian;
    uint32_t rank;
    int64_t dims[32];
    size_t data_offset;
} npy_header;

/* The value behind 'key': in the header, a Python dictionary as text. */
static const char *header_field(const char *text, const char *key) {
    const char *at = strstr(text, key);
    if (!at) return NULL;
    at += strlen(key);
    while (*at == ' ' || *at == ':') at++;
    return at;
}

static bool parse_header(const unsigned char *data, size_t bytes, npy_header *out_header) {
    memset(out_header, 0, sizeof(*out_header));
    if (bytes < 12 || memcmp(data, "\x93NUMPY", 6) != 0) return false;
    size_t start = data[6] == 1 ? 10 : 12;
    size_t length = data[6] == 1
                        ? (size_t)data[8] | (size_t)data[9] << 8
                        : (size_t)data[8] | (size_t)data[9] << 8 | (size_t)data[10] << 16 | (size_t)data[11] << 24;
    if (length > 65536 || start + length > bytes) return false;
    char text[65537];
    memcpy(text, data + start, length);
    text[length] = '\0';
    const char *description = header_field(text, "'descr'"), *order = header_field(text, "'fortran_order'");
    const char *shape = header_field(text, "'shape'");
    if (!description || !order || !shape || *description != '\'' || *shape != '(') return false;
    size_t size = strcspn(++description, "'");
    if (size >= sizeof(out_header->description)) return false;
    memcpy(out_header->description, description, size);
    out_header->fortran_order = strncmp(order, "True", 4) == 0;
    out_header->big_endian = out_header->description[0] == '>';
    if (out_header->big_endian) out_header->description[0] = '<';
    for (shape++; *shape && *shape != ')';) {
        char *end;
        long long dim = strtoll(shape, &end, 10);
        if (end == shape || dim < 0 || out_header->rank == PT_COUNT_OF(out_header->dims)) return false;
        out_header->dims[out_header->rank++] = dim;
        shape = end;
        while (*shape == ',' || *shape == ' ' || *shape == 'L') shape++;
    }
    out_header->data_offset = start + length;
    return true;
}

/* One code point as UTF-8; returns its bytes. */
static size_t encode_utf8(uint32_t code, char *out) {
    if (code < 0x80) return out[0] = (char)code, 1;
    if (code < 0x800) return out[0] = (char)(0xc0 | code >> 6), out[1] = (char)(0x80 | (code & 63)), 2;
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12), out[1] = (char)(0x80 | (code >> 6 & 63)),
        out[2] = (char)(0x80 | (code & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | (code >> 18 & 7)), out[1] = (char)(0x80 | (code >> 12 & 63));
    out[2] = (char)(0x80 | (code >> 6 & 63)), out[3] = (char)(0x80 | (code & 63));
    return 4;
}

/* Elements of `item` bytes, each of words of `word` bytes, as the header says they lie, into row-major order with
 * little end first: an array that numpy holds transposed is saved so. Sizes were checked. */
static void reorder(const npy_header *header, const unsigned char *data, uint64_t count, size_t item, size_t word,
                    unsigned char *out) {
    int64_t at[PT_COUNT_OF(header->dims)] = {0};
    for (uint64_t i = 0; i < count; i++, out += item) {
        uint64_t from = 0;
        for (uint32_t d = header->rank; d-- > 0;) from = from * (uint64_t)header->dims[d] + (uint64_t)at[d];
        memcpy(out, data + (header->fortran_order ? from : i) * item, item);
        for (size_t k = 0; header->big_endian && k < item; k++) {
            size_t in_word = k % word, other = k - in_word + word - 1 - in_word;
            unsigned char byte = out[k];
            if (k < other) out[k] = out[other], out[other] = byte;
        }
        for (uint32_t d = header->rank; d-- > 0 && ++at[d] == header->dims[d];) at[d] = 0;
    }
}

/* '<U7': each element 7 code points of 4 bytes, padded with zeros. */
static partita_status parse_unicode(const npy_header *header, const unsigned char *data, uint64_t count, size_t width,
                                    partita_value **out_value) {
    partita_status status = PARTITA_OK;
    pt_arena arena = {0};
    partita_str *strings = pt_arena_array(&arena, count ? count : 1, sizeof(*strings));
    char *text = pt_arena_array(&arena, count * width + 1, 4);
    if (!strings || !text) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint64_t i = 0; i < count; i++) {
        strings[i].data = text;
        size_t used = width; /* zeros pad it at its end; within it they are characters */
        uint32_t code = 0;
        for (; used > 0 && code == 0; used -= code == 0) memcpy(&code, data + (i * width + used - 1) * 4, 4);
        for (size_t k = 0; k < used; k++) {
            memcpy(&code, data + (i * width + k) * 4, 4);
            text += encode_utf8(code, text);
        }
        strings[i].size = (size_t)(text - strings[i].data);
    }
    status = partita_value_create_strings(header->rank, header->dims, strings, out_value);
out:
    pt_arena_deinit(&arena);
    return status;
}

/* The element type of the header's description, read as `wanted` where numpy has none. */
static partita_dtype dtype_of(const npy_header *header, partita_dtype wanted, uint64_t count, size_t have) {
    partita_dtype dtype = PARTITA_UNDEFINED;
    for (size_t i = 0; i < PT_COUNT_OF(descriptions); i++)
        if (strcmp(descriptions[i].text, header->description) == 0) dtype = descriptions[i].dtype;
    /* Types that numpy has not travel as unsigned integers or raw bytes of the same width. */
    if (wanted != PARTITA_UNDEFINED && wanted != dtype && wanted != PARTITA_STRING) {
        bool carrier = dtype == PARTITA_UNDEFINED || dtype == PARTITA_UINT8 || dtype == PARTITA_UINT16;
        bool foreign = pt_dtype_bits(wanted) == 8 || pt_dtype_bits(wanted) == 16;
        if (carrier && foreign && wanted != PARTITA_INT8 && wanted != PARTITA_INT16 && wanted != PARTITA_BOOL &&
            have == count * (pt_dtype_bits(wanted) / 8))
            dtype = wanted;
    }
    return dtype;
}

partita_status tool_npy_parse(const char *name, const void *data, size_t bytes, partita_dtype wanted,
                              partita_value **out_value) {
    npy_header header;
    if (!parse_header(data, bytes, &header)) return pt_fail(PARTITA_BAD_INPUT, "%s: no numpy array", name);
    uint64_t count, need;
    if (!pt_dims_count(header.dims, header.rank, &count))
        return pt_fail(PARTITA_BAD_INPUT, "%s: shape overflows", name);
    const unsigned char *payload = (const unsigned char *)data + header.data_offset;
    size_t have = bytes - header.data_offset, item, word;
    bool unicode = strncmp(header.description, "<U", 2) == 0;
    partita_dtype dtype = unicode ? PARTITA_STRING : dtype_of(&header, wanted, count, have);
    if (unicode) {
        size_t width = strtoull(header.description + 2, NULL, 10);
        if (width > 1u << 20) return pt_fail(PARTITA_BAD_INPUT, "%s: strings of %zu characters", name, width);
        item = width * 4, word = 4;
    } else if (dtype == PARTITA_UNDEFINED) {
        return pt_fail(PARTITA_UNSUPPORTED, "%s: element type '%s'", name, header.description);
    } else {
        bool is_complex = dtype == PARTITA_COMPLEX64 || dtype == PARTITA_COMPLEX128;
        item = pt_dtype_bits(dtype) / 8, word = is_complex ? item / 2 : item;
    }
    if (!pt_mul_u64(count, item, &need) || need > have)
        return pt_fail(PARTITA_BAD_INPUT, "%s: shorter than its shape says", name);
    unsigned char *ordered = NULL;
    if (header.big_endian || (header.fortran_order && header.rank > 1)) {
        if (!(ordered = pt_malloc(need + 1))) return PT_OUT_OF_MEMORY();
        reorder(&header, payload, count, item, word, ordered);
        payload = ordered;
    }
    partita_status status = unicode ? parse_unicode(&header, payload, count, item / 4, out_value)
                                    : partita_value_create(dtype, header.rank, header.dims, payload, out_value);
    pt_free(ordered);
    return status;
}

/* libzip's words for why an archive cannot be opened. */
static partita_status zip_problem(const char *path, int code) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    partita_status status = pt_fail(PARTITA_IO, "%s: %s", path, zip_error_strerror(&error));
    zip_error_fini(&error);
    return status;
}

/* One entry, "NAME.npy". */
static partita_status read_entry(zip_t *archive, zip_uint64_t index, tool_values *out_values) {
    zip_stat_t stat;
    if (zip_stat_index(archive, index, 0, &stat) != 0)
        return pt_fail(PARTITA_IO, "entry %llu: %s", (unsigned long long)index, zip_strerror(archive));
    size_t size = strlen(stat.name);
    if (size < 5 || strcmp(stat.name + size - 4, ".npy") != 0)
        return pt_fail(PARTITA_BAD_INPUT, "entry '%s' is no array of numpy (.npy)", stat.name);
    partita_status status = PARTITA_OK;
    partita_value *value = NULL;
    zip_file_t *file = zip_fopen_index(archive, index, 0);
    char *data = pt_malloc(stat.size ? stat.size : 1), *name = pt_malloc(size);
    if (!data || !name) {
        status = PT_OUT_OF_MEMORY();
    } else if (!file || zip_fread(file, data, stat.size) != (zip_int64_t)stat.size) {
        status = pt_fail(PARTITA_IO, "entry %s cannot be read", stat.name);
    } else {
        snprintf(name, size, "%.*s", (int)(size - 4), stat.name);
        status = tool_npy_parse(stat.name, data, stat.size, PARTITA_UNDEFINED, &value);
    }
    if (status == PARTITA_OK) status = tool_values_add(out_values, name, value);
    if (file) zip_fclose(file);
    pt_free(data);
    pt_free(name);
    return status;
}

partita_status tool_npz_read(const char *path, tool_values *out_values) {
    int code = 0;
    zip_t *archive = zip_open(path, ZIP_RDONLY, &code);
    if (!archive) return zip_problem(path, code);
    partita_status status = PARTITA_OK;
    zip_int64_t entries = zip_get_num_entries(archive, 0);
    for (zip_int64_t i = 0; i < entries && status == PARTITA_OK; i++)
        status = read_entry(archive, (zip_uint64_t)i, out_values);
    zip_discard(archive);
    return status == PARTITA_OK ? status : pt_annotate(status, "%s", path);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* One code point of UTF-8; returns its bytes. What is none is U+FFFD, a byte. */
static size_t decode_one(const unsigned char *text, size_t size, uint32_t *out_code) {
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    size_t more = text[0] >= 0xf8 ? 0 : text[0] >= 0xf0 ? 3 : text[0] >= 0xe0 ? 2 : text[0] >= 0xc0 ? 1 : 0;
    uint32_t code = text[0];
    if (more) code &= 0x3fu >> more;
    for (size_t k = 1; k <= more; k++) {
        if (k >= size || (text[k] & 0xc0) != 0x80) return *out_code = 0xfffd, 1;
        code = code << 6 | (text[k] & 0x3fu);
    }
    bool good = more ? code >= smallest[more] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) : code < 0x80;
    *out_code = good ? code : 0xfffd;
    return good ? more + 1 : 1;
}

/* Code points of one UTF-8 string into `out` (may be NULL); returns their number. */
static size_t decode_utf8(const unsigned char *text, size_t size, uint32_t *out) {
    size_t count = 0;
    for (size_t i = 0; i < size; count++) {
        uint32_t code;
        i += decode_one(text + i, size - i, &code);
        if (out) out[count] = code;
    }
    return count;
}

static bool numpy_description(const partita_value_view *view, char *out, size_t capacity, size_t *out_width) {
    *out_width = 0;
    if (view->kind != PARTITA_KIND_TENSOR) return false;
    if (view->dtype == PARTITA_STRING) {
        for (uint64_t i = 0; i < view->count; i++) {
            size_t width = decode_utf8((const unsigned char *)view->data + view->offsets[i],
                                       view->offsets[i + 1] - view->offsets[i], NULL);
            *out_width = PT_MAX(*out_width, width);
        }
        *out_width = PT_MAX(*out_width, (size_t)1);
        snprintf(out, capacity, "<U%zu", *out_width);
        return true;
    }
    for (size_t i = 0; i < PT_COUNT_OF(descriptions); i++) {
        if (descriptions[i].dtype != view->dtype) continue;
        snprintf(out, capacity, "%s", descriptions[i].text);
        return true;
    }
    return false;
}

/* The file's bytes; the caller frees them with free(), as libzip does. */
static partita_status npy_bytes(const partita_value_view *view, const char *description, size_t width, char **out_data,
                                size_t *out_size) {
    pt_text header = {0};
    pt_text_printf(&header, "{'descr': '%s', 'fortran_order': False, 'shape': (", description);
    for (uint32_t i = 0; i < view->rank; i++) pt_text_printf(&header, "%lld,", (long long)view->dims[i]);
    pt_text_printf(&header, "), }");
    size_t padded = (header.size + 1 + 10 + 63) / 64 * 64 - 10, payload = view->bytes;
    bool fits = !width || (pt_mul_size(view->count, width, &payload) && pt_mul_size(payload, 4, &payload));
    char *data = header.data && fits ? calloc(1, 10 + padded + payload) : NULL; /* handed to libzip, which frees it */
    if (data) {
        char *body = data + 10 + padded;
        memcpy(data, "\x93NUMPY\x01\x00", 8);
        data[8] = (char)(padded & 255);
        data[9] = (char)(padded >> 8);
        memset(data + 10, ' ', padded);
        memcpy(data + 10, header.data, header.size);
        body[-1] = '\n';
        for (uint64_t i = 0; width && i < view->count; i++)
            decode_utf8((const unsigned char *)view->data + view->offsets[i], view->offsets[i + 1] - view->offsets[i],
                        (uint32_t *)(void *)body + i * width);
        if (!width && payload) memcpy(body, view->data, payload);
    }
    pt_text_deinit(&header);
    if (!data) return PT_OUT_OF_MEMORY();
    *out_data = data;
    *out_size = 10 + padded + payload;
    return PARTITA_OK;
}

/* An archive without an entry, of which libzip would leave no file. */
static partita_status write_empty(const char *path) {
    static const char end[22] = "PK\5\6";
    tool_file file;
    PT_TRY(tool_file_begin(path, &file));
    fwrite(end, 1, sizeof(end), file.stream);
    return tool_file_end(&file, PARTITA_OK);
}

static const char *what_of(const partita_value_view *view) {
    return view->kind == PARTITA_KIND_TENSOR ? partita_dtype_name(view->dtype) : tool_kind_name(view->kind);
}

/* Adds one value to the archive; what numpy has no type for is warned of. */
static partita_status add_entry(zip_t *archive, const char *path, const tool_value *named) {
    partita_value_view view = {.size = sizeof(view)};
    char description[32], *data = NULL;
    size_t width, size = 0;
    PT_TRY(partita_value_view_of(named->value, &view));
    if (!numpy_description(&view, description, sizeof(description), &width)) {
        pt_log(
            PARTITA_LOG_WARNING,
            "npz-cannot-hold: output '%s' (%s) has no type in numpy and is left out of %s; --outputs FILE.json holds "
            "everything",
            named->name, what_of(&view), path);
        return PARTITA_OK;
    }
    PT_TRY(npy_bytes(&view, description, width, &data, &size));
    pt_text name = {0};
    pt_text_printf(&name, "%s.npy", named->name);
    zip_source_t *source = name.data ? zip_source_buffer(archive, data, size, 1) : NULL;
    zip_int64_t index = source ? zip_file_add(archive, name.data, source, ZIP_FL_OVERWRITE | ZIP_FL_ENC_UTF_8) : -1;
    pt_text_deinit(&name);
    if (index >= 0) {
        zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_STORE, 0);
        return PARTITA_OK;
    }
    if (source)
        zip_source_free(source);
    else
        free(data);
    return pt_fail(PARTITA_IO, "%s: output '%s': %s", path, named->name, zip_strerror(archive));
}

partita_status tool_npz_write(const char *path, const tool_values *values) {
    int code = 0;
    char resolved[PATH_MAX];
    /* libzip writes beside the file and renames, which would put the file in the place of a link. */
    zip_t *archive = zip_open(realpath(path, resolved) ? resolved : path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (!archive) return zip_problem(path, code);
    partita_status status = PARTITA_OK;
    for (size_t i = 0; i < values->size && status == PARTITA_OK; i++)
        status = add_entry(archive, path, &values->data[i]);
    bool empty = zip_get_num_entries(archive, 0) == 0;
    if (status == PARTITA_OK && !empty) {
        if (zip_close(archive) == 0) return PARTITA_OK;
        status = pt_fail(PARTITA_IO, "%s: %s", path, zip_strerror(archive));
    }
    zip_discard(archive);
    return status == PARTITA_OK ? write_empty(path) : status;
}
