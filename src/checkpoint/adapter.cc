#include "checkpoint/adapter.h"

#include <array>
#include <cmath>
#include <map>

#include "base/notice.h"
#include "base/printable.h"
#include "checkpoint/module_pattern.h"
#include "formats/coded_tensor.h"
#include "formats/config_reader.h"
#include "formats/safetensors.h"
#include "longhaul/units.h"
#include "tensor/float_at.h"

namespace longhaul {
namespace {

constexpr const char* kConfig = "adapter_config.json";
constexpr const char* kWeights = "adapter_model.safetensors";
constexpr const char* kRemedy = "merge it with the library that made it, and give the result";

// A number of its own for modules whose names end so.
struct Override {
  ModulePattern pattern;
  double value;
};

struct AdapterConfig {
  double rank = 0, alpha = 0;
  std::vector<Override> ranks, alphas;
  bool has_root_scale = false;  // rank-stabilised

  static Result<double> of(const std::vector<Override>& overrides, const ModuleName& module,
                           double fallback) {
    for (const Override& o : overrides) {
      LH_TRY(const bool matches, o.pattern.matches(module));
      if (matches) return o.value;
    }
    return fallback;
  }
};

// --- adapter_config.json -------------------------------------------------------------------------

class ConfigFileReader {
 public:
  ConfigFileReader(const Json& json, const std::string& where) : c_(json, where), where_(where) {}

  Result<AdapterConfig> read() {
    c_.choice("peft_type", {"LORA"});
    a_.rank = static_cast<double>(c_.integer("r", kRanks));
    a_.alpha = c_.number("lora_alpha", kAlphas, 8.0);
    a_.has_root_scale = c_.boolean("use_rslora", false);
    LH_RETURN_IF_ERROR(read_overrides("rank_pattern", a_.ranks));
    LH_RETURN_IF_ERROR(read_overrides("alpha_pattern", a_.alphas));
    refuse_what_is_not_merged();
    c_.ignore(kNotes);
    LH_RETURN_IF_ERROR(or_remedy(c_.finish(), kRemedy));
    return std::move(a_);
  }

 private:
  static constexpr IntRange kRanks = {1, 1 << 16};
  static constexpr NumberRange kAlphas = {-1e6, 1e6};
  static constexpr std::array kNotes = {
      IgnoredField{"base_model_name_or_path", "where the model came from"},
      IgnoredField{"corda_config", "how it was started"},
      IgnoredField{"ensure_weight_tying", "tensors say which weights it changes"},
      IgnoredField{"eva_config", "how it was started"},
      IgnoredField{"exclude_modules", "tensors say which weights it changes"},
      IgnoredField{"inference_mode", "of the library"},
      IgnoredField{"layer_replication", "refused where it asks for something"},
      IgnoredField{"layers_pattern", "tensors say which weights it changes"},
      IgnoredField{"layers_to_transform", "tensors say which weights it changes"},
      IgnoredField{"loftq_config", "how it was started"},
      IgnoredField{"lora_dropout", "training only"},
      IgnoredField{"megatron_config", "of the library"},
      IgnoredField{"megatron_core", "of the library"},
      IgnoredField{"peft_version", "of the library"},
      IgnoredField{"qalora_group_size", "refused where it asks for something"},
      IgnoredField{"revision", "where the model came from"},
      IgnoredField{"runtime_config", "of the library"},
      IgnoredField{"target_modules", "tensors say which weights it changes"},
      IgnoredField{"task_type", "for people"}};

  // A name matches where a module's ends in it, at a dot.
  Status read_overrides(const char* key, std::vector<Override>& overrides) {
    if (!c_.has(key)) {
      c_.ignore(key, "missing");
      return {};
    }
    ConfigReader map = c_.child(key);
    constexpr size_t kMost = 1 << 14;
    for (const std::string& name : map.keys(kMost)) {
      LH_TRY(ModulePattern pattern,
             ModulePattern::match("(?:.*\\.)?(?:" + name + ")\\z", where_ + ": " + key));
      overrides.push_back({std::move(pattern), map.number(name, kAlphas)});
    }
    return {};
  }

  void refuse_what_is_not_merged() {
    for (const char* key : {"use_dora", "fan_in_fan_out", "lora_bias", "use_qalora",
                            "layer_replication", "modules_to_save", "target_parameters",
                            "trainable_token_indices", "alora_invocation_tokens"}) {
      const Json* value = c_.peek(key);
      const bool is_asked = value != nullptr && !value->is_null() &&
                            !(value->as_bool() != nullptr && !*value->as_bool()) &&
                            !(value->as_array() != nullptr && value->as_array()->empty());
      if (is_asked) c_.refuse(key, "is not merged here");
      c_.ignore(key, "asks for nothing, or is refused");
    }
    c_.choice("bias", {"none"}, 0);
    // Others take something out of the model's own weights first.
    const Json* start = c_.peek("init_lora_weights");
    if (start != nullptr && start->as_string() != nullptr)
      c_.choice("init_lora_weights", {"gaussian", "eva", "orthogonal"});
    c_.ignore("init_lora_weights", "read");
  }

