/* SPDX-License-Identifier: Apache-2.0 */
/* What a physical device can: limits, features and extensions as kernels, memory and the host need them. */
#include "vulkan/vk.h"
#include <stdio.h>
#include <unistd.h>

/* Extensions of interest, whether they are there. */
typedef struct known_extensions {
    bool host, fd, push, pci, budget;
} known_extensions;

static partita_status extensions_read(const vk_instance *instance, VkPhysicalDevice physical, known_extensions *out) {
    const struct {
        const char *name;
        bool *found;
    } rows[] = {{VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME, &out->host},
                {VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME, &out->fd},
                {VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME, &out->push},
                {VK_EXT_PCI_BUS_INFO_EXTENSION_NAME, &out->pci},
                {VK_EXT_MEMORY_BUDGET_EXTENSION_NAME, &out->budget}};
    uint32_t count = 0;
    memset(out, 0, sizeof(*out));
    instance->EnumerateDeviceExtensionProperties(physical, NULL, &count, NULL);
    VkExtensionProperties *list = vk_alloc(instance->host, count * sizeof(*list));
    if (!list) return PARTITA_OUT_OF_MEMORY;
    if (instance->EnumerateDeviceExtensionProperties(physical, NULL, &count, list) < 0) count = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
            if (strcmp(list[i].extensionName, rows[r].name) == 0) *rows[r].found = true;
        }
    }
    vk_free(instance->host, list);
    return PARTITA_OK;
}

uint32_t vk_probe_extensions(const vk_probe *probe, const char **out_names) {
    uint32_t count = 0;
    if (probe->import_host) out_names[count++] = VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
    if (probe->fds) out_names[count++] = VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME;
    if (probe->push_descriptors) out_names[count++] = VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME;
    return count;
}

/* Everything that is asked of the properties, in one chain. */
typedef struct known_properties {
    VkPhysicalDeviceProperties2 base;
    VkPhysicalDeviceIDProperties id;
    VkPhysicalDeviceDriverProperties driver;
    VkPhysicalDeviceSubgroupProperties subgroup;
    VkPhysicalDeviceMaintenance3Properties maintenance3;
    VkPhysicalDeviceMaintenance4Properties maintenance4;
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT host;
    VkPhysicalDevicePCIBusInfoPropertiesEXT pci;
} known_properties;

static void chain(void **tail, void *structure) {
    VkBaseOutStructure *added = structure;
    ((VkBaseOutStructure *)*tail)->pNext = added;
    *tail = added;
}

static void properties_read(const vk_instance *instance, VkPhysicalDevice physical, const known_extensions *extensions,
                            known_properties *out) {
    *out = (known_properties){.base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                              .id.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES,
                              .driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
                              .subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES,
                              .maintenance3.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES,
                              .maintenance4.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES,
                              .host.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT,
                              .pci.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PCI_BUS_INFO_PROPERTIES_EXT};
    instance->GetPhysicalDeviceProperties2(physical, &out->base);
    uint32_t version = out->base.properties.apiVersion;
    if (version < VK_API_VERSION_1_2) return;
    void *tail = &out->base;
    chain(&tail, &out->id);
    chain(&tail, &out->driver);
    chain(&tail, &out->subgroup);
    chain(&tail, &out->maintenance3);
    if (version >= VK_API_VERSION_1_3) chain(&tail, &out->maintenance4);
    if (extensions->host) chain(&tail, &out->host);
    if (extensions->pci) chain(&tail, &out->pci);
    instance->GetPhysicalDeviceProperties2(physical, &out->base);
}

/* Leaves on what kernels use; returns GPU_HAS_*. */
static uint32_t features_read(const vk_instance *instance, VkPhysicalDevice physical, vk_features *out,
                              bool *out_timeline) {
    *out = (vk_features){
        .base = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &out->storage16},
        .storage16 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES, .pNext = &out->v12},
        .v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES}};
    instance->GetPhysicalDeviceFeatures2(physical, &out->base);
    bool int64 = out->base.features.shaderInt64, float64 = out->base.features.shaderFloat64;
    bool int16 = out->base.features.shaderInt16 && out->storage16.storageBuffer16BitAccess;
    bool int8 = out->v12.shaderInt8 && out->v12.storageBuffer8BitAccess;
    *out_timeline = out->v12.timelineSemaphore;
    out->base.features =
        (VkPhysicalDeviceFeatures){.shaderInt64 = int64, .shaderFloat64 = float64, .shaderInt16 = int16};
    out->storage16 = (VkPhysicalDevice16BitStorageFeatures){
        .sType = out->storage16.sType, .pNext = &out->v12, .storageBuffer16BitAccess = int16};
    out->v12 = (VkPhysicalDeviceVulkan12Features){
        .sType = out->v12.sType, .shaderInt8 = int8, .storageBuffer8BitAccess = int8, .timelineSemaphore = VK_TRUE};
    return (int64 ? GPU_HAS_INT64 : 0u) | (int8 ? GPU_HAS_INT8 : 0u) | (int16 ? GPU_HAS_INT16 : 0u) |
           (float64 ? GPU_HAS_FLOAT64 : 0u);
}

