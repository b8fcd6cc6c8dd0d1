#include "checkpoint/quantisation.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/notice.h"
#include "base/printable.h"
#include "formats/config_reader.h"
#include "models/quant_methods.h"

namespace longhaul {
namespace {

constexpr const char* kRemedy =
    "get another quantisation of the model, or the checkpoint that it was made from";

// Modules of which a map of a config has something to say.
constexpr size_t kMaxModules = 1 << 14;

QuantScheme integers(int64_t bits, int64_t group_inputs, bool is_symmetric) {
  return {.bits = static_cast<int>(bits),
          .is_symmetric = is_symmetric,
          .spread = group_inputs > 0 ? ScaleSpread::kGroup : ScaleSpread::kOutput,
          .group_inputs = std::max<int64_t>(group_inputs, 0)};
}

constexpr IntRange kGroupRange = {-1, 1 << 20};

// --- compressed-tensors --------------------------------------------------------------------------

class CompressedTensorsReader {
 public:
  CompressedTensorsReader(ConfigReader c, std::string where)
      : c_(std::move(c)), where_(std::move(where)) {}

  Result<Quantisation> read() {
    q_.method = QuantMethod::kCompressedTensors;
    read_format(c_);
    c_.ignore(kNotes);
    if (c_.has("sparsity_config")) read_sparsity(c_.child("sparsity_config"));
    for (const char* key : {"transform_config", "moe_sparsity_config"}) {
      const Json* value = c_.peek(key);
      if (value != nullptr && value->as_object() != nullptr && !value->as_object()->empty())
        c_.refuse(key, "is not read");
      c_.ignore(key, "empty, or refused");
    }
    for (const std::string& text : c_.strings("ignore", {0, kMaxModules})) {
      LH_TRY(ModulePattern pattern, ModulePattern::target(text, where_ + ": ignore"));
      ignored_.push_back(std::move(pattern));
    }
    q_.rules.push_back({std::move(ignored_), std::nullopt});
    ConfigReader groups = c_.child("config_groups");
    for (const std::string& name : groups.keys())
      LH_RETURN_IF_ERROR(read_group(groups.child(name)));
    return std::move(q_);
  }

 private:
  static constexpr std::array kNotes = {
      IgnoredField{"quant_method", "read"}, IgnoredField{"version", "of the program that wrote it"},
      IgnoredField{"quantization_status", "tensors state what they are"},
      IgnoredField{"global_compression_ratio", "for people"},
      IgnoredField{"kv_cache_scheme", "--kv says how the cache is kept"}};

  // Tensors state how they are stored; what none of them may be is refused here.
  static void read_format(ConfigReader& c) {
    c.choice(
        "format",
        {"mixed-precision", "pack-quantized", "int-quantized", "float-quantized", "naive-quantized",
         "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized", "dense"},
        0);
  }

  static void read_sparsity(ConfigReader c) {
    c.choice("format", {"dense"}, 0);
    c.ignore("registry_requires_subclass", "of the program that wrote it");
    c.ignore("targets", "dense");
    c.ignore("ignore", "dense");
    c.ignore("global_sparsity", "dense");
    c.ignore("sparsity_structure", "dense");
  }

  Status read_group(ConfigReader g) {
    read_format(g);
    for (const char* key : {"input_activations", "output_activations"}) {
      q_.rounds_inputs = q_.rounds_inputs || g.has(key);
      g.ignore(key, "inputs are rounded as --weights says");
    }
    QuantRule rule;
    for (const std::string& text : g.strings("targets", {1, kMaxModules})) {
      LH_TRY(ModulePattern pattern, ModulePattern::target(text, where_ + ": targets"));
      rule.targets.push_back(std::move(pattern));
    }
    if (g.has("weights")) {
      rule.scheme = read_weights(g.child("weights"));
    } else {
      g.ignore("weights", "missing");
    }
    q_.rules.push_back(std::move(rule));
    return {};
  }

