#include "cli/command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "cli/option_values.h"
#include "cli/output.h"
#include "cli/standard_streams.h"
#include "longhaul/nearest.h"

namespace longhaul::cli {

void add_load_options(CLI::App& command, LoadOptions& o) {
  add_weights(command, "--weights", o.weights,
              "how weights are kept: auto (as in the checkpoint), f32, bf16, q8, q4, or "
              "released: each in its type in the checkpoint",
              {"auto", "f32", "bf16", "q8", "q4", "released"});
  add_cache(command, o.kv,
            "how keys and values are kept: bf16, f32, q8 (8 bits with a scale a vector)");
  add_inputs(command, o.inputs);
  add_threads(command, o.threads);
  add_count(command, "--context", o.context,
            "tokens a sequence may hold, such as 8192 or 128k (default 4096, or the model's "
            "maximum if less)",
            {.min = 1});
  add_count(command, "--chunk", o.max_batch_tokens, "tokens of a prompt per step (default 512)",
            {.min = 1});
  add_bytes(command, "--memory", o.memory_limit,
            "memory the model may use, such as 8GiB (default: what is available)");
  add_expert_cache(command, o.expert_cache);
  add_config_options(command, o.config);
  add_lora(command, o.config);
  o.on_notice = tell;
}

void add_threads(CLI::App& command, int& threads) {
  add_count(command, "--threads", threads, "threads (default, or 0: the processors at hand)",
            {.max = 1024});
}

void add_expert_cache(CLI::App& command, uint64_t& bytes) {
  add_bytes(command, "--expert-cache", bytes,
            "hold so many bytes of experts, such as 8GiB, and read the others from the checkpoint "
            "as tokens choose them (default: hold all)");
}

namespace {

template <class Choice, class Parse>
void add_precision(CLI::App& command, const std::string& name, Choice& value,
                   const std::string& help, const std::vector<std::string>& words,
                   const Parse& parse) {
  const auto take = [&value, name, words, parse](const std::string& word) {
    if (std::find(words.begin(), words.end(), word) == words.end()) {
      throw CLI::ValidationError(fmt::format("{} '{}' is not known here; use one of {}{}", name,
                                             shown(word), fmt::join(words, ", "),
                                             did_you_mean(word, words)));
    }
    value = *parse(word);
  };
  command.add_option_function<std::string>(name, take, help)
      ->default_str(to_string(value))
      ->type_name("TEXT");
}

}  // namespace

void add_weights(CLI::App& command, const std::string& name, WeightPrecision& value,
                 const std::string& help, const std::vector<std::string>& words) {
  add_precision(command, name, value, help, words, parse_weights);
}

void add_cache(CLI::App& command, CachePrecision& value, const std::string& help) {
  add_precision(command, "--kv", value, help, {"f32", "bf16", "q8", "released"}, parse_cache);
}

void add_inputs(CLI::App& command, InputPrecision& value) {
  add_precision(command, "--inputs", value,
                "bits of what integer weights are multiplied by: 8, or 12, which multiplies twice "
                "and loses next to nothing",
                {"8", "12"}, parse_inputs);
}

void add_tables(CLI::App& command, TablePrecision& value) {
  add_precision(command, "--tables", value,
                "how tables are kept of which a token reads a row: as-is, q8 or q4 (8.5 and 4.5 "
                "bits an element)",
                {"as-is", "q8", "q4"}, parse_tables);
}

void add_config_options(CLI::App& command, ConfigOptions& options) {
  command
      .add_option("--set", options.overrides,
                  "change a field of config.json before it is read: a dotted path and a JSON "
                  "value, such as "
                  "rope_parameters.full_attention.attention_factor=1.2; null takes it away (may be "
                  "given several times)")
      ->type_name("FIELD=VALUE")
      ->allow_extra_args(false);
  command.add_flag("--ignore-unknown-fields", options.ignore_unknown_fields,
                   "go on where config.json has fields that are not known here, at your own risk: "
                   "they may change results");
}

void add_lora(CLI::App& command, ConfigOptions& options) {
  command
      .add_option("--lora", options.lora,
                  "merge a LoRA adapter into the weights as they are loaded: a folder with "
                  "adapter_config.json and adapter_model.safetensors")
      ->type_name("DIR");
}

CLI::Option* add_output(CLI::App& command, const std::string& name, std::string& path,
                        const std::string& help) {
  const auto take = [&path](const std::string& text) { path = text == "-" ? "/dev/stdout" : text; };
  return command.add_option_function<std::string>(name, take, help + "; - is standard output")
      ->type_name("FILE");
}

void SamplingFlags::add_to(CLI::App& c) {
  using S = SamplingOptions;
  const auto set = [this](auto field) {
    return [this, field](auto value) {
      changes_.emplace_back([field, value](S& s) { s.*field = value; });
    };
  };
  add_number(c, "--temp,--temperature", set(&S::temperature),
             "temperature; 0 takes the likeliest token", 0, 100);
  add_count(c, "--top-k", set(&S::top_k), "choose among the K likeliest tokens; 0: all");
  add_number(c, "--top-p", set(&S::top_p),
             "choose among the fewest tokens whose probability reaches P", 0, 1);
  add_number(c, "--min-p", set(&S::min_p),
             "leave out tokens less likely than P times the likeliest", 0, 1);
  add_number(c, "--repetition-penalty", set(&S::repetition_penalty),
             "make tokens of prompt and answer less likely; 1: off", 0.01, 100);
  add_number(c, "--presence-penalty", set(&S::presence_penalty),
             "taken from the logit of every token of the answer", -100, 100);
  add_number(c, "--frequency-penalty", set(&S::frequency_penalty),
             "taken once for each time a token is in the answer", -100, 100);
  add_seed(c, set(&S::seed), "random seed; the same seed gives the same text");
}

SamplingOptions SamplingFlags::over(SamplingOptions s) const {
  s.seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  for (const auto& change : changes_) change(s);
  return s;
}

static double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Progress::operator()(std::string_view what, double fraction) {
  const double now = seconds();
  if (first_ == 0) first_ = now;
  if (!stderr_is_terminal() || now - first_ < 1.0 || (now - last_ < 0.1 && fraction < 1.0)) return;
  last_ = now;
  shown_ = true;
  constexpr int kWidth = 30;
  const int filled = static_cast<int>(fraction * kWidth);
  write_err(fmt::format("\r{} [{:<{}}] {:3.0f} %", what,
                        std::string(static_cast<size_t>(filled), '#'), kWidth, 100 * fraction));
}

Progress::~Progress() {
  if (shown_) write_err("\r\x1b[K");
}

}  // namespace longhaul::cli