/* A family that computes, rather one that does nothing else; UINT32_MAX. */
static uint32_t family_choose(const vk_instance *instance, VkPhysicalDevice physical) {
    VkQueueFamilyProperties rows[32];
    uint32_t count = 32, best = UINT32_MAX;
    instance->GetPhysicalDeviceQueueFamilyProperties(physical, &count, rows);
    for (uint32_t i = 0; i < count; i++) {
        if (!(rows[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || rows[i].queueCount == 0) continue;
        if (best == UINT32_MAX || !(rows[i].queueFlags & VK_QUEUE_GRAPHICS_BIT)) best = i;
    }
    return best;
}

static bool external_works(const vk_instance *instance, VkPhysicalDevice physical,
                           VkExternalMemoryHandleTypeFlagBits handle, VkExternalMemoryFeatureFlags needed) {
    VkPhysicalDeviceExternalBufferInfo info = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
                                               .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                                        VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                                        VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                                               .handleType = handle};
    VkExternalBufferProperties properties = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES};
    instance->GetPhysicalDeviceExternalBufferProperties(physical, &info, &properties);
    VkExternalMemoryFeatureFlags flags = properties.externalMemoryProperties.externalMemoryFeatures;
    return (flags & needed) == needed && !(flags & VK_EXTERNAL_MEMORY_FEATURE_DEDICATED_ONLY_BIT);
}

/* Bytes of the heaps that kernels compute in: whole and still free. */
static void heaps_read(const vk_instance *instance, VkPhysicalDevice physical, bool budget, vk_probe *probe) {
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budgets = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
                                                    .pNext = budget ? &budgets : NULL};
    ptp_domain_info *domain = &probe->info.domains[0];
    instance->GetPhysicalDeviceMemoryProperties2(physical, &properties);
    const VkPhysicalDeviceMemoryProperties *memory = &properties.memoryProperties;
    probe->memory = *memory;
    for (uint32_t h = 0; h < memory->memoryHeapCount; h++) {
        if (!(memory->memoryHeaps[h].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)) continue;
        uint64_t used = budget ? budgets.heapUsage[h] : 0;
        uint64_t limit = budget ? budgets.heapBudget[h] : memory->memoryHeaps[h].size;
        domain->bytes_total += memory->memoryHeaps[h].size;
        domain->bytes_free += limit > used ? limit - used : 0;
    }
    probe->unified = memory->memoryTypeCount > 0;
    for (uint32_t t = 0; t < memory->memoryTypeCount; t++) {
        VkMemoryPropertyFlags flags = memory->memoryTypes[t].propertyFlags;
        if (!(flags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT)) probe->unified = false;
        if (!(flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) && !(flags & VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT)) {
            probe->unified = false;
        }
    }
}

/* Rates that Vulkan does not tell: rough figures by the type of the device, corrected by what is measured. */
static void rates_fill(VkPhysicalDeviceType type, ptp_device_info *info) {
    double cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
    bool discrete = type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    if (type == VK_PHYSICAL_DEVICE_TYPE_CPU) {
        info->flops_per_us = 7000 * cores;
        info->bytes_per_us = 3000 * cores;
        info->launch_us = 150;
        info->copy_us = 60;
        info->copy_bytes_per_us = 3000;
        return;
    }
    info->flops_per_us = discrete ? 5e6 : 5e5;
    info->bytes_per_us = discrete ? 3e5 : 3e4;
    info->launch_us = 15;
    info->copy_us = 15;
    info->copy_bytes_per_us = 1e4;
}

static const char *vendor_name(uint32_t id) {
    static const struct {
        uint32_t id;
        const char *name;
    } rows[] = {{0x1002, "AMD"},      {0x10de, "NVIDIA"},      {0x8086, "Intel"},          {0x13b5, "Arm"},
                {0x5143, "Qualcomm"}, {0x1010, "Imagination"}, {VK_VENDOR_ID_MESA, "Mesa"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].id == id) return rows[i].name;
    }
    return "unknown";
}

static void info_fill(const known_properties *properties, const known_extensions *extensions, vk_probe *probe) {
    const VkPhysicalDeviceProperties *base = &properties->base.properties;
    ptp_device_info *info = &probe->info;
    bool emulated = base->deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    info->size = sizeof(*info);
    info->flags = PTP_DEVICE_ASYNC | PTP_DEVICE_IN_ORDER | (emulated ? PTP_DEVICE_EMULATED : 0u);
    snprintf(info->kind, sizeof(info->kind), "vulkan");
    snprintf(info->description, sizeof(info->description), "%.127s", base->deviceName);
    snprintf(info->vendor, sizeof(info->vendor), "%s", vendor_name(base->vendorID));
    snprintf(info->driver, sizeof(info->driver), "%.24s %.38s", properties->driver.driverName,
             properties->driver.driverInfo);
    const uint8_t *uuid = properties->id.deviceUUID;
    memcpy(info->uuid, uuid, sizeof(info->uuid));
    if (emulated) {
        snprintf(info->resources[0], sizeof(info->resources[0]), "host-cores");
    } else if (extensions->pci) {
        snprintf(info->resources[0], sizeof(info->resources[0]), "pci:%04x:%02x:%02x.%x", properties->pci.pciDomain,
                 properties->pci.pciBus, properties->pci.pciDevice, properties->pci.pciFunction);
    } else {
        snprintf(info->resources[0], sizeof(info->resources[0]), "gpu:%02x%02x%02x%02x%02x%02x%02x%02x", uuid[0],
                 uuid[1], uuid[2], uuid[3], uuid[4], uuid[5], uuid[6], uuid[7]);
    }
    rates_fill(base->deviceType, info);
}

