/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes and geometry of sliding windows: see conv.h. Kernels take the output's dims as inference gave them and
 * look up inputs only within their bounds, so no attribute can make them leave the memory.
 */
#include "cpu/kernels/conv.h"

partita_status cpu_window_attrs_read(const cpu_node *node, const ptp_host *host, cpu_window_attrs *out) {
    partita_str pad = ptp_attribute_str(node->block, &node->row, "auto_pad");
    partita_status status = cpu_ints_attr(node, host, "kernel_shape", &out->kernel);
    if (status == PARTITA_OK) status = cpu_ints_attr(node, host, "strides", &out->strides);
    if (status == PARTITA_OK) status = cpu_ints_attr(node, host, "dilations", &out->dilations);
    if (status == PARTITA_OK) status = cpu_ints_attr(node, host, "pads", &out->pads);
    if (status == PARTITA_OK) status = cpu_ints_attr(node, host, "output_padding", &out->output_padding);
    if (status == PARTITA_OK) status = cpu_ints_attr(node, host, "output_shape", &out->output_shape);
    if (status != PARTITA_OK) return status;
    out->auto_pad = CPU_PAD_NOTSET;
    if (ptp_str_is(pad, "SAME_UPPER"))
        out->auto_pad = CPU_PAD_SAME_UPPER;
    else if (ptp_str_is(pad, "SAME_LOWER"))
        out->auto_pad = CPU_PAD_SAME_LOWER;
    else if (ptp_str_is(pad, "VALID"))
        out->auto_pad = CPU_PAD_VALID;
    out->group = cpu_attr_int(node, "group", 1);
    out->ceil_mode = cpu_attr_int(node, "ceil_mode", 0) != 0;
    out->has_kernel = out->kernel.given;
    return PARTITA_OK;
}

static partita_status sizes_make(const cpu_call *call, const cpu_window_attrs *attrs, const cpu_tensor *in,
                                 const cpu_tensor *out, const int64_t *kernel_dims, cpu_window *window) {
    uint32_t spatial = in->rank >= 2 ? in->rank - 2 : 0, skip = CPU_SPATIAL - spatial;
    if (spatial < 1 || spatial > CPU_SPATIAL || out->rank != in->rank)
        return cpu_fail(call->host, PARTITA_UNSUPPORTED, "%u spatial dims, 1 to %d are implemented", spatial,
                        CPU_SPATIAL);
    window->spatial = spatial;
    window->in_size = window->out_size = window->kernel_size = 1;
    for (uint32_t i = 0; i < CPU_SPATIAL; i++) {
        bool real = i >= skip;
        uint32_t d = i - skip;
        window->in[i] = real ? in->dims[2 + d] : 1;
        window->out[i] = real ? out->dims[2 + d] : 1;
        window->kernel[i] = !real ? 1 : kernel_dims != NULL ? kernel_dims[d] : cpu_window_entry(&attrs->kernel, d, 1);
        window->stride[i] = real ? cpu_window_entry(&attrs->strides, d, 1) : 1;
        window->dilation[i] = real ? cpu_window_entry(&attrs->dilations, d, 1) : 1;
        window->pad[i] = real ? cpu_window_entry(&attrs->pads, d, 0) : 0;
        window->pad_end[i] = real ? cpu_window_entry(&attrs->pads, d + attrs->pads.count / 2, 0) : 0;
        if (window->kernel[i] < 1 || window->stride[i] < 1 || window->dilation[i] < 1 ||
            window->kernel[i] > INT32_MAX || window->stride[i] > INT32_MAX || window->dilation[i] > INT32_MAX ||
            window->pad[i] > INT32_MAX || window->pad[i] < -INT32_MAX)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "kernel, stride, dilation or pad of spatial dim %u", d);
        window->in_size *= window->in[i];
        window->out_size *= window->out[i];
        window->kernel_size *= window->kernel[i];
        if (attrs->auto_pad == CPU_PAD_VALID) window->pad[i] = window->pad_end[i] = 0;
    }
    return PARTITA_OK;
}

static void total_split(const cpu_window_attrs *attrs, int64_t total, int64_t *out_front, int64_t *out_end) {
    if (total < 0) total = 0;
    *out_front = attrs->auto_pad == CPU_PAD_SAME_UPPER ? total / 2 : total - total / 2;
    *out_end = total - *out_front;
}

