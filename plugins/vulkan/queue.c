/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's one queue: submissions in order on a timeline semaphore, and the thread that waits for them, finishes
 * downloads and signals the host. A submission starts with a barrier, so that work enqueued later sees all earlier work
 * complete.
 */
#include "vulkan/vk.h"

static void *waiter_run(void *user);
static void finish_first(ptp_device *device);

static partita_status slot_init(ptp_device *device, vk_slot *slot) {
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
                                    .queueFamilyIndex = device->probe.family};
    partita_status status =
        vk_check(device, device->CreateCommandPool(device->handle, &pool, NULL, &slot->pool), "vkCreateCommandPool");
    if (status != PARTITA_OK) {
        slot->pool = VK_NULL_HANDLE;
        return status;
    }
    VkCommandBufferAllocateInfo buffer = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                          .commandPool = slot->pool,
                                          .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                          .commandBufferCount = 1};
    return vk_check(device, device->AllocateCommandBuffers(device->handle, &buffer, &slot->commands),
                    "vkAllocateCommandBuffers");
}

static void slot_deinit(ptp_device *device, vk_slot *slot) {
    if (slot->pool) device->DestroyCommandPool(device->handle, slot->pool, NULL);
    for (uint32_t i = 0; i < slot->descriptor_pools; i++) {
        device->DestroyDescriptorPool(device->handle, slot->descriptors[i], NULL);
    }
    vk_free(device->host, slot->descriptors);
    vk_free(device->host, slot->downloads);
    vk_memory_destroy(device, &slot->staging);
}

partita_status vk_queue_init(ptp_device *device) {
    vk_queue *queue = &device->queue;
    VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                      .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
    device->GetDeviceQueue(device->handle, device->probe.family, 0, &queue->handle);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->freed, NULL);
    pthread_cond_init(&queue->filled, NULL);
    gpu_order_init(&queue->order, device->host);
    partita_status status =
        vk_check(device, device->CreateSemaphore(device->handle, &info, NULL, &queue->timeline), "vkCreateSemaphore");
    if (status != PARTITA_OK) queue->timeline = VK_NULL_HANDLE;
    for (uint32_t i = 0; i < VK_SLOTS && status == PARTITA_OK; i++) {
        status = slot_init(device, &queue->slots[i]);
        queue->slots[i].next = queue->free;
        queue->free = &queue->slots[i];
    }
    if (status == PARTITA_OK) {
        queue->running = pthread_create(&queue->waiter, NULL, waiter_run, device) == 0;
        if (!queue->running) status = gpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "no thread for the queue");
    }
    if (status != PARTITA_OK) vk_queue_deinit(device);
    return status;
}

void vk_queue_deinit(ptp_device *device) {
    vk_queue *queue = &device->queue;
    pthread_mutex_lock(&queue->lock);
    queue->stopping = true;
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
    if (queue->running) pthread_join(queue->waiter, NULL);
    device->DeviceWaitIdle(device->handle);
    for (uint32_t i = 0; i < VK_SLOTS; i++) slot_deinit(device, &queue->slots[i]);
    if (queue->timeline) device->DestroySemaphore(device->handle, queue->timeline, NULL);
    gpu_order_wait(&queue->order);
    gpu_order_deinit(&queue->order);
    pthread_cond_destroy(&queue->freed);
    pthread_cond_destroy(&queue->filled);
    pthread_mutex_destroy(&queue->lock);
}

/* ---- slots ------------------------------------------------------------------------------------------------------ */

void vk_slot_barrier(ptp_device *device, vk_slot *slot) {
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT};
    VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    device->CmdPipelineBarrier(slot->commands, stages, stages, 0, 1, &barrier, 0, NULL, 0, NULL);
}

static void slot_give(vk_queue *queue, vk_slot *slot) {
    slot->next = queue->free;
    queue->free = slot;
    pthread_cond_broadcast(&queue->freed);
}

