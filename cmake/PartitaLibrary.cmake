# SPDX-License-Identifier: Apache-2.0
# libpartita.so, and the same objects as a static library for the unit tests, which look inside the rooms.
get_property(rooms GLOBAL PROPERTY PARTITA_ROOMS)
set(libraries PkgConfig::PROTOBUFC PkgConfig::JANSSON Threads::Threads ${CMAKE_DL_LIBS} m)
add_library(partita_static STATIC)
add_library(partita SHARED)
foreach(room ${rooms})
    target_sources(partita_static PRIVATE $<TARGET_OBJECTS:${room}>)
    target_sources(partita PRIVATE $<TARGET_OBJECTS:${room}>)
endforeach()
target_include_directories(partita_static INTERFACE ${PROJECT_SOURCE_DIR}/sdk/include ${PROJECT_SOURCE_DIR}/sdk
    ${PROJECT_SOURCE_DIR}/core ${PROJECT_SOURCE_DIR}/core/include ${PROJECT_SOURCE_DIR})
target_link_libraries(partita_static PUBLIC ${libraries})
target_include_directories(partita PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/core/include> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/sdk/include>
    $<INSTALL_INTERFACE:include>)
target_link_libraries(partita PRIVATE ${libraries})
target_link_options(partita PRIVATE -Wl,-z,defs)
set_target_properties(partita partita_static PROPERTIES LINKER_LANGUAGE C)
set_target_properties(partita PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/core/include/partita DESTINATION include)
