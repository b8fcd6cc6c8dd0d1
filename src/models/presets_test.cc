#include "models/presets.h"

#include <gmock/gmock.h>

#include "models/registry.h"

namespace longhaul {
namespace {

TEST(Presets, EachFileBelongsToOneFamily) {
  std::vector<std::string> files;
  for (const PresetText& preset : preset_texts()) files.emplace_back(preset.name);
  EXPECT_THAT(preset_names(), testing::UnorderedElementsAreArray(files));
}

TEST(Presets, EachIsDescribedUnderItsName) {
  for (const std::string& name : preset_names()) {
    const auto arch = preset(name);
    ASSERT_TRUE(arch.ok()) << name << ": " << arch.error().text();
    EXPECT_EQ(arch->name, name);
  }
}

}  // namespace
}  // namespace longhaul
