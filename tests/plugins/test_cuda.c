/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA plugin on a machine without a GPU: it loads, and says what is missing. With one, device_cases judges it. */
#include "plugins/opencl/fake_host.h"

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static void test_absent_or_open(void **state) {
    (void)state;
    fake_host fake;
    fake_host_init(&fake);
    partita_status status = fake_host_start(&fake, "cuda");
    if (status == PARTITA_DEVICE_ABSENT) {
        assert_non_null(fake.info);
        assert_non_null(strstr(fake.message, "libcuda.so.1"));
        assert_int_equal(fake.live, 0);
        return;
    }
    if (status != PARTITA_OK) fail_msg("%s", fake.message);
    ptp_device *device = NULL;
    ptp_device_info info = {.size = sizeof(info)};
    assert_int_equal(fake.info->plugin->open(fake.plugin, 0, NULL, 0, &device), PARTITA_OK);
    assert_int_equal(fake.info->device->info(device, &info), PARTITA_OK);
    assert_string_equal(info.kind, "cuda");
    fake.info->plugin->close(device);
    assert_int_equal(fake.info->plugin->stop(fake.plugin), PARTITA_OK);
    assert_int_equal(fake.live, 0);
}

/* The k-th allocation of the start fails: an error or the same answer, and nothing is left. */
static void test_failing_allocations(void **state) {
    (void)state;
    for (int64_t k = 0; k < 4; k++) {
        fake_host fake;
        fake_host_init(&fake);
        fake.fail_after = k;
        partita_status status = fake_host_start(&fake, "cuda");
        if (status == PARTITA_OK) fake.info->plugin->stop(fake.plugin);
        assert_int_equal(fake.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent_or_open),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
