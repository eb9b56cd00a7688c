/* SPDX-License-Identifier: Apache-2.0 */
/* The loader libvulkan.so.1, opened at run time and never linked, and instances. */
#include "vulkan/vk.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#define LAYER "VK_LAYER_KHRONOS_validation"

/*
 * The first good instance without the layer stays for as long as the process, and later ones are the same: with its
 * last instance the loader unloads the drivers, and those lose memory each time (Mesa).
 */
static VkInstance kept;
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

partita_status vk_loader_open(const ptp_host *host, vk_loader *out_loader) {
    vk_loader loader = {.library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)};
    if (!loader.library) return gpu_fail(host, PARTITA_DEVICE_ABSENT, "no Vulkan loader: %s", dlerror());
    loader.get = (PFN_vkGetInstanceProcAddr)dlsym(loader.library, "vkGetInstanceProcAddr");
    bool complete = loader.get != NULL;
#define VK_GLOBAL(name)                                                                                                \
    loader.name = complete ? (PFN_vk##name)loader.get(NULL, "vk" #name) : NULL;                                        \
    complete = complete && loader.name;
#include "vulkan/functions.inc"
    if (!complete) {
        vk_loader_close(&loader);
        return gpu_fail(host, PARTITA_DEVICE_ABSENT, "libvulkan.so.1 is no Vulkan loader of version 1.1 or later");
    }
    *out_loader = loader;
    return PARTITA_OK;
}

void vk_loader_close(vk_loader *loader) {
    if (loader->library) dlclose(loader->library);
    loader->library = NULL;
}

/* Messages about how Vulkan is used are errors of this plugin; those of the loader about other drivers are not. */
static VKAPI_ATTR VkBool32 VKAPI_CALL message_log(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                  VkDebugUtilsMessageTypeFlagsEXT types,
                                                  const VkDebugUtilsMessengerCallbackDataEXT *data, void *user) {
    const ptp_host *host = user;
    bool ours =
        types & (VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT);
    char text[1024];
    (void)severity;
    snprintf(text, sizeof(text), "vulkan validation: %s", data->pMessage);
    host->log(host->self, ours ? PARTITA_LOG_ERROR : PARTITA_LOG_DEBUG, text);
    return VK_FALSE;
}

static bool layer_present(const vk_loader *loader, const ptp_host *host) {
    uint32_t count = 0;
    bool found = false;
    loader->EnumerateInstanceLayerProperties(&count, NULL);
    VkLayerProperties *rows = count ? vk_alloc(host, count * sizeof(*rows)) : NULL;
    if (!rows) return false;
    if (loader->EnumerateInstanceLayerProperties(&count, rows) < 0) count = 0;
    for (uint32_t i = 0; i < count; i++) found = found || strcmp(rows[i].layerName, LAYER) == 0;
    vk_free(host, rows);
    return found;
}

static partita_status devices_find(vk_instance *instance) {
    VkPhysicalDevice all[VK_MAX_DEVICES];
    uint32_t count = VK_MAX_DEVICES;
    vk_probe probe;
    vk_features features;
    VkResult result = instance->EnumeratePhysicalDevices(instance->handle, &count, all);
    if (result < 0) count = 0;
    for (uint32_t i = 0; i < count; i++) {
        partita_status status = vk_probe_read(instance, all[i], &probe, &features);
        if (status != PARTITA_OK) return status;
        if (probe.family != UINT32_MAX) instance->devices[instance->count++] = all[i];
    }
    if (instance->count) return PARTITA_OK;
    if (count) {
        return gpu_fail(instance->host, PARTITA_DEVICE_ABSENT,
                        "%u Vulkan devices, none with version 1.2, timeline semaphores and a queue that computes",
                        count);
    }
    return gpu_fail(instance->host, PARTITA_DEVICE_ABSENT, "no Vulkan driver found a device (%s)",
                    result < 0 ? vk_result_name(result) : "the list is empty");
}

