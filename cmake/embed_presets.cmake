# Writes OUT, a C++ file with the text of every *.json in FOLDER as a string.
# A name is the file's without .json; see src/models/presets.h.
file(GLOB files ${FOLDER}/*.json)
set(rows "")
foreach(file ${files})
  get_filename_component(name ${file} NAME_WLE)
  file(READ ${file} text)
  string(APPEND rows "    {\"${name}\", R\"json(${text})json\"},\n")
endforeach()
file(WRITE ${OUT} "// Made by cmake/embed_presets.cmake.
#include \"models/presets.h\"

namespace longhaul {
namespace {

constexpr PresetText kPresets[] = {
${rows}};

}  // namespace

std::span<const PresetText> preset_texts() { return kPresets; }

}  // namespace longhaul
")
