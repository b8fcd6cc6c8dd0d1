// What a config says of quantised weights: the container that holds them, and how each module's are
// coded. Which modules are quantised is for the tensors to say (coded_tensors.h).
//
// Read are quantization_config of compressed-tensors, GPTQ, AWQ, AutoRound, ModelOpt and the mobile
// format (models/quant_methods.h), and MLX's quantization. Every field is known, or an error names
// it.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/errors.h"
#include "base/json.h"
#include "checkpoint/module_pattern.h"

namespace longhaul {

enum class QuantMethod {
  kPlain,  // a note of how weights were trained, without a method: nothing is quantised
  kCompressedTensors,
  kGptq,
  kAwq,
  kMlx,
  kModelOpt,
  kMobile,
};
const char* to_string(QuantMethod method);  // "GPTQ"

// What weights share a scale with.
enum class ScaleSpread { kTensor, kOutput, kGroup, kBlock };

struct QuantScheme {
  int bits = 4;
  bool is_float = false;
  bool is_symmetric = true;  // integers without zeros of their own
  ScaleSpread spread = ScaleSpread::kGroup;
  int64_t group_inputs = 0;  // of kGroup and kBlock
  int64_t block_rows = 1;    // of kBlock

  bool operator==(const QuantScheme&) const = default;
};

struct QuantRule {
  std::vector<ModulePattern> targets;
  std::optional<QuantScheme> scheme;  // none: not quantised
};

struct Quantisation {
  QuantMethod method = QuantMethod::kPlain;
  // The closest pattern counts, of equal ones the first; one that leaves modules out goes before
  // those behind it.
  std::vector<QuantRule> rules;
  std::unordered_map<std::string, size_t> rule_of;  // by name, where rules give names
  std::optional<QuantScheme> fallback;              // of modules that no rule names
  bool stores_zeros_less_one = false;               // GPTQ's first version
  bool rounds_inputs = false;                       // it asks for inputs or outputs in fewer bits
  Json source;                                      // an object of the field that it was read from

  struct Verdict {
    bool is_named = false;
    const QuantScheme* scheme = nullptr;
  };
  Result<Verdict> scheme_of(const ModuleName& module) const;
};

// Takes it out of a config and reads it. Nothing, and the config as it was, where it has none, or
// one of another method: whoever reads the config next knows that, or refuses it by name.
//   where  the file, opens every message
Result<std::optional<Quantisation>> take_quantisation(Json& config, const std::string& where);

// What ModelOpt writes beside a config that says nothing of it: hf_quant_config.json.
Result<Quantisation> read_modelopt_file(const Json& file, const std::string& where);

}  // namespace longhaul
