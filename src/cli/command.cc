#include "cli/command.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "longhaul/terminal.h"
#include "longhaul/units.h"

namespace longhaul::cli {

int fail(const Error& error) {
  fmt::print(stderr, "longhaul: {}\n", error.message);
  return exit_status(error.code);
}

void warn(std::string_view line) { fmt::print(stderr, "longhaul: {}\n", line); }

CLI::Option* add_count(CLI::App& command, const std::string& name, int64_t& value, const std::string& help, int64_t min) {
  return command
      .add_option_function<std::string>(
          name,
          [&value, name, min](const std::string& text) {
            const Result<int64_t> count = parse_count(text);
            if (!count.ok()) throw CLI::ValidationError(name, count.error().message);
            if (*count < min) throw CLI::ValidationError(name, fmt::format("must be at least {}, given {}", min, text));
            value = *count;
          },
          help)
      ->type_name("N");
}

CLI::Option* add_counts(CLI::App& command, const std::string& name, std::vector<int64_t>& values, const std::string& help) {
  return command
      .add_option_function<std::vector<std::string>>(
          name,
          [&values, name](const std::vector<std::string>& texts) {
            values.clear();
            for (const std::string& text : texts) {
              const Result<int64_t> count = parse_count(text);
              if (!count.ok()) throw CLI::ValidationError(name, count.error().message);
              values.push_back(*count);
            }
          },
          help)
      ->delimiter(',')
      ->type_name("N,...");
}

CLI::Option* add_bytes(CLI::App& command, const std::string& name, uint64_t& value, const std::string& help) {
  return command
      .add_option_function<std::string>(
          name,
          [&value, name](const std::string& text) {
            const Result<uint64_t> bytes = parse_bytes(text);
            if (!bytes.ok()) throw CLI::ValidationError(name, bytes.error().message);
            value = *bytes;
          },
          help)
      ->type_name("SIZE");
}

void add_load_options(CLI::App& command, LoadOptions& o) {
  command
      .add_option("--weights", o.weights,
                  "how weights are kept: auto (as in the checkpoint), f32, bf16, q8, q4, or released: each in its type in the checkpoint")
      ->capture_default_str();
  command.add_option("--kv", o.kv, "how keys and values are kept: bf16, f32, q8 (8 bits with a scale a vector)")->capture_default_str();
  command.add_option("--threads", o.threads, "threads; 0: the processors at hand")->check(CLI::Range(0, 1024))->capture_default_str();
  add_count(command, "--context", o.context,
            "tokens a sequence may hold, such as 8192 or 128k (default 4096, or the model's maximum if less)", 1);
  add_count(command, "--chunk", o.chunk, "tokens of a prompt per step (default 512)", 1);
  add_bytes(command, "--memory", o.memory_limit, "memory the model may use, such as 8GiB (default: what is available)");
  add_expert_cache(command, o.expert_cache);
  add_config_options(command, o.config_overrides, o.ignore_unknown_fields);
  o.warn = warn;
}

void add_expert_cache(CLI::App& command, uint64_t& bytes) {
  add_bytes(
      command, "--expert-cache", bytes,
      "hold so many bytes of experts, such as 8GiB, and read the others from the checkpoint as tokens choose them (default: hold all)");
}

void add_config_options(CLI::App& command, std::vector<std::string>& overrides, bool& ignore_unknown_fields) {
  command
      .add_option("--set", overrides,
                  "change a field of config.json before it is read: a dotted path and a JSON value, such as "
                  "rope_parameters.full_attention.attention_factor=1.2; null takes it away (may be given several times)")
      ->type_name("FIELD=VALUE")
      ->allow_extra_args(false);
  command.add_flag("--ignore-unknown-fields", ignore_unknown_fields,
                   "go on where config.json has fields that are not known here, at your own risk: they may change results");
}

void SamplingFlags::add_to(CLI::App& c) {
  temperature_set_ =
      c.add_option("--temp,--temperature", temperature_, "temperature; 0 takes the likeliest token")->check(CLI::Range(0.0, 100.0));
  top_k_set_ = c.add_option("--top-k", top_k_, "choose among the K likeliest tokens; 0: all")->check(CLI::NonNegativeNumber);
  top_p_set_ = c.add_option("--top-p", top_p_, "choose among the fewest tokens whose probability reaches P")->check(CLI::Range(0.0, 1.0));
  min_p_set_ = c.add_option("--min-p", min_p_, "leave out tokens less likely than P times the likeliest")->check(CLI::Range(0.0, 1.0));
  repetition_set_ = c.add_option("--repetition-penalty", repetition_, "make tokens of prompt and answer less likely (1: off)")
                        ->check(CLI::Range(0.01, 100.0));
  presence_set_ =
      c.add_option("--presence-penalty", presence_, "taken from the logit of every token of the answer")->check(CLI::Range(-100.0, 100.0));
  frequency_set_ = c.add_option("--frequency-penalty", frequency_, "taken once for each time a token is in the answer")
                       ->check(CLI::Range(-100.0, 100.0));
  seed_set_ = c.add_option("--seed", seed_, "random seed; the same seed gives the same text");
}

SamplingOptions SamplingFlags::over(SamplingOptions s) const {
  if (*temperature_set_) s.temperature = temperature_;
  if (*top_k_set_) s.top_k = top_k_;
  if (*top_p_set_) s.top_p = top_p_;
  if (*min_p_set_) s.min_p = min_p_;
  if (*repetition_set_) s.repetition_penalty = repetition_;
  if (*presence_set_) s.presence_penalty = presence_;
  if (*frequency_set_) s.frequency_penalty = frequency_;
  s.seed = *seed_set_ ? seed_ : static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  return s;
}

static double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void Progress::operator()(std::string_view what, double fraction) {
  const double now = seconds();
  if (first_ == 0) first_ = now;
  if (!stderr_is_terminal() || now - first_ < 1.0 || (now - last_ < 0.1 && fraction < 1.0)) return;
  last_ = now;
  shown_ = true;
  constexpr int kWidth = 30;
  const int filled = static_cast<int>(fraction * kWidth);
  fmt::print(stderr, "\r{} [{:<{}}] {:3.0f} %", what, std::string(static_cast<size_t>(filled), '#'), kWidth, 100 * fraction);
  std::fflush(stderr);
}

Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r\x1b[K");
}

}  // namespace longhaul::cli
