# SPDX-License-Identifier: Apache-2.0
# Every built plugin exports one symbol, and needs neither the host nor another plugin.
# cmake -DNM=nm -DREADELF=readelf -DFOLDER=lib/partita/plugins -P exports.cmake
file(GLOB libraries ${FOLDER}/*.so)
if(NOT libraries)
    message(FATAL_ERROR "there is no plugin in ${FOLDER}")
endif()
foreach(library ${libraries})
    execute_process(COMMAND ${NM} -D --defined-only -j ${library} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
    string(STRIP "${symbols}" symbols)
    if(NOT symbols STREQUAL "partita_plugin_query")
        message(FATAL_ERROR "${library} exports:\n${symbols}")
    endif()
    execute_process(COMMAND ${READELF} -d ${library} OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
    if(dynamic MATCHES "NEEDED[^\n]*libpartita" OR dynamic MATCHES "(RPATH|RUNPATH)")
        message(FATAL_ERROR "${library} is linked to the host or to a place:\n${dynamic}")
    endif()
endforeach()