partita_status cpu_window_make(const cpu_call *call, const cpu_window_attrs *attrs, const cpu_tensor *in,
                               const cpu_tensor *out, const int64_t *kernel_dims, cpu_window *window) {
    partita_status status = sizes_make(call, attrs, in, out, kernel_dims, window);
    if (status != PARTITA_OK) return status;
    if (attrs->auto_pad != CPU_PAD_SAME_UPPER && attrs->auto_pad != CPU_PAD_SAME_LOWER) return PARTITA_OK;
    for (uint32_t i = CPU_SPATIAL - window->spatial; i < CPU_SPATIAL; i++) {
        int64_t reach = window->dilation[i] * (window->kernel[i] - 1) + 1;
        total_split(attrs, (window->out[i] - 1) * window->stride[i] + reach - window->in[i], &window->pad[i],
                    &window->pad_end[i]);
    }
    return PARTITA_OK;
}

partita_status cpu_window_make_transposed(const cpu_call *call, const cpu_window_attrs *attrs, const cpu_tensor *in,
                                          const cpu_tensor *out, const int64_t *kernel_dims, cpu_window *window) {
    partita_status status = sizes_make(call, attrs, in, out, kernel_dims, window);
    if (status != PARTITA_OK) return status;
    bool same = attrs->auto_pad == CPU_PAD_SAME_UPPER || attrs->auto_pad == CPU_PAD_SAME_LOWER;
    if (!same && !attrs->output_shape.given) return PARTITA_OK;
    for (uint32_t i = CPU_SPATIAL - window->spatial; i < CPU_SPATIAL; i++) {
        uint32_t d = i - (CPU_SPATIAL - window->spatial);
        int64_t reach = window->dilation[i] * (window->kernel[i] - 1) + 1;
        int64_t whole =
            (window->in[i] - 1) * window->stride[i] + reach + cpu_window_entry(&attrs->output_padding, d, 0);
        total_split(attrs, whole - window->out[i], &window->pad[i], &window->pad_end[i]);
    }
    return PARTITA_OK;
}

bool cpu_window_is_pointwise(const cpu_window *window) {
    bool plain = window->kernel_size == 1;
    for (uint32_t i = 0; i < CPU_SPATIAL; i++)
        plain = plain && window->stride[i] == 1 && window->pad[i] == 0 && window->in[i] == window->out[i];
    return plain;
}

uint32_t cpu_window_runs(const cpu_window *window, int64_t position, uint32_t count, cpu_window_run *runs) {
    const int64_t *out = window->out, *stride = window->stride, *pad = window->pad;
    uint32_t n = 0;
    for (uint32_t j = 0; j < count; n++) {
        int64_t column = position % out[2], left = out[2] - column;
        runs[n] = (cpu_window_run){.first = j,
                                   .count = left < (int64_t)(count - j) ? (uint32_t)left : count - j,
                                   .z = position / (out[1] * out[2]) * stride[0] - pad[0],
                                   .y = position / out[2] % out[1] * stride[1] - pad[1],
                                   .x = column * stride[2] - pad[2]};
        j += runs[n].count;
        position += runs[n].count;
    }
    return n;
}

partita_status cpu_conv_make(const cpu_call *call, const cpu_window_attrs *attrs, const cpu_tensor *x,
                             const cpu_tensor *w, const cpu_tensor *y, cpu_conv *conv) {
    if (w->rank != x->rank || x->rank < 3)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "X has rank %u, W rank %u", x->rank, w->rank);
    partita_status status = cpu_window_make(call, attrs, x, y, w->dims + 2, &conv->window);
    if (status != PARTITA_OK) return status;
    conv->images = x->dims[0];
    conv->channels = x->dims[1];
    conv->features = w->dims[0];
    conv->group = attrs->group;
    if (conv->group < 1 || conv->channels != w->dims[1] * conv->group || conv->features % conv->group != 0 ||
        y->dims[0] != conv->images || y->dims[1] != conv->features)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%lld channels, %lld features, W for %lld channels, group %lld",
                        (long long)conv->channels, (long long)conv->features, (long long)w->dims[1],
                        (long long)conv->group);
    conv->group_channels = w->dims[1];
    conv->group_features = conv->features / conv->group;
    return PARTITA_OK;
}