partita_status vk_slot_acquire(ptp_device *device, vk_slot **out_slot) {
    vk_queue *queue = &device->queue;
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                      .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    vk_slot *slot = NULL;
    pthread_mutex_lock(&queue->lock);
    while (!slot && !queue->lost) {
        slot = queue->free;
        if (slot) {
            queue->free = slot->next;
        } else if (queue->first) {
            /* not left to the waiter: it may be this thread, or wait in the host for what this thread holds */
            pthread_mutex_unlock(&queue->lock);
            finish_first(device);
            pthread_mutex_lock(&queue->lock);
        } else {
            pthread_cond_wait(&queue->freed, &queue->lock);
        }
    }
    pthread_mutex_unlock(&queue->lock);
    if (!slot) return gpu_fail(device->host, PARTITA_DEVICE_LOST, "the Vulkan device was lost");
    slot->staging_used = 0;
    slot->download_count = 0;
    for (; slot->descriptor_used > 0; slot->descriptor_used--) {
        device->ResetDescriptorPool(device->handle, slot->descriptors[slot->descriptor_used - 1], 0);
    }
    slot->descriptor_sets = 0;
    partita_status status =
        vk_check(device, device->ResetCommandPool(device->handle, slot->pool, 0), "vkResetCommandPool");
    if (status == PARTITA_OK) {
        status = vk_check(device, device->BeginCommandBuffer(slot->commands, &begin), "vkBeginCommandBuffer");
    }
    if (status != PARTITA_OK) {
        vk_slot_abandon(device, slot);
        return status;
    }
    vk_slot_barrier(device, slot);
    *out_slot = slot;
    return PARTITA_OK;
}

void vk_slot_abandon(ptp_device *device, vk_slot *slot) {
    pthread_mutex_lock(&device->queue.lock);
    slot_give(&device->queue, slot);
    pthread_mutex_unlock(&device->queue.lock);
}

/* What the device wrote becomes visible to the host. */
static void host_barrier(ptp_device *device, vk_slot *slot) {
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT};
    device->CmdPipelineBarrier(slot->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                               VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
}

partita_status vk_slot_submit(ptp_device *device, vk_slot *slot, ptp_point done, uint64_t *out_value) {
    vk_queue *queue = &device->queue;
    const ptp_host *host = device->host;
    gpu_completion *completion = host->alloc(host->self, sizeof(*completion), 16);
    if (!completion) {
        vk_slot_abandon(device, slot);
        return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for a completion");
    }
    *completion = (gpu_completion){.done = done};
    host_barrier(device, slot);
    partita_status status = vk_check(device, device->EndCommandBuffer(slot->commands), "vkEndCommandBuffer");
    if (status != PARTITA_OK) {
        host->free(host->self, completion);
        vk_slot_abandon(device, slot);
        return status;
    }
    pthread_mutex_lock(&queue->lock);
    uint64_t value = queue->value + 1;
    VkTimelineSemaphoreSubmitInfo timeline = {.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
                                              .signalSemaphoreValueCount = 1,
                                              .pSignalSemaphoreValues = &value};
    VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                           .pNext = &timeline,
                           .commandBufferCount = 1,
                           .pCommandBuffers = &slot->commands,
                           .signalSemaphoreCount = 1,
                           .pSignalSemaphores = &queue->timeline};
    VkResult result = device->QueueSubmit(queue->handle, 1, &submit, VK_NULL_HANDLE);
    if (result == VK_SUCCESS) {
        queue->value = value;
        slot->value = value;
        slot->completion = completion;
        gpu_order_add(&queue->order, completion);
        slot->submitted_ns = vk_now_ns();
        slot->next = NULL;
        if (queue->last)
            queue->last->next = slot;
        else
            queue->first = slot;
        queue->last = slot;
        if (out_value) *out_value = value;
        pthread_cond_signal(&queue->filled);
    } else {
        if (result == VK_ERROR_DEVICE_LOST) queue->lost = true;
        slot_give(queue, slot);
        host->free(host->self, completion);
    }
    pthread_mutex_unlock(&queue->lock);
    return vk_check(device, result, "vkQueueSubmit");
}

