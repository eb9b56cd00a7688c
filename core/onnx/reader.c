/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading: open, scan, unpack, import, sort.
 */
#include "onnx/reader.h"
#include "onnx/import.h"
#include "onnx/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { OLDEST_IR = 3, NEWEST_IR = 14 };

partita_status pt_importer_charge(pt_importer *importer, uint64_t bytes) {
    if (bytes > importer->left) return pt_fail(PARTITA_OVER_BUDGET, "the model grows beyond the budget of the load");
    importer->left -= bytes;
    return PARTITA_OK;
}

static partita_status copy_text(pt_model *model, const char *text, partita_str *out) {
    if (!text || !*text) return PARTITA_OK;
    *out = pt_arena_str(&model->arena, pt_str(text));
    return out->data ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status import_opsets(pt_model *model, const Onnx__ModelProto *proto) {
    if (proto->n_opset_import > PT_IMPORT_MANY) {
        return pt_fail(PARTITA_BAD_MODEL, "more than %d operator sets are imported", PT_IMPORT_MANY);
    }
    for (size_t i = 0; i < proto->n_opset_import; i++) {
        pt_opset opset = {PT_STR(""), proto->opset_import[i]->version};
        partita_str domain = pt_import_domain(proto->opset_import[i]->domain);
        if (opset.version < 1 || opset.version > INT32_MAX) {
            return pt_fail(PARTITA_BAD_MODEL, "operator set '%.*s' has version %lld", PT_STR_ARG(domain),
                           (long long)opset.version);
        }
        int64_t before = pt_model_opset(model, domain);
        if (before == opset.version) continue; /* exporters write some twice */
        if (before) {
            return pt_fail(PARTITA_BAD_MODEL, "operator set '%.*s' is imported in versions %lld and %lld",
                           PT_STR_ARG(domain), (long long)before, (long long)opset.version);
        }
        PT_TRY(copy_text(model, domain.data, &opset.domain));
        if (!pt_array_push(&model->opsets, opset)) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

static partita_status import_header(pt_model *model, const Onnx__ModelProto *proto) {
    model->ir_version = proto->ir_version;
    if (model->ir_version < OLDEST_IR || model->ir_version > NEWEST_IR) {
        return pt_fail(PARTITA_BAD_MODEL, "IR version %lld is not supported, %d to %d are",
                       (long long)model->ir_version, OLDEST_IR, NEWEST_IR);
    }
    if (!proto->graph) return pt_fail(PARTITA_BAD_MODEL, "the model has no graph");
    PT_TRY(copy_text(model, proto->producer_name, &model->producer_name));
    PT_TRY(copy_text(model, proto->producer_version, &model->producer_version));
    PT_TRY(copy_text(model, proto->graph->name, &model->graph_name));
    PT_TRY(copy_text(model, proto->doc_string, &model->doc));
    for (size_t i = 0; i < proto->n_metadata_props; i++) {
        pt_property property = {PT_STR(""), PT_STR("")};
        PT_TRY(copy_text(model, proto->metadata_props[i]->key, &property.key));
        PT_TRY(copy_text(model, proto->metadata_props[i]->value, &property.value));
        if (!pt_array_push(&model->metadata, property)) return PT_OUT_OF_MEMORY();
    }
    return import_opsets(model, proto);
}

static partita_status import_model(pt_importer *importer) {
    pt_id graph;
    PT_TRY(import_header(importer->model, importer->proto));
    PT_TRY(pt_import_index_functions(importer));
    PT_TRY(pt_import_graph(importer, NULL, importer->proto->graph, PT_NONE, PT_STR(""), &graph));
    importer->model->copied_weight_bytes = importer->origin.copied;
    /* The walk over the file left its pages with this process, and weights between them that nobody read. */
    pt_mapping_drop_pages(importer->origin.mapping);
    PT_TRY(pt_model_sort(importer->model));
#ifdef NDEBUG
    return PARTITA_OK;
#else
    return pt_model_validate(importer->model);
#endif
}

static partita_status load(pt_mapping *mapping, pt_onnx_files *files, const char *path, const pt_onnx_options *options,
                           pt_model **out_model) {
    partita_status status;
    pt_arena message_arena = {0};
    ProtobufCMessage *message = NULL;
    pt_importer importer = {.options = options, .origin = {.mapping = mapping, .files = files}};
    importer.origin.left = &importer.left;
    PT_CHECK(pt_onnx_unpack(pt_mapping_data(mapping), pt_mapping_bytes(mapping), &onnx__model_proto__descriptor,
                            options->memory_budget, &message_arena, &message, &importer.left));
    importer.proto = (const Onnx__ModelProto *)message;
    PT_CHECK(pt_model_create(&importer.model));
    PT_CHECK(copy_text(importer.model, path, &importer.model->path));
    PT_CHECK(import_model(&importer));
out:
    pt_map_deinit(&importer.functions);
    pt_text_deinit(&importer.key);
    pt_map_deinit(&importer.dim_names);
    pt_arena_deinit(&importer.scratch);
    pt_arena_deinit(&message_arena);
    if (status != PARTITA_OK) {
        pt_model_destroy(importer.model);
        return path ? pt_annotate(status, "%s", path) : status;
    }
    *out_model = importer.model;
    return PARTITA_OK;
}

partita_status pt_onnx_load_file(const char *path, const pt_onnx_options *options, pt_model **out_model) {
    static const pt_onnx_options defaults = {0};
    pt_onnx_files files = {0};
    pt_mapping *mapping = NULL;
    if (!options) options = &defaults;
    files.read = options->copy_weights;
    /* Not to wait where the path is a FIFO. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return pt_fail(PARTITA_IO, "%s: %s", path, strerror(errno));
    partita_status status = pt_mapping_open_fd(fd, path, options->copy_weights, &mapping);
    close(fd);
    if (status == PARTITA_OK) {
        status = pt_onnx_files_beside(&files, path);
        if (status) pt_annotate(status, "%s", path);
    }
    if (status == PARTITA_OK) status = load(mapping, &files, path, options, out_model);
    pt_mapping_release(mapping);
    pt_onnx_files_deinit(&files);
    return status;
}

partita_status pt_onnx_load_memory(const void *data, uint64_t size, bool copy, const char *base_folder,
                                   const pt_onnx_options *options, pt_model **out_model) {
    static const pt_onnx_options defaults = {0};
    pt_onnx_files files = {0};
    pt_mapping *mapping = NULL;
    if (!options) options = &defaults;
    files.read = options->copy_weights;
    partita_status status = pt_mapping_from_memory(data, size, copy || options->copy_weights, &mapping);
    if (status == PARTITA_OK && base_folder) status = pt_onnx_files_in(&files, base_folder);
    if (status == PARTITA_OK) status = load(mapping, &files, NULL, options, out_model);
    pt_mapping_release(mapping);
    pt_onnx_files_deinit(&files);
    return status;
}
