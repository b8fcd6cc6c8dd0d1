# Installs this build into a fresh prefix and builds strangers' programs against it, once by find_package and once by pkg-config.
#   cmake -DBUILD_DIR= -DSOURCE_DIR= -DWORK_DIR= -DCXX= -DCXX_FLAGS= -DGENERATOR= -P install_test.cmake
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    string(JOIN " " command ${ARGN})
    message(FATAL_ERROR "failed (${status}): ${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

set(prefix ${WORK_DIR}/prefix)
file(REMOVE_RECURSE ${WORK_DIR})
run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${prefix})

# Every public header stands alone and needs nothing but the standard library.
file(GLOB headers RELATIVE ${prefix}/include ${prefix}/include/longhaul/*.h)
if(NOT headers)
  message(FATAL_ERROR "no public headers under ${prefix}/include/longhaul")
endif()
set(all_headers "")
foreach(header ${headers})
  string(MAKE_C_IDENTIFIER ${header} name)
  file(WRITE ${WORK_DIR}/headers/${name}.cc "#include <${header}>\n")
  list(APPEND all_headers ${WORK_DIR}/headers/${name}.cc)
  file(STRINGS ${prefix}/include/${header} foreign REGEX "#include *[<\"](fmt|nlohmann|hwy|CLI|pcre2|utf8proc|xxhash)")
  if(foreign)
    message(FATAL_ERROR "${header} includes a third-party header: ${foreign}")
  endif()
endforeach()

run(${CMAKE_COMMAND} -S ${SOURCE_DIR}/consumer -B ${WORK_DIR}/consumer -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${prefix}
    -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_CXX_FLAGS=${CXX_FLAGS} "-DALL_HEADERS=${all_headers}")
run(${CMAKE_COMMAND} --build ${WORK_DIR}/consumer)
run(${WORK_DIR}/consumer/consumer)

file(GLOB_RECURSE pc ${prefix}/*/longhaul.pc)
cmake_path(GET pc PARENT_PATH pc_dir)
set(ENV{PKG_CONFIG_PATH} ${pc_dir})
run(pkg-config --cflags --libs longhaul)
separate_arguments(flags UNIX_COMMAND "${output}")
separate_arguments(own_flags UNIX_COMMAND "${CXX_FLAGS}")
run(${CXX} -std=c++20 ${own_flags} ${SOURCE_DIR}/consumer/main.cc -o ${WORK_DIR}/by_pkg_config ${flags})
run(${WORK_DIR}/by_pkg_config)

if(EXISTS ${BUILD_DIR}/longhaul)
  run(${prefix}/bin/longhaul --help)
endif()