  static QuantScheme read_weights(ConfigReader w) {
    for (const char* key : {"observer", "observer_kwargs", "actorder", "scale_dtype", "zp_dtype"})
      w.ignore(key, "how they were made; tensors state what they are");
    QuantScheme s{.bits = static_cast<int>(w.integer("num_bits", {1, 8}, 8)),
                  .is_float = w.choice("type", {"int", "float"}, 0) == 1,
                  .is_symmetric = w.boolean("symmetric", true)};
    if (w.has("dynamic") && w.boolean("dynamic")) w.refuse("dynamic", "weights are stored");
    w.ignore("dynamic", "false");
    s.group_inputs = w.integer("group_size", kGroupRange, 0);
    const size_t by_size = s.group_inputs > 0 ? 2 : s.group_inputs < 0 ? 1 : 0;
    const size_t strategy =
        w.choice("strategy", {"tensor", "channel", "group", "tensor_group", "block"}, by_size);
    s.spread = strategy == 0   ? ScaleSpread::kTensor
               : strategy == 1 ? ScaleSpread::kOutput
               : strategy == 4 ? ScaleSpread::kBlock
                               : ScaleSpread::kGroup;
    if (s.spread == ScaleSpread::kGroup && s.group_inputs <= 0)
      w.fail("group_size", "missing, expected the inputs that share a scale");
    if (s.spread == ScaleSpread::kBlock) {
      const auto block = w.integers("block_structure", {2, 2}, {1, 1 << 20});
      if (block.size() == 2) s.block_rows = block[0], s.group_inputs = block[1];
    }
    w.ignore("block_structure", "of blocks alone");
    if (s.is_float && s.bits != 8 && s.bits != 4)
      w.refuse("num_bits", fmt::format("{} bits are not read of floats: 8 and 4 are", s.bits));
    if (s.is_float && !s.is_symmetric) w.refuse("symmetric", "floats with zeros are not read");
    return s;
  }

