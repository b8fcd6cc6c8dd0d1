// What the cost tests share: the golden figures and the presets they are about.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/json.h"
#include "base/mapped_file.h"
#include "models/registry.h"

namespace longhaul {

inline constexpr const char* kDeepSeekPresets[] = {"deepseek-v4-flash", "deepseek-v4-pro",
                                                   "deepseek-v3.2"};
inline constexpr const char* kGemmaPresets[] = {"gemma-4-E2B", "gemma-4-E4B", "gemma-4-12B",
                                                "gemma-4-26B-A4B", "gemma-4-31B"};

inline Architecture described(std::string_view name) {
  auto arch = preset(name);
  EXPECT_TRUE(arch.ok()) << name;
  return arch.ok() ? std::move(*arch) : Architecture{};
}

// Written by tools/make_cost_goldens.py from a calculator that shares no code with this one.
inline Json cost_golden(const std::string& preset) {
  for (const char* family : {"gemma", "laguna", "zaya", "deepseek_v4", "deepseek_v32"}) {
    const std::string path = std::string(LH_SOURCE_DIR) + "/tests/golden/cost/" + family + ".json";
    const auto text = read_file(path, 1 << 20);
    if (!text.ok()) continue;
    const auto json = parse_json(*text, path);
    if (json.ok() && json->find(preset) != nullptr) return *json->find(preset);
  }
  ADD_FAILURE() << "no golden figures of " << preset;
  return Json();
}

// A member that must be an unsigned integer.
inline uint64_t integer(const Json& json, const char* key) {
  const Json* member = json.find(key);
  const bool found = member != nullptr && member->as_int() != nullptr;
  EXPECT_TRUE(found) << key;
  return found ? static_cast<uint64_t>(*member->as_int()) : 0;
}

inline double number(const Json& json, const char* key) {
  const Json* member = json.find(key);
  const bool found = member != nullptr && member->is_number();
  EXPECT_TRUE(found) << key;
  return found ? member->number() : 0;
}

}  // namespace longhaul