static void domain_fill(vk_probe *probe) {
    ptp_domain_info *domain = &probe->info.domains[0];
    probe->info.domain_count = 1;
    domain->size = sizeof(*domain);
    domain->memory = probe->unified ? PTP_MEMORY_UNIFIED : PTP_MEMORY_DEVICE;
    snprintf(domain->name, sizeof(domain->name), probe->unified ? "unified" : "device");
    domain->max_buffer = probe->caps.max_buffer;
    domain->max_binding = probe->caps.max_binding;
    domain->alignment = probe->caps.alignment;
    domain->import_alignment = probe->import_host ? (uint32_t)probe->import_alignment : 0;
    domain->import_mask =
        (probe->import_host ? 1u << PTP_HANDLE_HOST_POINTER : 0u) | (probe->fds ? 1u << PTP_HANDLE_OPAQUE_FD : 0u);
    domain->export_mask =
        (probe->unified ? 1u << PTP_HANDLE_HOST_POINTER : 0u) | (probe->fds ? 1u << PTP_HANDLE_OPAQUE_FD : 0u);
}

/* Lanes that hand each other values, on host cores: there a load is a load for each lane, alike or not. */
static uint32_t subgroup_read(const known_properties *properties) {
    uint32_t size = properties->subgroup.subgroupSize;
    bool shuffles = (properties->subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
                    (properties->subgroup.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT);
    bool on_cpu = properties->base.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    return on_cpu && shuffles && (size == 4 || size == 8) ? size : 0;
}

partita_status vk_probe_read(const vk_instance *instance, VkPhysicalDevice physical, vk_probe *out_probe,
                             vk_features *out_features) {
    known_extensions extensions;
    known_properties properties;
    bool timeline = false;
    *out_probe = (vk_probe){.family = UINT32_MAX};
    partita_status status = extensions_read(instance, physical, &extensions);
    if (status != PARTITA_OK) return status;
    properties_read(instance, physical, &extensions, &properties);
    if (properties.base.properties.apiVersion < VK_API_VERSION_1_2) return PARTITA_OK;
    const VkPhysicalDeviceLimits *limits = &properties.base.properties.limits;
    gpu_caps *caps = &out_probe->caps;
    caps->features = features_read(instance, physical, out_features, &timeline);
    if (!timeline) return PARTITA_OK;
    if (properties.base.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU) caps->features |= GPU_ON_CPU;
    caps->alignment =
        limits->minStorageBufferOffsetAlignment < 16 ? 16 : (uint32_t)limits->minStorageBufferOffsetAlignment;
    caps->max_binding = limits->maxStorageBufferRange / 4 * 4; /* whole words are bound */
    caps->max_bindings = limits->maxPerStageDescriptorStorageBuffers < limits->maxDescriptorSetStorageBuffers
                             ? limits->maxPerStageDescriptorStorageBuffers
                             : limits->maxDescriptorSetStorageBuffers;
    out_probe->max_allocations = limits->maxMemoryAllocationCount;
    caps->max_buffer = properties.maintenance3.maxMemoryAllocationSize;
    if (properties.maintenance4.maxBufferSize && properties.maintenance4.maxBufferSize < caps->max_buffer) {
        caps->max_buffer = properties.maintenance4.maxBufferSize;
    }
    caps->max_group = limits->maxComputeWorkGroupInvocations;
    for (int d = 0; d < 3; d++) {
        caps->max_groups[d] = limits->maxComputeWorkGroupCount[d];
        caps->max_local[d] = limits->maxComputeWorkGroupSize[d];
    }
    caps->shared_bytes = limits->maxComputeSharedMemorySize;
    caps->subgroup = subgroup_read(&properties);
    caps->vector_width = 1; /* kernels that count on lanes, not on vectors */
    out_probe->atom = limits->nonCoherentAtomSize;
    out_probe->push_descriptors = extensions.push;
    out_probe->import_alignment = properties.host.minImportedHostPointerAlignment;
    out_probe->import_host =
        extensions.host && external_works(instance, physical, VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
                                          VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT);
    out_probe->fds = extensions.fd && external_works(instance, physical, VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT,
                                                     VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT |
                                                         VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT);
    heaps_read(instance, physical, extensions.budget, out_probe);
    info_fill(&properties, &extensions, out_probe);
    domain_fill(out_probe);
    out_probe->family = family_choose(instance, physical);
    return PARTITA_OK;
}
