# What `cmake --install` lays down: the static library, the public headers, the program, and how others find them.
#
# The library is static, so whoever links it needs the libraries it stands on. The CMake package looks for them itself; the .pc file
# names them under Requires, not Requires.private, so that `pkg-config --libs longhaul` is enough.
include(CMakePackageConfigHelpers)

set(LH_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/longhaul)

install(TARGETS longhaul EXPORT longhaulTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/longhaul DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(TARGET longhaul_cli)
  install(TARGETS longhaul_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

install(EXPORT longhaulTargets NAMESPACE longhaul:: DESTINATION ${LH_CMAKE_DIR})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/longhaulConfig.cmake.in ${PROJECT_BINARY_DIR}/longhaulConfig.cmake
                              INSTALL_DESTINATION ${LH_CMAKE_DIR} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/longhaulConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/longhaulConfig.cmake ${PROJECT_BINARY_DIR}/longhaulConfigVersion.cmake DESTINATION ${LH_CMAKE_DIR})

file(RELATIVE_PATH LH_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${PROJECT_SOURCE_DIR}/cmake/longhaul.pc.in ${PROJECT_BINARY_DIR}/longhaul.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/longhaul.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
