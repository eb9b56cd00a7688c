/* SPDX-License-Identifier: Apache-2.0 */
/* Every operator of the OpenCL plugin against plain C, in both forms of the kernels. Needs a driver; without one it
 * skips. */
#include "plugins/opencl/run_part.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "skip.h"

static const struct {
    const trial_case *cases;
    const unsigned *count;
} families[] = {
    {cases_elementwise, &cases_elementwise_count},
    {cases_move, &cases_move_count},
    {cases_compute, &cases_compute_count},
};

static void run_case(fake_host *fake, ptp_device *device, const trial_case *one) {
    trial *t = malloc(sizeof(*t));
    part_run *run = malloc(sizeof(*run));
    void *results[BB_MAX] = {NULL};
    trial_init(t);
    one->build(t);
    bb_finish(&t->block);
    if (part_ask(fake, device, t) != PARTITA_OK || part_compile(fake, device, t, run) != PARTITA_OK) {
        fail_msg("%s: %s", one->name, fake->message);
    }
    for (uint32_t i = 0; i < t->block.output_count; i++) results[i] = calloc(t->elements[t->block.outputs[i]] + 1, 8);
    if (part_exec(fake, device, t, run, results) != PARTITA_OK) fail_msg("%s: %s", one->name, fake->message);
    for (uint32_t i = 0; i < t->block.output_count; i++) {
        uint32_t id = t->block.outputs[i];
        int64_t at = part_difference(t, id, results[i]);
        if (at >= 0 && t->block.values[id].dtype == PARTITA_FLOAT32) {
            fail_msg("%s: output %u, element %lld: %g, not %g", one->name, i, (long long)at,
                     (double)((float *)results[i])[at], (double)FLOATS(id)[at]);
        } else if (at >= 0) {
            fail_msg("%s: output %u, element %lld differs", one->name, i, (long long)at);
        }
        free(results[i]);
    }
    part_free(fake, device, t, run);
    trial_free(t);
    free(run);
    free(t);
}

static void run_form(const char *form) {
    fake_host fake;
    ptp_device *device = NULL;
    fake_host_init(&fake);
    partita_status status = fake_host_start(&fake, "opencl");
    if (status == PARTITA_DEVICE_ABSENT) SKIP_BECAUSE("driver:opencl", "%s", fake.message);
    if (status != PARTITA_OK) fail_msg("%s", fake.message);
    const ptp_option option = {"kernels", form};
    assert_int_equal(fake.info->plugin->open(fake.plugin, 0, &option, 1, &device), PARTITA_OK);
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        for (unsigned i = 0; i < *families[f].count; i++) run_case(&fake, device, &families[f].cases[i]);
    }
    fake.info->plugin->close(device);
    assert_int_equal(fake.info->plugin->stop(fake.plugin), PARTITA_OK);
    assert_int_equal(fake.live, 0);
}

static void host_form(void **state) {
    (void)state;
    run_form("host");
}
static void device_form(void **state) {
    (void)state;
    run_form("device");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(host_form), cmocka_unit_test(device_form)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
