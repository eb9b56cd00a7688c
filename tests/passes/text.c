/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of model texts: one line at a time; indentation tells which graph a line belongs to.
 */
#include "passes/text.h"

#include <ctype.h>
#include <partita/plugin.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_DEPTH = 8, MAX_ITEMS = 64 };

typedef struct level {
    pt_id graph, last_node;
    uint32_t bodies; /* of last_node, that have been read */
    uint32_t node_count;
} level;

typedef struct parser {
    pt_model *model;
    const char *at;
    int line, depth;
    int32_t version;
    level levels[MAX_DEPTH];
} parser;

#define BAD(p, what) pt_fail(PARTITA_BAD_INPUT, "line %d: %s at '%.20s'", (p)->line, (what), (p)->at)

static void skip(parser *p) {
    while (*p->at == ' ') p->at++;
}

static bool eat(parser *p, const char *token) {
    skip(p);
    size_t size = strlen(token);
    if (strncmp(p->at, token, size) != 0) return false;
    p->at += size;
    return true;
}

static partita_str word(parser *p) {
    skip(p);
    const char *begin = p->at;
    while (isalnum((unsigned char)*p->at) || (*p->at && strchr("_%./$?!", *p->at))) p->at++;
    return (partita_str){begin, (size_t)(p->at - begin)};
}

static partita_status quoted(parser *p, partita_str *out) {
    if (!eat(p, "\"")) return BAD(p, "no text");
    const char *end = strchr(p->at, '"');
    if (!end) return BAD(p, "text without end");
    *out = (partita_str){p->at, (size_t)(end - p->at)};
    p->at = end + 1;
    return PARTITA_OK;
}

/* The newest value of this name, looked for outwards. */
static pt_id find(parser *p, partita_str name) {
    for (size_t i = p->model->values.size; i-- > 0;) {
        const pt_value *value = &p->model->values.data[i];
        if (pt_str_equal(value->name, name) && pt_value_visible(p->model, (pt_id)i, p->levels[p->depth].graph)) {
            return (pt_id)i;
        }
    }
    return PT_NONE;
}

static partita_status parse_type(parser *p, pt_type *out, pt_dim *dims) {
    *out = (pt_type){.kind = PARTITA_KIND_TENSOR, .rank = -1, .dims = dims};
    partita_str name = word(p);
    out->dtype = pt_dtype_from_name(name);
    if (out->dtype == PARTITA_UNDEFINED) return BAD(p, "no element type");
    if (!eat(p, "[")) return PARTITA_OK;
    out->rank = 0;
    while (!eat(p, "]")) {
        skip(p);
        if (isdigit((unsigned char)*p->at)) {
            char *end;
            dims[out->rank] = strtoll(p->at, &end, 10);
            p->at = end;
        } else {
            partita_str dim = pt_arena_str(&p->model->arena, word(p));
            PT_TRY(pt_dim_named(&p->model->symbols, dim, &dims[out->rank]));
        }
        out->rank++;
        eat(p, ",");
    }
    return PARTITA_OK;
}

static partita_status parse_input(parser *p) {
    partita_str name = word(p);
    pt_type type;
    pt_dim dims[MAX_ITEMS];
    pt_id value, graph = p->levels[p->depth].graph;
    if (!eat(p, ":")) return BAD(p, "no type");
    PT_TRY(parse_type(p, &type, dims));
    PT_TRY(pt_model_add_value(p->model, graph, name, &type, &value));
    return pt_graph_add_input(p->model, graph, value);
}

/* Numbers in braces; fewer than the type needs are repeated. */
static partita_status parse_tensor(parser *p, const pt_type *type, pt_tensor **out) {
    int64_t dims[MAX_ITEMS];
    uint64_t count, bytes, given = 0;
    double numbers[MAX_ITEMS];
    for (int32_t i = 0; i < type->rank; i++) dims[i] = type->dims[i];
    if (!eat(p, "{") || !pt_dims_count(dims, (uint32_t)type->rank, &count)) return BAD(p, "no numbers");
    while (!eat(p, "}")) {
        char *end;
        numbers[given++] = strtod(p->at, &end);
        if (end == p->at) return BAD(p, "no number");
        p->at = end;
        eat(p, ",");
    }
    pt_weight *weight = NULL;
    if (!pt_dtype_bytes(type->dtype, count, &bytes)) return BAD(p, "no size");
    char *data = pt_calloc(1, bytes ? (size_t)bytes : 1);
    if (!data) return PT_OUT_OF_MEMORY();
    for (uint64_t i = 0; i < count && given; i++) {
        double number = numbers[i % given];
        if (type->dtype == PARTITA_FLOAT32) ((float *)data)[i] = (float)number;
        if (type->dtype == PARTITA_FLOAT64) ((double *)data)[i] = number;
        if (type->dtype == PARTITA_INT64) ((int64_t *)data)[i] = (int64_t)number;
        if (type->dtype == PARTITA_INT32) ((int32_t *)data)[i] = (int32_t)number;
        if (bytes == count) data[i] = (char)(int)number;
    }
    PT_TRY(pt_weight_create_owned(data, bytes, &weight));
    return pt_model_add_tensor(p->model, type->dtype, (uint32_t)type->rank, dims, weight, out);
}

