/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node computed at load: a program of one step on one device, run once.
 */
#include "run/fold.h"
#include "run/run.h"

/* Everything that the executor wants around one step. */
typedef struct folder {
    partita_session session;
    pt_plan plan;
    pt_plan_cluster cluster;
    pt_build build;
    pt_place host;
    pt_part *part;
    pt_program *program;
    pt_request request;
} folder;

static partita_status make_program(folder *f) {
    pt_program *program = pt_calloc(1, sizeof(*program));
    if (!program) return PT_OUT_OF_MEMORY();
    f->program = program;
    pthread_mutex_init(&program->lock, NULL);
    program->build = &f->build;
    size_t values = f->build.model->values.size;
    program->slot_of = pt_calloc(values + 1, sizeof(uint32_t));
    program->outputs = pt_arena_array(&program->arena, f->part->output_count + 1, sizeof(uint32_t));
    if (!program->slot_of || !program->outputs) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < values; i++) program->slot_of[i] = PT_NONE;
    PT_TRY(pt_program_add_launch(program, f->part));
    for (uint32_t i = 0; i < f->part->output_count; i++) {
        uint32_t slot = program->steps.data[0].outputs[i];
        program->slots.data[slot].arena = false;
        program->slots.data[slot].output = i;
        program->outputs[program->output_count++] = slot;
    }
    return pt_program_finish(program);
}

static partita_status run_program(folder *f, partita_value **results) {
    pt_frame *frame;
    partita_status status = PARTITA_OK;
    PT_TRY(pt_frame_acquire(&f->request, f->program, NULL, &frame));
    PT_CHECK(pt_frame_bind(frame, NULL, 0));
    PT_CHECK(pt_frame_run(frame));
    PT_CHECK(pt_frame_outputs(frame, results));
out:
    pt_frame_release(frame, status != PARTITA_OK);
    return status;
}

partita_status pt_fold_node(pt_device *device, pt_model *model, pt_id node, partita_value **outputs) {
    const pt_node *n = &model->nodes.data[node];
    partita_status status = PARTITA_OK;
    size_t symbols = model->symbols.rows.size;
    folder *f = pt_calloc(1, sizeof(*f));
    partita_value **results = pt_calloc(n->output_count + 1, sizeof(*results));
    pt_id *ports = pt_calloc(n->output_count + 1, sizeof(*ports));
    int64_t *values = pt_calloc(symbols + 1, sizeof(*values));
    if (!f || !results || !ports || !values) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    pthread_mutex_init(&f->request.lock, NULL);
    pt_spender_init(&f->request.spender, NULL);
    pthread_mutex_init(&f->session.lock, NULL);
    f->session.max_shapes_bytes = UINT64_MAX;
    f->host = (pt_place){.domain = PTP_DOMAIN_HOST};
    f->request.session = &f->session;
    for (size_t i = 0; i < symbols; i++) values[i] = PT_DIM_UNKNOWN;
    pt_symbols_evaluate(&model->symbols, values);
    if (device->has_memory) {
        status = pt_fail(PARTITA_UNSUPPORTED, "%s does not work in host memory", device->name);
        goto out;
    }
    f->cluster = (pt_plan_cluster){.graph = n->graph, .nodes = &node, .node_count = 1, .outputs = ports};
    for (uint32_t i = 0; i < n->output_count; i++)
        if (n->outputs[i] != PT_NONE) ports[f->cluster.output_count++] = n->outputs[i];
    f->plan = (pt_plan){.model = model,
                        .devices = &device,
                        .device_count = 1,
                        .symbol_values = values,
                        .clusters = &f->cluster,
                        .cluster_count = 1};
    f->build = (pt_build){.session = &f->session,
                          .model = model,
                          .plan = &f->plan,
                          .places = &f->host,
                          .place_count = 1,
                          .import_alignment = 64};
    ptp_job job = {0};
    PT_CHECK(pt_part_create(&f->plan, 0, &job, &f->part));
    PT_CHECK(make_program(f));
    PT_CHECK(run_program(f, results));
    for (uint32_t i = 0, at = 0; i < n->output_count; i++) {
        outputs[i] = NULL;
        if (n->outputs[i] == PT_NONE) continue;
        outputs[i] = results[at];
        results[at++] = NULL;
    }
out:
    for (uint32_t i = 0; results && i < n->output_count; i++) partita_value_release(results[i]);
    if (f) {
        pt_program_destroy(f->program);
        pt_part_destroy(f->part);
        pt_spender_deinit(&f->request.spender);
        pthread_mutex_destroy(&f->request.lock);
        pthread_mutex_destroy(&f->session.lock);
    }
    pt_free(values);
    pt_free(ports);
    pt_free(results);
    pt_free(f);
    return status;
}