/* ---- completion -------------------------------------------------------------------------------------------------- */

static VkResult value_wait(ptp_device *device, uint64_t value) {
    VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                .semaphoreCount = 1,
                                .pSemaphores = &device->queue.timeline,
                                .pValues = &value};
    return device->WaitSemaphores(device->handle, &info, UINT64_MAX);
}

partita_status vk_queue_wait(ptp_device *device, uint64_t value) {
    if (value == 0) {
        pthread_mutex_lock(&device->queue.lock);
        value = device->queue.value;
        pthread_mutex_unlock(&device->queue.lock);
    }
    return value ? vk_check(device, value_wait(device, value), "vkWaitSemaphores") : PARTITA_OK;
}

/* Downloads, counts, the slot back, the host's signal, in this order: once the host knows, it may call from here. */
static void slot_finish(ptp_device *device, vk_slot *slot, VkResult result) {
    vk_queue *queue = &device->queue;
    gpu_completion *completion = slot->completion;
    for (uint32_t i = 0; i < slot->download_count && result == VK_SUCCESS; i++) {
        const vk_download *download = &slot->downloads[i];
        vk_memory_invalidate(device, &slot->staging, download->offset, download->bytes);
        memcpy(download->target, (char *)slot->staging.mapped + download->offset, download->bytes);
    }
    uint64_t now = vk_now_ns();
    pthread_mutex_lock(&queue->lock);
    uint64_t since = slot->submitted_ns > queue->idle_since_ns ? slot->submitted_ns : queue->idle_since_ns;
    device->gpu.counts.busy_ns += now > since ? now - since : 0;
    queue->idle_since_ns = now;
    queue->finishing--;
    if (result != VK_SUCCESS) queue->lost = true;
    slot_give(queue, slot);
    pthread_mutex_unlock(&queue->lock);
    if (result == VK_SUCCESS)
        gpu_order_ready(&queue->order, completion, PARTITA_OK, NULL);
    else
        gpu_order_ready(&queue->order, completion, PARTITA_DEVICE_LOST, vk_result_name(result));
}

/* Waits for the oldest submission and finishes it, unless another thread did. */
static void finish_first(ptp_device *device) {
    vk_queue *queue = &device->queue;
    pthread_mutex_lock(&queue->lock);
    vk_slot *slot = queue->first;
    uint64_t value = slot ? slot->value : 0;
    pthread_mutex_unlock(&queue->lock);
    if (!slot) return;
    VkResult result = value_wait(device, value);
    pthread_mutex_lock(&queue->lock);
    bool mine = queue->first == slot && slot->value == value;
    if (mine) {
        queue->first = slot->next;
        if (!queue->first) queue->last = NULL;
        queue->finishing++;
    }
    pthread_mutex_unlock(&queue->lock);
    if (mine) slot_finish(device, slot, result);
}

void vk_queue_drain(ptp_device *device) {
    vk_queue *queue = &device->queue;
    pthread_mutex_lock(&queue->lock);
    while (queue->first || queue->finishing) {
        if (queue->first) {
            pthread_mutex_unlock(&queue->lock);
            finish_first(device);
            pthread_mutex_lock(&queue->lock);
        } else {
            pthread_cond_wait(&queue->freed, &queue->lock);
        }
    }
    pthread_mutex_unlock(&queue->lock);
}

static void *waiter_run(void *user) {
    ptp_device *device = user;
    vk_queue *queue = &device->queue;
    for (;;) {
        pthread_mutex_lock(&queue->lock);
        while (!queue->first && !queue->stopping) pthread_cond_wait(&queue->filled, &queue->lock);
        bool stop = !queue->first;
        pthread_mutex_unlock(&queue->lock);
        if (stop) return NULL;
        finish_first(device);
    }
}