static partita_status parse_constant(parser *p) {
    partita_str name = word(p);
    pt_type type;
    pt_dim dims[MAX_ITEMS];
    pt_id value;
    pt_tensor *tensor;
    if (!eat(p, ":")) return BAD(p, "no type");
    PT_TRY(parse_type(p, &type, dims));
    if (!eat(p, "=")) return BAD(p, "no numbers");
    PT_TRY(parse_tensor(p, &type, &tensor));
    PT_TRY(pt_model_add_value(p->model, p->levels[p->depth].graph, name, NULL, &value));
    return pt_value_set_constant(p->model, value, tensor);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static bool is_float(const char *text) {
    size_t size = strspn(text, "-+0123456789.e");
    return memchr(text, '.', size) != NULL;
}

static partita_status parse_list(parser *p, pt_attribute *out) {
    int64_t *ints = pt_arena_array(&p->model->arena, MAX_ITEMS, sizeof *ints);
    float *floats = pt_arena_array(&p->model->arena, MAX_ITEMS, sizeof *floats);
    if (!ints || !floats) return PT_OUT_OF_MEMORY();
    out->type = PTP_ATTRIBUTE_INTS;
    out->count = 0;
    while (!eat(p, "]")) {
        char *end;
        if (is_float(p->at)) out->type = PTP_ATTRIBUTE_FLOATS;
        floats[out->count] = strtof(p->at, NULL);
        ints[out->count++] = strtoll(p->at, &end, 10);
        if (out->type == PTP_ATTRIBUTE_FLOATS) strtof(p->at, &end);
        p->at = end;
        eat(p, ",");
    }
    if (out->type == PTP_ATTRIBUTE_FLOATS) {
        out->floats = floats;
    } else {
        out->ints = ints;
    }
    return PARTITA_OK;
}

static partita_status parse_attribute(parser *p, pt_id node) {
    pt_attribute a = {.count = 1};
    char *end;
    a.name = pt_arena_str(&p->model->arena, word(p));
    if (!eat(p, "=")) return BAD(p, "no value");
    skip(p);
    if (*p->at == '"') {
        a.type = PTP_ATTRIBUTE_STRING;
        PT_TRY(quoted(p, &a.s));
        a.s = pt_arena_str(&p->model->arena, a.s);
    } else if (eat(p, "[")) {
        PT_TRY(parse_list(p, &a));
    } else if (eat(p, "graph")) {
        /* Filled in when the body's lines come. */
        pt_id *graphs = pt_arena_alloc(&p->model->arena, sizeof *graphs);
        if (!graphs) return PT_OUT_OF_MEMORY();
        *graphs = PT_NONE;
        a.type = PTP_ATTRIBUTE_GRAPH;
        a.graphs = graphs;
    } else if (is_float(p->at)) {
        a.type = PTP_ATTRIBUTE_FLOAT;
        a.f = strtof(p->at, &end);
        p->at = end;
    } else {
        a.type = PTP_ATTRIBUTE_INT;
        a.i = strtoll(p->at, &end, 10);
        p->at = end;
    }
    return pt_node_set_attribute(p->model, node, &a);
}

static partita_status parse_source(parser *p, pt_id node, partita_str op, partita_str domain) {
    char number[64];
    level *here = &p->levels[p->depth];
    partita_str name;
    uint32_t source;
    if (eat(p, "<-")) {
        PT_TRY(quoted(p, &name));
    } else {
        snprintf(number, sizeof number, "#%u:%.*s", here->node_count, PT_STR_ARG(op));
        name = pt_str(number);
    }
    here->node_count++;
    PT_TRY(pt_model_add_source(p->model, name, op, domain, &source));
    return pt_node_add_source(p->model, node, source);
}

static partita_status parse_node(parser *p) {
    pt_id inputs[MAX_ITEMS], outputs[MAX_ITEMS], node;
    uint32_t input_count = 0, output_count = 0;
    level *here = &p->levels[p->depth];
    partita_str name, domain = PT_STR("");
    do {
        outputs[output_count] = PT_NONE;
        if (!eat(p, "-")) {
            name = word(p);
            if (name.size == 0) return BAD(p, "no name");
            PT_TRY(pt_model_add_value(p->model, here->graph, name, NULL, &outputs[output_count]));
        }
        output_count++;
    } while (eat(p, ","));
    if (!eat(p, "=")) return BAD(p, "no operator");
    partita_str op = word(p);
    for (size_t i = op.size; i-- > 0;) {
        if (op.data[i] != '.') continue;
        domain = (partita_str){op.data, i};
        op = (partita_str){op.data + i + 1, op.size - i - 1};
        break;
    }
    if (!eat(p, "(")) return BAD(p, "no inputs");
    while (!eat(p, ")")) {
        inputs[input_count] = PT_NONE;
        if (!eat(p, "-")) {
            name = word(p);
            inputs[input_count] = find(p, name);
            if (inputs[input_count] == PT_NONE) return BAD(p, "unknown input");
        }
        input_count++;
        eat(p, ",");
    }
    PT_TRY(pt_model_add_node(p->model, here->graph, op, domain, p->version, inputs, input_count, outputs, output_count,
                             &node));
    here->last_node = node;
    here->bodies = 0;
    if (eat(p, "{")) {
        while (!eat(p, "}")) {
            PT_TRY(parse_attribute(p, node));
            eat(p, ",");
        }
    }
    return parse_source(p, node, op, domain);
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static partita_status parse_graph(parser *p, int depth) {
    pt_id parent = PT_NONE, graph;
    partita_str name;
    PT_TRY(quoted(p, &name));
    if (depth > 0) parent = p->levels[depth - 1].last_node;
    PT_TRY(pt_model_add_graph(p->model, name, parent, &graph));
    p->depth = depth;
    p->levels[depth] = (level){.graph = graph};
    if (parent == PT_NONE) return PARTITA_OK;
    const pt_node *node = pt_node_at(p->model, parent);
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        if (node->attributes[i].type != PTP_ATTRIBUTE_GRAPH || node->attributes[i].graphs[0] != PT_NONE) continue;
        pt_id *graphs = pt_arena_alloc(&p->model->arena, sizeof *graphs);
        if (!graphs) return PT_OUT_OF_MEMORY();
        *graphs = graph;
        node->attributes[i].graphs = graphs;
        return PARTITA_OK;
    }
    return BAD(p, "a body too many");
}

/* A graph's header stands four blanks further in than that of the graph around it, its lines two more. */
static partita_status parse_line(parser *p) {
    int blanks = (int)strspn(p->at, " ");
    int depth = blanks / 4;
    if (!p->at[blanks]) return PARTITA_OK;
    if (depth >= MAX_DEPTH) return BAD(p, "too deep");
    p->at += blanks;
    if (blanks % 4 == 0) { return eat(p, "graph ") ? parse_graph(p, depth) : BAD(p, "no graph"); }
    p->depth = depth;
    if (eat(p, "input ")) return parse_input(p);
    if (eat(p, "constant ")) return parse_constant(p);
    if (eat(p, "output ")) {
        pt_id value = find(p, word(p));
        return value == PT_NONE ? BAD(p, "unknown output")
                                : pt_graph_add_output(p->model, p->levels[depth].graph, value);
    }
    return parse_node(p);
}

partita_status text_parse(const char *text, int32_t version, pt_model **out_model) {
    parser p = {.version = version};
    char line[1024];
    PT_TRY(pt_model_create(&p.model));
    partita_status status = PARTITA_OK;
    while (*text && status == PARTITA_OK) {
        size_t size = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)size, text);
        p.at = line;
        p.line++;
        status = parse_line(&p);
        if (status == PARTITA_OK && *p.at && strspn(p.at, " ") != strlen(p.at)) status = BAD(&p, "too much");
        text += size + (text[size] == '\n');
    }
    if (status == PARTITA_OK) status = pt_model_sort(p.model);
    if (status == PARTITA_OK) status = pt_model_validate(p.model);
    if (status != PARTITA_OK) {
        pt_model_destroy(p.model);
        return status;
    }
    *out_model = p.model;
    return PARTITA_OK;
}
