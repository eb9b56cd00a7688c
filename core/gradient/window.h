/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What derivatives of convolutions and of pooling share: where windows lie. Sizes of images are vectors of int64 that
 * nodes compute.
 */
#ifndef PT_GRADIENT_WINDOW_H
#define PT_GRADIENT_WINDOW_H

#include "gradient/build.h"

typedef struct pt_grad_window {
    pt_grad *g;
    pt_id node;
    uint32_t spatial;
    int64_t strides[PT_GRAD_RANK_MAX], dilations[PT_GRAD_RANK_MAX];
    pt_id kernel; /* vector */
} pt_grad_window;

/* `kernel`: vector of its sizes. */
void pt_grad_window_make(pt_grad_site *site, pt_id kernel, pt_grad_window *out_window);
/* From sizes of what windows step over (`wide`) and of what has one element a window (`steps`): the padding in front.
 */
pt_id pt_grad_window_front(const pt_grad_window *w, pt_id wide, pt_id steps);
/* The extent that windows at `steps` places cover. */
pt_id pt_grad_window_extent(const pt_grad_window *w, pt_id steps);
/* `value` padded with zeros, or cropped where negative: `front` in front, up to `size` in all. */
pt_id pt_grad_window_fit(const pt_grad_window *w, pt_id value, pt_id front, pt_id size);
/* Sizes of the spatial dims. */
pt_id pt_grad_window_sizes(const pt_grad_window *w, pt_id value);
/* Conv and ConvTranspose without padding; `swap`: strides for dilations and the other way round. */
pt_id pt_grad_window_run(const pt_grad_window *w, const char *op, pt_id x, pt_id weights, int64_t group, bool swap);

#endif