  ConfigReader c_;
  std::string where_;
  Quantisation q_;
  std::vector<ModulePattern> ignored_;
};

// --- GPTQ, AWQ, AutoRound ------------------------------------------------------------------------

// How weights were found, or which code was to run them.
constexpr const char* kHowMade[] = {"quant_method",
                                    "act_group_aware",
                                    "autoround_version",
                                    "backend",
                                    "batch_size",
                                    "block_name_to_quantize",
                                    "cache_block_outputs",
                                    "damp_auto_increment",
                                    "damp_percent",
                                    "dataset",
                                    "desc_act",
                                    "do_fuse",
                                    "enable_alg_ext",
                                    "enable_minmax_tuning",
                                    "enable_norm_bias_tuning",
                                    "enable_quanted_input",
                                    "exllama_config",
                                    "fuse_max_seq_len",
                                    "gradient_accumulate_steps",
                                    "iters",
                                    "lm_head",
                                    "low_gpu_mem_usage",
                                    "lr",
                                    "max_input_length",
                                    "meta",
                                    "minmax_lr",
                                    "model_file_base_name",
                                    "model_name_or_path",
                                    "model_seqlen",
                                    "module_name_preceding_first_block",
                                    "modules_in_block_to_quantize",
                                    "modules_to_fuse",
                                    "nsamples",
                                    "pad_token_id",
                                    "quant_block_list",
                                    "quant_lm_head",
                                    "scale_dtype",
                                    "seqlen",
                                    "static_groups",
                                    "to_quant_block_names",
                                    "tokenizer",
                                    "true_sequential",
                                    "use_cuda_fp16",
                                    "use_exllama"};

void ignore_how_made(ConfigReader& c) {
  for (const char* key : kHowMade) c.ignore(key, "how weights were found, or what was to run them");
}

// bits, group_size and sym, of all or, where some are missing, as `of_all` has them.
QuantScheme read_integers(ConfigReader c, const QuantScheme& of_all) {
  const int64_t bits = c.integer("bits", {2, 8}, of_all.bits);
  if (bits != 2 && bits != 4 && bits != 8) c.refuse("bits", "2, 4 and 8 are read");
  const int64_t group = c.integer("group_size", kGroupRange,
                                  of_all.spread == ScaleSpread::kGroup ? of_all.group_inputs : -1);
  return integers(bits, group, c.boolean("sym", of_all.is_symmetric));
}

// "+:REGEX" gives modules a scheme of their own, "-:REGEX" none.
Status read_dynamic(ConfigReader c, const std::string& where, Quantisation& q) {
  for (const std::string& key : c.keys(kMaxModules)) {
    const bool is_positive = !key.starts_with("-:");
    const bool has_sign = !is_positive || key.starts_with("+:");
    QuantRule rule;
    LH_TRY(ModulePattern pattern,
           ModulePattern::match(std::string_view(key).substr(has_sign ? 2 : 0), where));
    rule.targets.push_back(std::move(pattern));
    ConfigReader of_module = c.child(key);
    for (const char* made : {"desc_act", "damp_percent", "mse", "static_groups"})
      of_module.ignore(made, "how weights were found");
    if (is_positive) rule.scheme = read_integers(of_module, *q.fallback);
    q.rules.push_back(std::move(rule));
  }
  return {};
}

Result<Quantisation> read_gptq(ConfigReader c, const std::string& where) {
  Quantisation q{.method = QuantMethod::kGptq};
  ignore_how_made(c);
  const char* const version = c.has("checkpoint_format") ? "checkpoint_format" : "format";
  q.stores_zeros_less_one = c.choice(version, {"gptq", "gptq_v2"}, 0) == 0;
  c.ignore("format", "an older name of checkpoint_format");
  c.choice("pack_dtype", {"int32"}, 0);
  if (c.boolean("is_marlin_format", false)) c.refuse("is_marlin_format", "Marlin's layout");
  c.integer("bits", {2, 8});  // required of all
  q.fallback = read_integers(c, integers(4, 128, true));
  if (c.has("dynamic")) LH_RETURN_IF_ERROR(read_dynamic(c.child("dynamic"), where, q));
  c.ignore("dynamic", "read");
  return q;
}

void read_unconverted(ConfigReader& c, Quantisation& q) {
  QuantRule rule;
  for (std::string& part : c.strings("modules_to_not_convert", {0, kMaxModules}))
    rule.targets.push_back(ModulePattern::part(std::move(part)));
  q.rules.push_back(std::move(rule));
}

Result<Quantisation> read_awq(ConfigReader c, const std::string&) {
  Quantisation q{.method = QuantMethod::kAwq};
  ignore_how_made(c);
  c.choice("version", {"gemm", "GEMM"}, 0);
  const int64_t bits = c.integer("bits", {4, 4});
  const int64_t group = c.integer("group_size", kGroupRange, 128);
  if (!c.boolean("zero_point", true)) c.refuse("zero_point", "weights without zeros are not read");
  q.fallback = integers(bits, group, false);
  read_unconverted(c, q);
  return q;
}

// A module's name, or an expression.
Status read_extra_config(ConfigReader c, const std::string& where, Quantisation& q) {
  for (const std::string& key : c.keys(kMaxModules)) {
    QuantRule rule;
    rule.targets.push_back(ModulePattern::name(key));
    if (key.find_first_of("*+?[({|\\^$") != key.npos) {
      LH_TRY(ModulePattern pattern, ModulePattern::match(key, where));
      rule.targets.push_back(std::move(pattern));
    }
    ConfigReader of_module = c.child(key);
    for (const char* made : {"data_type", "act_bits", "act_group_size", "act_sym", "act_dynamic",
                             "act_data_type", "super_bits", "super_group_size", "scale_dtype"})
      of_module.ignore(made, "of inputs, or how weights were found");
    constexpr int64_t kPlainBits = 16;
    const Json* bits = of_module.peek("bits");
    if (bits == nullptr || bits->as_int() == nullptr || *bits->as_int() < kPlainBits) {
      rule.scheme = read_integers(of_module, *q.fallback);
    } else {
      for (const char* field : {"bits", "group_size", "sym"}) of_module.ignore(field, "plain");
    }
    q.rules.push_back(std::move(rule));
  }
  return {};
}

Result<Quantisation> read_auto_round(ConfigReader c, const std::string& where) {
  const size_t packing = c.choice(
      "packing_format", {"auto_round:auto_gptq", "auto_round:gptq", "auto_round:auto_awq"}, 1);
  Quantisation q{.method = packing == 2 ? QuantMethod::kAwq : QuantMethod::kGptq,
                 .stores_zeros_less_one = packing != 2};
  ignore_how_made(c);
  c.choice("data_type", {"int"}, 0);
  for (const char* key : {"act_bits", "act_data_type", "act_dynamic", "act_group_size", "act_sym"})
    c.ignore(key, "inputs are rounded as --weights says");
  c.integer("bits", {2, 8});  // required of all
  q.fallback = read_integers(c, integers(4, 128, true));
  if (packing == 2 && q.fallback->bits != 4) c.refuse("bits", "4 are read of AWQ's layout");
  if (c.has("extra_config"))
    LH_RETURN_IF_ERROR(read_extra_config(c.child("extra_config"), where, q));
  c.ignore("extra_config", "read");
  read_unconverted(c, q);
  return q;
}

// --- MLX -----------------------------------------------------------------------------------------

QuantScheme read_mlx_scheme(ConfigReader c, const QuantScheme* of_all) {
  enum { kAffine, kMxfp4, kMxfp8, kNvfp4 };
  size_t mode_of_all = kAffine;
  if (of_all != nullptr && of_all->is_float)
    mode_of_all = of_all->bits == 8 ? kMxfp8 : of_all->group_inputs == 16 ? kNvfp4 : kMxfp4;
  const size_t mode = c.choice("mode", {"affine", "mxfp4", "mxfp8", "nvfp4"}, mode_of_all);
  if (mode != kAffine) {
    const int64_t bits = mode == kMxfp8 ? 8 : 4, group = mode == kNvfp4 ? 16 : 32;
    c.integer("bits", {bits, bits}, bits);
    c.integer("group_size", {group, group}, group);
    return {.bits = static_cast<int>(bits), .is_float = true, .group_inputs = group};
  }
  const bool has_default = of_all != nullptr && !of_all->is_float;
  const auto fallback = [&](int64_t value) {
    return has_default ? std::optional(value) : std::nullopt;
  };
  const int64_t bits = c.integer("bits", {2, 8}, fallback(has_default ? of_all->bits : 0));
  const int64_t group =
      c.integer("group_size", {1, 1 << 16}, fallback(has_default ? of_all->group_inputs : 0));
  if (bits == 7) c.refuse("bits", "2, 3, 4, 5, 6 and 8 are read");
  return integers(bits, group, false);
}

Result<Quantisation> read_mlx(ConfigReader c, const std::string&) {
  Quantisation q{.method = QuantMethod::kMlx};
  c.ignore("quant_method", "read");
  q.fallback = read_mlx_scheme(c, nullptr);
  for (const std::string& key : c.keys(kMaxModules)) {
    const Json* value = c.peek(key);
    const bool is_off = value->as_bool() != nullptr;
    if (!is_off && value->as_object() == nullptr) continue;  // a field, not a module
    QuantRule rule;
    rule.targets.push_back(ModulePattern::name(key));
    if (is_off) {
      if (!c.boolean(key)) {
        q.rules.push_back(std::move(rule));
        continue;
      }
      rule.scheme = q.fallback;
    } else {
      rule.scheme = read_mlx_scheme(c.child(key), &*q.fallback);
    }
    q.rules.push_back(std::move(rule));
  }
  return q;
}

// --- ModelOpt ------------------------------------------------------------------------------------

// Whether inputs are rounded too.
bool read_algorithm(ConfigReader& c) {
  return c.choice("quant_algo", {"W4A16_NVFP4", "NVFP4", "FP8", "FP8_PER_CHANNEL_PER_TOKEN",
                                 "MIXED_PRECISION"}) != 0;
}

// Tensors state which of the two they are, FP8 or NVFP4.
Result<Quantisation> read_modelopt(ConfigReader c, const std::string&) {
  Quantisation q{.method = QuantMethod::kModelOpt, .rounds_inputs = read_algorithm(c)};
  for (const char* key :
       {"quant_method", "producer", "kv_cache_quant_algo", "kv_cache_scheme", "kv_cache_dtype",
        "exclude_modules", "ignore", "config_groups", "group_size", "version"})
    c.ignore(key, "tensors state what they are");
  if (c.has("quantized_layers")) {
    ConfigReader layers = c.child("quantized_layers");
    for (const std::string& name : layers.keys(kMaxModules)) {
      ConfigReader layer = layers.child(name);
      read_algorithm(layer);
      layer.ignore("group_size", "tensors state what they are");
    }
  }
  return q;
}

// --- the mobile format ---------------------------------------------------------------------------

Result<Quantisation> read_mobile(ConfigReader c, const std::string& where) {
  Quantisation q{.method = QuantMethod::kMobile, .rounds_inputs = true};
  c.ignore("quant_method", "read");
  c.ignore("quantize_embeddings", "tensors state what they are");
  const auto scheme = [](ConfigReader from, std::optional<int64_t> fallback) {
    const int64_t bits = from.integer("num_bits", {2, 8}, fallback);
    if (bits != 2 && bits != 4 && bits != 8) from.refuse("num_bits", "2, 4 and 8 are read");
    return QuantScheme{.bits = static_cast<int>(bits), .spread = ScaleSpread::kOutput};
  };
  q.fallback = scheme(c, 8);
  read_unconverted(c, q);
  if (c.has("module_quant_configs")) {
    ConfigReader modules = c.child("module_quant_configs");
    for (const std::string& key : modules.keys(kMaxModules)) {
      QuantRule rule;
      LH_TRY(ModulePattern pattern, ModulePattern::search(key, where));
      rule.targets.push_back(std::move(pattern));
      rule.scheme = scheme(modules.child(key), q.fallback->bits);
      q.rules.push_back(std::move(rule));
    }
  }
  c.ignore("module_quant_configs", "read");
  return q;
}

// --- which of them -------------------------------------------------------------------------------

Result<Quantisation> read_compressed_tensors(ConfigReader c, const std::string& where) {
  return CompressedTensorsReader(std::move(c), where).read();
}

struct Method {
  std::string_view name;
  Result<Quantisation> (*read)(ConfigReader, const std::string& where);
};
constexpr std::string_view kMlxMethod = "mlx";
constexpr std::array kMethods = {Method{"compressed-tensors", read_compressed_tensors},
                                 Method{"gptq", read_gptq},
                                 Method{"awq", read_awq},
                                 Method{"auto-round", read_auto_round},
                                 Method{"modelopt", read_modelopt},
                                 Method{kMobileQuantMethod, read_mobile},
                                 Method{kMlxMethod, read_mlx}};

// A field that an object may have under several names.
constexpr std::array kFields = {"quantization_config", "compression_config", "quantization"};

bool asks_for_nothing(const Json& value) {
  return value.as_object() == nullptr || value.as_object()->empty();
}

// Empty where it names none.
std::string method_of(const Json& value) {
  const Json* method = value.find("quant_method");
  if (method != nullptr && method->as_string() != nullptr) return *method->as_string();
  if (value.find("config_groups") != nullptr) return "compressed-tensors";
  const bool is_mlx = value.find("bits") != nullptr && value.find("group_size") != nullptr;
  return is_mlx ? std::string(kMlxMethod) : "";
}

// Expressions are tried on every module, so there are not more of them than somebody writes.
Status index_names(Quantisation& q, const std::string& where) {
  constexpr size_t kMostExpressions = 512;
  size_t n_expressions = 0;
  for (size_t i = 0; i < q.rules.size(); ++i) {
    for (const ModulePattern& pattern : q.rules[i].targets) {
      if (pattern.is_name()) {
        q.rule_of.emplace(pattern.text(), i);
      } else if (++n_expressions > kMostExpressions) {
        return unsupported("{}: has more than {} expressions and classes for modules; {}", where,
                           kMostExpressions, kRemedy);
      }
    }
  }
  return {};
}

Result<Quantisation> read_field(const std::string& key, const Json& value, const Method& method,
                                const std::string& where) {
  // So that messages and --set call fields by their paths.
  const Json wrapped = Json::object({{key, value}});
  ConfigReader root(wrapped, where);
  LH_TRY(Quantisation q, or_remedy(method.read(root.child(key), where + ": " + key), kRemedy));
  LH_RETURN_IF_ERROR(or_remedy(root.finish(), kRemedy));
  LH_RETURN_IF_ERROR(index_names(q, where + ": " + key));
  q.source = wrapped;
  return q;
}

void erase(Json& object, std::string_view key) {
  std::erase_if(*object.as_object(), [&](const Json::Member& m) { return m.first == key; });
}

// Takes equal copies away as well: one that differs is left to be refused.
void erase_copies(Json& object, const std::string& taken) {
  for (const char* key : kFields) {
    const Json* value = object.find(key);
    if (value != nullptr && value->dump() == taken) erase(object, key);
  }
}

Json* text_config_of(Json& config) {
  Json::Object* members = config.as_object();
  for (size_t i = 0; members != nullptr && i < members->size(); ++i) {
    Json& value = (*members)[i].second;
    if ((*members)[i].first == "text_config" && value.as_object() != nullptr) return &value;
  }
  return nullptr;
}

struct Found {
  std::string key;
  Json value;
};
std::optional<Found> find_field(const Json& config) {
  const Json* inner = config.find("text_config");
  for (const Json* object : {&config, inner}) {
    for (const char* key : kFields) {
      const Json* value = object == nullptr ? nullptr : object->find(key);
      if (value != nullptr && !asks_for_nothing(*value)) return Found{key, *value};
    }
  }
  return std::nullopt;
}

void take(Json& config, const Json& value) {
  const std::string taken = value.dump();
  erase_copies(config, taken);
  if (Json* inner = text_config_of(config)) erase_copies(*inner, taken);
}

}  // namespace

const char* to_string(QuantMethod method) {
  constexpr std::array kNames = {"plain weights", "compressed-tensors", "GPTQ", "AWQ", "MLX",
                                 "ModelOpt",      "the mobile format"};
  return kNames.at(static_cast<size_t>(method));
}

Result<Quantisation::Verdict> Quantisation::scheme_of(const ModuleName& module) const {
  const QuantRule* closest = nullptr;
  size_t end = rules.size();
  for (const std::string& name : module.spellings()) {
    const auto it = rule_of.find(name);
    if (it == rule_of.end() || it->second >= end) continue;
    end = it->second;
    closest = &rules[end];
  }
  const QuantRule* by_pattern = nullptr;
  int rank = 0;
  for (const QuantRule& rule : std::span(rules).first(end)) {
    for (const ModulePattern& pattern : rule.targets) {
      if (pattern.is_name() || (by_pattern != nullptr && pattern.rank() >= rank)) continue;
      LH_TRY(const bool matches, pattern.matches(module));
      if (!matches) continue;
      if (!rule.scheme) return Verdict{true, nullptr};
      by_pattern = &rule;
      rank = pattern.rank();
    }
  }
  if (closest == nullptr) closest = by_pattern;
  if (closest != nullptr) return Verdict{true, closest->scheme ? &*closest->scheme : nullptr};
  return Verdict{false, fallback ? &*fallback : nullptr};
}

Result<std::optional<Quantisation>> take_quantisation(Json& config, const std::string& where) {
  const std::optional<Found> found = find_field(config);
  if (!found) return std::optional<Quantisation>();
  const std::string name = method_of(found->value);
  if (name.empty()) {
    notice("{}: {} names no quant_method: weights are taken for the plain tensors that files hold",
           where, found->key);
    take(config, found->value);
    return std::optional(Quantisation{.source = Json::object({{found->key, found->value}})});
  }
  const auto method = std::find_if(kMethods.begin(), kMethods.end(),
                                   [&](const Method& m) { return m.name == name; });
  if (method == kMethods.end()) return std::optional<Quantisation>();
  LH_TRY(Quantisation q, read_field(found->key, found->value, *method, where));
  if (q.rounds_inputs)
    notice(
        "{}: {} rounds inputs of matrices as well; here they are rounded as --weights says, and "
        "not at all in f32",
        where, found->key);
  take(config, found->value);
  return std::optional(std::move(q));
}

Result<Quantisation> read_modelopt_file(const Json& file, const std::string& where) {
  constexpr const char* kKey = "quantization";
  const Json* value = file.find(kKey);
  if (value == nullptr || asks_for_nothing(*value))
    return corrupt("{}: no '{}'; download the file again", where, kKey);
  LH_TRY(Quantisation q, read_field(kKey, *value, {"modelopt", read_modelopt}, where));
  Json with_method = *value;
  with_method.set("quant_method", "modelopt");
  q.source = Json::object({{"quantization_config", std::move(with_method)}});
  return q;
}

}  // namespace longhaul
