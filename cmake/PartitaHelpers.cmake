# SPDX-License-Identifier: Apache-2.0
include(FeatureSummary)

# partita_add_room(NAME source... [LIBS lib...]): one room of the core, an object library that libpartita is made of.
function(partita_add_room name)
    cmake_parse_arguments(ROOM "" "" "LIBS" ${ARGN})
    add_library(room_${name} OBJECT ${ROOM_UNPARSED_ARGUMENTS})
    target_include_directories(room_${name} PUBLIC ${PROJECT_SOURCE_DIR}/sdk/include ${PROJECT_SOURCE_DIR}/sdk
        ${PROJECT_SOURCE_DIR}/core ${PROJECT_SOURCE_DIR}/core/include ${PROJECT_SOURCE_DIR})
    target_link_libraries(room_${name} PUBLIC ${ROOM_LIBS} Threads::Threads)
    set_property(GLOBAL APPEND PROPERTY PARTITA_ROOMS room_${name})
endfunction()

# partita_json_list(OUT item...): ["a", "b"]
function(partita_json_list out)
    list(TRANSFORM ARGN REPLACE "(.+)" "\"\\1\"")
    list(JOIN ARGN ", " items)
    set(${out} "[${items}]" PARENT_SCOPE)
endfunction()

# partita_add_plugin(NAME source... [LIBS lib...] [DOMAINS d...] [DEVICES kind...] [FALLBACK kind]):
# plugins/NAME.so with its manifest NAME.json, one exported symbol. DEVICES: kinds of devices it may have, so that it is
# opened only for them
# (by default NAME, none of an operator set, which has DOMAINS); FALLBACK: the one of them with that role.
function(partita_add_plugin name)
    cmake_parse_arguments(PLUGIN "" "" "LIBS;DOMAINS;DEVICES;FALLBACK" ${ARGN})
    add_library(plugin_${name} MODULE ${PLUGIN_UNPARSED_ARGUMENTS})
    target_include_directories(plugin_${name} PRIVATE ${PROJECT_SOURCE_DIR}/sdk/include ${PROJECT_SOURCE_DIR}/sdk
        ${PROJECT_SOURCE_DIR}/plugins)
    target_link_libraries(plugin_${name} PRIVATE ${PLUGIN_LIBS} m)
    target_link_options(plugin_${name} PRIVATE
        -Wl,--version-script=${PROJECT_SOURCE_DIR}/sdk/plugin.map -Wl,--exclude-libs,ALL -Wl,-z,now)
    if(NOT PARTITA_SANITIZE)
        target_link_options(plugin_${name} PRIVATE -Wl,-z,defs)
    endif()
    set_target_properties(plugin_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name}
        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/partita/plugins)
    if(NOT PLUGIN_DEVICES AND NOT PLUGIN_DOMAINS)
        set(PLUGIN_DEVICES ${name})
    endif()
    set(lists "")
    foreach(key DOMAINS DEVICES FALLBACK)
        if(PLUGIN_${key} OR key STREQUAL "DEVICES")
            partita_json_list(items ${PLUGIN_${key}})
            string(TOLOWER ${key} key)
            string(APPEND lists ", \"${key}\": ${items}")
        endif()
    endforeach()
    set(sanitizer "")
    if(PARTITA_SANITIZE MATCHES "(address|thread|memory)")
        set(sanitizer ${CMAKE_MATCH_1})
    endif()
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/lib/partita/plugins/${name}.json CONTENT
"{\"name\": \"${name}\", \"abi_min\": 1, \"abi_max\": 1, \"library\": \"${name}.so\", \"sanitizer\": \"${sanitizer}\"${lists}}
")
    install(TARGETS plugin_${name} LIBRARY DESTINATION lib/partita/plugins)
    install(FILES ${CMAKE_BINARY_DIR}/lib/partita/plugins/${name}.json DESTINATION lib/partita/plugins)
    add_feature_info("plugin ${name}" ON "built")
endfunction()

# partita_skip_plugin(NAME REASON): a plugin whose SDK is missing is reported, never an error.
function(partita_skip_plugin name reason)
    add_feature_info("plugin ${name}" OFF "${reason}")
endfunction()

# partita_add_test(NAME source... [LIBS lib...]): a cmocka program tests/NAME, linked with the core's rooms.
function(partita_add_test name)
    cmake_parse_arguments(TEST "" "" "LIBS" ${ARGN})
    add_executable(test_${name} ${TEST_UNPARSED_ARGUMENTS})
    target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(test_${name} PRIVATE partita_static PkgConfig::CMOCKA ${TEST_LIBS} m)
    set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME ${name} COMMAND test_${name})
    set_tests_properties(${name} PROPERTIES ENVIRONMENT
        "PARTITA_PLUGIN_PATH=${CMAKE_BINARY_DIR}/lib/partita/plugins;PARTITA_TEST_SOURCE=${PROJECT_SOURCE_DIR}/tests"
        TIMEOUT 600)
endfunction()
