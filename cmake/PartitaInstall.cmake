# SPDX-License-Identifier: Apache-2.0
# What other projects find an installed Partita by: a CMake package and pkg-config files. Nothing in them is an absolute
# path, so that the tree may be moved. Folders are fixed below the prefix: the command and the library look for plugins
# in lib/partita/plugins beside them.
include(CMakePackageConfigHelpers)
set(package_dir lib/cmake/Partita)

add_library(partita_sdk INTERFACE)
set_target_properties(partita_sdk PROPERTIES EXPORT_NAME sdk)
target_compile_features(partita_sdk INTERFACE c_std_11)
target_include_directories(partita_sdk INTERFACE $<INSTALL_INTERFACE:include>)
target_link_options(partita_sdk INTERFACE
    $<INSTALL_INTERFACE:LINKER:--version-script=$<INSTALL_PREFIX>/share/partita/plugin.map> LINKER:-z,now)
install(TARGETS partita_sdk partita EXPORT PartitaTargets LIBRARY DESTINATION lib)
install(FILES ${PROJECT_SOURCE_DIR}/sdk/plugin.map DESTINATION share/partita)

install(EXPORT PartitaTargets NAMESPACE partita:: DESTINATION ${package_dir})
configure_package_config_file(cmake/PartitaConfig.cmake.in ${CMAKE_BINARY_DIR}/PartitaConfig.cmake
    INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/PartitaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/PartitaConfig.cmake ${CMAKE_BINARY_DIR}/PartitaConfigVersion.cmake
    DESTINATION ${package_dir})

foreach(name partita partita-sdk)
    configure_file(cmake/${name}.pc.in ${CMAKE_BINARY_DIR}/${name}.pc @ONLY)
    install(FILES ${CMAKE_BINARY_DIR}/${name}.pc DESTINATION lib/pkgconfig)
endforeach()
install(FILES LICENSE DESTINATION share/doc/partita)
