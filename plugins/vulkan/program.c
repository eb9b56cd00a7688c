/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines: one per kernel and specialisation, over one layout per number of buffers. */
#include "vulkan/vk.h"

static partita_status layouts_make(ptp_device *device, uint32_t count) {
    VkDescriptorSetLayoutBinding bindings[GPU_MAX_BINDINGS];
    for (uint32_t i = 0; i < count; i++) {
        bindings[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                     .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                     .descriptorCount = 1,
                                                     .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    }
    VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .flags = device->push_descriptors ? VK_DESCRIPTOR_SET_LAYOUT_CREATE_PUSH_DESCRIPTOR_BIT_KHR : 0,
        .bindingCount = count,
        .pBindings = bindings};
    VkResult result = device->CreateDescriptorSetLayout(device->handle, &set, NULL, &device->set_layouts[count]);
    if (result != VK_SUCCESS) {
        device->set_layouts[count] = VK_NULL_HANDLE;
        return vk_check(device, result, "vkCreateDescriptorSetLayout");
    }
    VkPushConstantRange params = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = GPU_MAX_PARAMS * sizeof(uint32_t)};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .setLayoutCount = 1,
                                         .pSetLayouts = &device->set_layouts[count],
                                         .pushConstantRangeCount = 1,
                                         .pPushConstantRanges = &params};
    result = device->CreatePipelineLayout(device->handle, &layout, NULL, &device->layouts[count]);
    if (result != VK_SUCCESS) device->layouts[count] = VK_NULL_HANDLE;
    return vk_check(device, result, "vkCreatePipelineLayout");
}

partita_status vk_programs_init(ptp_device *device) {
    VkPipelineCacheCreateInfo cache = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    vk_glsl_retain();
    VkResult result = device->CreatePipelineCache(device->handle, &cache, NULL, &device->pipeline_cache);
    if (result != VK_SUCCESS) device->pipeline_cache = VK_NULL_HANDLE;
    partita_status status = vk_check(device, result, "vkCreatePipelineCache");
    uint32_t most =
        device->probe.caps.max_bindings < GPU_MAX_BINDINGS ? device->probe.caps.max_bindings : GPU_MAX_BINDINGS;
    for (uint32_t i = 1; i <= most && status == PARTITA_OK; i++) status = layouts_make(device, i);
    if (status != PARTITA_OK) vk_programs_deinit(device);
    return status;
}

void vk_programs_deinit(ptp_device *device) {
    for (uint32_t i = 1; i <= GPU_MAX_BINDINGS; i++) {
        if (device->layouts[i]) device->DestroyPipelineLayout(device->handle, device->layouts[i], NULL);
        if (device->set_layouts[i]) device->DestroyDescriptorSetLayout(device->handle, device->set_layouts[i], NULL);
    }
    if (device->pipeline_cache) device->DestroyPipelineCache(device->handle, device->pipeline_cache, NULL);
    vk_glsl_release();
}

static partita_status pipeline_make(ptp_device *device, const gpu_source *source, const uint32_t *words, size_t count,
                                    VkPipeline *out_pipeline) {
    VkShaderModuleCreateInfo module_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = count * sizeof(*words), .pCode = words};
    VkShaderModule module;
    partita_status status = vk_check(device, device->CreateShaderModule(device->handle, &module_info, NULL, &module),
                                     "vkCreateShaderModule");
    if (status != PARTITA_OK) return status;
    VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                  .module = module,
                                                  .pName = source->name},
                                        .layout = device->layouts[source->binding_count]};
    VkResult result =
        device->CreateComputePipelines(device->handle, device->pipeline_cache, 1, &info, NULL, out_pipeline);
    device->DestroyShaderModule(device->handle, module, NULL);
    status = vk_check(device, result, "vkCreateComputePipelines");
    if (status == PARTITA_OK || status == PARTITA_DEVICE_LOST) return status;
    return gpu_fail(device->host, PARTITA_CANNOT_COMPILE, "the driver takes no pipeline of the kernel: %s",
                    vk_result_name(result));
}

partita_status vk_program_create(gpu_device *gpu, const gpu_source *source, gpu_program **out_program) {
    ptp_device *device = (ptp_device *)gpu;
    uint32_t *words = NULL;
    size_t count = 0;
    if (source->binding_count == 0 || source->binding_count > GPU_MAX_BINDINGS) {
        return gpu_fail(device->host, PARTITA_CANNOT_COMPILE, "a kernel with %u buffers, at most %u",
                        source->binding_count, GPU_MAX_BINDINGS);
    }
    gpu_program *program = vk_alloc(device->host, sizeof(*program));
    if (!program) return PARTITA_OUT_OF_MEMORY;
    partita_status status = vk_glsl_compile(device->host, source->name, source->text, &words, &count);
    if (status == PARTITA_OK) {
        program->binding_count = source->binding_count;
        status = vk_spirv_writes(device->host, words, count, &program->writes);
    }
    if (status == PARTITA_OK) status = pipeline_make(device, source, words, count, &program->pipeline);
    vk_free(device->host, words);
    if (status != PARTITA_OK) {
        vk_free(device->host, program);
        return status;
    }
    *out_program = program;
    return PARTITA_OK;
}

void vk_program_destroy(gpu_device *gpu, gpu_program *program) {
    ptp_device *device = (ptp_device *)gpu;
    if (!program) return;
    device->DestroyPipeline(device->handle, program->pipeline, NULL);
    vk_free(device->host, program);
}
