# SPDX-License-Identifier: Apache-2.0
# What every GPU plugin compiles in: partita_gpu_sources(OUT) sets OUT to the shared sources and a generated table of the
# kernel texts and preludes as C strings, so that a plugin is one file and needs no path at run time.
set(GPU_DIR ${CMAKE_CURRENT_LIST_DIR})
set(GPU_KERNELS argreduce conv conv_lanes convpad convtile convtranspose cumsum fill gather matmul matmul_lanes move pad pool
    range recurrent reduce resize scatter softmax standardize)
set(GPU_PRELUDES common opencl vulkan cuda)
set(GPU_SOURCES plugin.c device.c memory.c source.c node.c claim.c limits.c form.c rows.c call.c move.c chain.c pointwise.c
    compile.c storage.c resize.c exec.c cost.c order.c
    ops_elementwise.c ops_typed.c ops_move.c ops_gather.c ops_matmul.c ops_conv.c ops_pool.c ops_reduce.c ops_norm.c ops_resize.c
    ops_recurrent.c ops_shape.c)

function(gpu_embed path name out)
    file(READ ${path} text)
    string(REPLACE "\\" "\\\\" text "${text}")
    string(REPLACE "\"" "\\\"" text "${text}")
    string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
    set(${out} "${${out}}    {\"${name}\",\n    \"${text}\"},\n" PARENT_SCOPE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
endfunction()

function(partita_gpu_sources out)
    set(rows "")
    foreach(kernel ${GPU_KERNELS})
        gpu_embed(${GPU_DIR}/kernels/${kernel}.kernel ${kernel} rows)
    endforeach()
    foreach(prelude ${GPU_PRELUDES})
        gpu_embed(${GPU_DIR}/prelude/${prelude}.prelude prelude/${prelude} rows)
    endforeach()
    set(table ${CMAKE_CURRENT_BINARY_DIR}/gpu_texts.c)
    file(CONFIGURE OUTPUT ${table} CONTENT "/* Generated from plugins/gpu. */\n#include \"gpu/source.h\"\nconst gpu_text gpu_texts[] = {\n@rows@};\nconst unsigned gpu_text_count = sizeof(gpu_texts) / sizeof(gpu_texts[0]);\n" @ONLY)
    set(sources ${table})
    foreach(source ${GPU_SOURCES})
        list(APPEND sources ${GPU_DIR}/${source})
    endforeach()
    set(${out} ${sources} PARENT_SCOPE)
endfunction()