  ConfigReader c_;
  std::string where_;
  AdapterConfig a_;
};

// --- adapter_model.safetensors -------------------------------------------------------------------

struct Pair {
  const TensorInfo *a = nullptr, *b = nullptr;
};

Result<std::map<std::string, Pair>> pairs_of(std::span<const TensorInfo> tensors) {
  constexpr std::string_view kA = ".lora_A.weight", kB = ".lora_B.weight";
  std::map<std::string, Pair> pairs;
  for (const TensorInfo& t : tensors) {
    const bool is_a = t.name.ends_with(kA), is_b = t.name.ends_with(kB);
    const bool is_matrix = t.shape.size() == 2 && t.shape[0] > 0 && t.shape[1] > 0;
    if ((!is_a && !is_b) || !is_matrix || !is_float(t.dtype))
      return unsupported(
          "{}: tensor '{}' {} {} is none of a matrix's lora_A.weight and lora_B.weight in F32, "
          "F16 or BF16; {}",
          t.where(), printable(t.name), to_string(t.dtype), shape_text(t.shape), kRemedy);
    Pair& pair = pairs[t.name.substr(0, t.name.size() - kA.size())];
    (is_a ? pair.a : pair.b) = &t;
  }
  for (const auto& [module, pair] : pairs) {
    if (pair.a == nullptr || pair.b == nullptr)
      return corrupt("{}: '{}' has one of lora_A and lora_B alone; download the adapter again",
                     (pair.a != nullptr ? pair.a : pair.b)->where(), printable(module));
  }
  return pairs;
}

// "model.layers.0.mlp.up_proj" of what the library calls "base_model.model.model.layers...".
std::string module_of(const std::string& name) {
  constexpr std::string_view kWrapped = "base_model.model.";
  return name.starts_with(kWrapped) ? name.substr(kWrapped.size()) : name;
}

const TensorInfo* find_weight(const TensorSource& tensors, const ModuleName& module) {
  for (const std::string& name : module.spellings()) {
    if (const TensorInfo* t = tensors.find(name + ".weight")) return t;
  }
  return nullptr;
}

Result<LowRank> product_of(const Pair& pair, const TensorInfo& base, const ModuleName& module,
                           const AdapterConfig& config) {
  LH_TRY(const double rank, AdapterConfig::of(config.ranks, module, config.rank));
  LH_TRY(const double alpha, AdapterConfig::of(config.alphas, module, config.alpha));
  const auto r = static_cast<int64_t>(rank);
  const auto divisor = static_cast<double>(r);
  const bool fits = base.shape.size() == 2 && pair.a->shape == std::vector{r, base.shape[1]} &&
                    pair.b->shape == std::vector{base.shape[0], r};
  if (!fits)
    return corrupt(
        "{}: of '{}', A is {} and B {}, expected a product of rank {} for weights {}; check that "
        "the adapter was made for this model",
        pair.a->where(), printable(module.text()), shape_text(pair.a->shape),
        shape_text(pair.b->shape), r, shape_text(base.shape));
  return LowRank{.n_inputs = base.shape[1],
                 .rank = r,
                 .a = pair.a->bytes.data(),
                 .b = pair.b->bytes.data(),
                 .a_type = pair.a->dtype,
                 .b_type = pair.b->dtype,
                 .scale = alpha / (config.has_root_scale ? std::sqrt(divisor) : divisor)};
}

Result<TensorInfo> merged(const TensorInfo& base, const Pair& pair, const LowRank& product) {
  if (base.coded == nullptr && !is_float(base.dtype))
    return unsupported(
        "{}: tensor '{}' is {}, into which no adapter is merged; give the model in another format",
        base.where(), printable(base.name), to_string(base.dtype));
  CodedTensor::Content content;
  if (base.coded != nullptr) {
    content = base.coded->content();
  } else {
    content = {.rows = base.shape[0],
               .cols = base.shape[1],
               .matrices = {FloatMatrix{base.shape[1], base.bytes.data(), base.dtype}},
               .parts = {base}};
  }
  content.added.push_back(product);
  content.parts.push_back(*pair.a);
  content.parts.push_back(*pair.b);
  TensorInfo whole = base;
  whole.coded = std::make_shared<const CodedTensor>(std::move(content));
  return whole;
}

}  // namespace

Result<std::string> merge_adapter(TensorSource& tensors, const std::string& folder) {
  const std::string config_path = folder + "/" + kConfig, path = folder + "/" + kWeights;
  constexpr size_t kMaxConfigBytes = size_t{16} << 20;
  LH_TRY(const Json json,
         or_remedy(read_json_file(config_path, kMaxConfigBytes),
                   "give a folder with adapter_config.json and adapter_model.safetensors"));
  LH_TRY(const AdapterConfig config, ConfigFileReader(json, config_path).read());
  LH_TRY(MappedFile file, MappedFile::open(path));
  LH_TRY(SafetensorsHeader header, parse_safetensors_header(file.bytes(), file.path()));
  LH_RETURN_IF_ERROR(tensors.add(std::move(file), std::move(header.tensors)));
  const MappedFile* own = tensors.files().back().get();
  std::vector<TensorInfo> adapters;
  for (const TensorInfo& t : tensors.all()) {
    if (t.file == own) adapters.push_back(t);
  }
  LH_TRY(const auto pairs, pairs_of(adapters));
  std::set<std::string, std::less<>> gone;
  std::vector<TensorInfo> made;
  uint64_t bytes = 0;
  for (const auto& [name, pair] : pairs) {
    const ModuleName module(module_of(name));
    const TensorInfo* base = find_weight(tensors, module);
    if (base == nullptr)
      return corrupt(
          "{}: the model has no weight of '{}'; check that the adapter was made for this model",
          path, printable(module.text()));
    LH_TRY(const LowRank product, product_of(pair, *base, module, config));
    LH_TRY(TensorInfo whole, merged(*base, pair, product));
    made.push_back(std::move(whole));
    gone.insert({base->name, pair.a->name, pair.b->name});
    bytes += pair.a->bytes.size() + pair.b->bytes.size();
  }
  LH_RETURN_IF_ERROR(tensors.replace(gone, std::move(made)));
  notice(
      "{}: merged into {} weights; loading reads {} for it, and a token costs as much as without",
      folder, pairs.size(), format_bytes(bytes));
  return json.dump();
}

}  // namespace longhaul