static partita_status instance_create(const vk_loader *loader, bool validation, vk_instance *instance) {
    static const char *const layer = LAYER, *const extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    uint32_t version = VK_API_VERSION_1_0;
    loader->EnumerateInstanceVersion(&version);
    if (version < VK_API_VERSION_1_2) {
        return gpu_fail(instance->host, PARTITA_DEVICE_ABSENT,
                        "the Vulkan loader has version %u.%u, at least 1.2 is needed", VK_API_VERSION_MAJOR(version),
                        VK_API_VERSION_MINOR(version));
    }
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                     .pApplicationName = "partita",
                                     .apiVersion =
                                         version < VK_API_VERSION_1_3 ? VK_API_VERSION_1_2 : VK_API_VERSION_1_3};
    VkDebugUtilsMessengerCreateInfoEXT messenger = {.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
                                                    .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                                                                       VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
                                                    .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT |
                                                                   VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                                                                   VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
                                                    .pfnUserCallback = message_log,
                                                    .pUserData = (void *)instance->host};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
    if (validation) {
        if (!layer_present(loader, instance->host)) {
            return gpu_fail(instance->host, PARTITA_DEVICE_FAILED, "validation=1, but there is no layer " LAYER);
        }
        info.pNext = &messenger; /* messages of creating and destroying the instance */
        info.enabledLayerCount = info.enabledExtensionCount = 1;
        info.ppEnabledLayerNames = &layer;
        info.ppEnabledExtensionNames = &extension;
    }
    instance->handle = validation ? VK_NULL_HANDLE : kept;
    VkResult result = instance->handle ? VK_SUCCESS : loader->CreateInstance(&info, NULL, &instance->handle);
    if (result != VK_SUCCESS) {
        instance->handle = VK_NULL_HANDLE;
        return gpu_fail(instance->host, PARTITA_DEVICE_ABSENT, "no Vulkan driver: vkCreateInstance gives %s",
                        vk_result_name(result));
    }
    bool complete = true;
#define VK_INSTANCE(name)                                                                                              \
    instance->name = (PFN_vk##name)loader->get(instance->handle, "vk" #name);                                          \
    complete = complete && instance->name;
#include "vulkan/functions.inc"
    if (!complete) return gpu_fail(instance->host, PARTITA_DEVICE_ABSENT, "the Vulkan loader lacks functions of 1.2");
    if (validation) {
        PFN_vkCreateDebugUtilsMessengerEXT create =
            (PFN_vkCreateDebugUtilsMessengerEXT)loader->get(instance->handle, "vkCreateDebugUtilsMessengerEXT");
        if (!create || create(instance->handle, &messenger, NULL, &instance->messenger) != VK_SUCCESS) {
            return gpu_fail(instance->host, PARTITA_DEVICE_FAILED, "validation=1, but messages cannot be received");
        }
    }
    return PARTITA_OK;
}

partita_status vk_instance_init(const vk_loader *loader, const ptp_host *host, bool validation,
                                vk_instance *out_instance) {
    *out_instance = (vk_instance){.host = host};
    pthread_mutex_lock(&kept_lock);
    partita_status status = instance_create(loader, validation, out_instance);
    if (status == PARTITA_OK) status = devices_find(out_instance);
    if (status == PARTITA_OK && !validation) kept = out_instance->handle;
    pthread_mutex_unlock(&kept_lock);
    if (status != PARTITA_OK) vk_instance_deinit(loader, out_instance);
    return status;
}

void vk_instance_deinit(const vk_loader *loader, vk_instance *instance) {
    pthread_mutex_lock(&kept_lock);
    if (instance->handle == kept) instance->handle = VK_NULL_HANDLE;
    pthread_mutex_unlock(&kept_lock);
    if (!instance->handle) return;
    PFN_vkDestroyDebugUtilsMessengerEXT destroy =
        (PFN_vkDestroyDebugUtilsMessengerEXT)loader->get(instance->handle, "vkDestroyDebugUtilsMessengerEXT");
    if (instance->messenger && destroy) destroy(instance->handle, instance->messenger, NULL);
    if (instance->DestroyInstance) instance->DestroyInstance(instance->handle, NULL);
    instance->handle = VK_NULL_HANDLE;
}
