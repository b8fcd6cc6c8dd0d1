#include "api/precision.h"

#include <algorithm>
#include <array>

#include "base/printable.h"
#include "checkpoint/compute_dtype.h"

namespace longhaul {
namespace {

template <class Choice>
struct Named {
  Choice choice;
  const char* word;
};

constexpr std::array kWeights = {
    Named<WeightPrecision>{WeightPrecision::kAuto, "auto"},
    Named<WeightPrecision>{WeightPrecision::kF32, "f32"},
    Named<WeightPrecision>{WeightPrecision::kBF16, "bf16"},
    Named<WeightPrecision>{WeightPrecision::kQ8, "q8"},
    Named<WeightPrecision>{WeightPrecision::kQ4, "q4"},
    Named<WeightPrecision>{WeightPrecision::kNative, "released"},
};
constexpr std::array kCaches = {
    Named<CachePrecision>{CachePrecision::kF32, "f32"},
    Named<CachePrecision>{CachePrecision::kBF16, "bf16"},
    Named<CachePrecision>{CachePrecision::kQ8, "q8"},
    Named<CachePrecision>{CachePrecision::kNative, "released"},
};

constexpr std::array kInputs = {
    Named<InputPrecision>{InputPrecision::k8Bits, "8"},
    Named<InputPrecision>{InputPrecision::k12Bits, "12"},
};

constexpr std::array kTables = {
    Named<TablePrecision>{TablePrecision::kAsIs, "as-is"},
    Named<TablePrecision>{TablePrecision::kQ8, "q8"},
    Named<TablePrecision>{TablePrecision::kQ4, "q4"},
};

template <class Table, class Choice>
const char* word_of(const Table& table, Choice choice) {
  for (const auto& named : table) {
    if (named.choice == choice) return named.word;
  }
  return "unknown";
}

template <class Choice, size_t n>
Result<Choice> parse(const char* what, const std::array<Named<Choice>, n>& table,
                     std::string_view word) {
  std::vector<std::string> known;
  for (const auto& named : table) {
    if (word == named.word) return named.choice;
    known.emplace_back(named.word);
  }
  return unknown_format(what, std::string(word), known);
}

}  // namespace

Result<WeightPrecision> parse_weights(std::string_view word) {
  return parse("--weights", kWeights, word);
}
Result<CachePrecision> parse_cache(std::string_view word) { return parse("--kv", kCaches, word); }
Result<InputPrecision> parse_inputs(std::string_view word) {
  return parse("--inputs", kInputs, word);
}
Result<TablePrecision> parse_tables(std::string_view word) {
  return parse("--tables", kTables, word);
}
const char* to_string(TablePrecision tables) { return word_of(kTables, tables); }
const char* to_string(InputPrecision inputs) { return word_of(kInputs, inputs); }
const char* to_string(WeightPrecision weights) { return word_of(kWeights, weights); }
const char* to_string(CachePrecision cache) { return word_of(kCaches, cache); }

WeightFormat with_inputs(WeightFormat weights, InputPrecision inputs) {
  return weights.with_fine_inputs(inputs == InputPrecision::k12Bits);
}

StateFormat state_format_of(CachePrecision kv) {
  switch (kv) {
    case CachePrecision::kF32: return DType::kF32;
    case CachePrecision::kBF16: return DType::kBF16;
    case CachePrecision::kQ8: return DType::kI8;
    case CachePrecision::kNative: return {DType::kBF16, CacheFormat::kReleased};
  }
  return DType::kBF16;
}

}  // namespace longhaul
