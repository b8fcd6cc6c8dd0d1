#include "cli/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "cli/output.h"
#include "longhaul/nearest.h"

namespace longhaul::cli {
namespace {

// What other programs call the options that this one has: nearer in meaning than in letters.
constexpr std::array kElsewhere = {std::pair{"c", "context"},
                                   std::pair{"ctx", "context"},
                                   std::pair{"ctx-size", "context"},
                                   std::pair{"n-ctx", "context"},
                                   std::pair{"num-ctx", "context"},
                                   std::pair{"max-model-len", "context"},
                                   std::pair{"max-new-tokens", "max-tokens"},
                                   std::pair{"n-predict", "max-tokens"},
                                   std::pair{"num-predict", "max-tokens"},
                                   std::pair{"predict", "max-tokens"},
                                   std::pair{"t", "threads"},
                                   std::pair{"batch-size", "chunk"},
                                   std::pair{"ubatch-size", "chunk"},
                                   std::pair{"cache-type-k", "kv"},
                                   std::pair{"cache-type-v", "kv"},
                                   std::pair{"kv-cache-dtype", "kv"},
                                   std::pair{"quantization", "weights"},
                                   std::pair{"sys", "system"},
                                   std::pair{"reverse-prompt", "stop"},
                                   std::pair{"r", "stop"},
                                   std::pair{"o", "output"},
                                   std::pair{"repeat-penalty", "repetition-penalty"}};

// How an option begins: a hyphen, or a dash that a text editor or a web page made of one.
size_t dash_bytes(std::string_view text) {
  for (const std::string_view dash :
       {"-", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212"}) {
    if (text.starts_with(dash)) return dash.size();
  }
  return 0;
}

std::string_view without_dashes(std::string_view text) {
  while (const size_t n = dash_bytes(text)) text.remove_prefix(n);
  return text;
}

bool looks_like_option(std::string_view text) { return text != "-" && dash_bytes(text) > 0; }

bool has_long_name(const CLI::App& command, std::string_view name) {
  const auto options = command.get_options();
  return std::any_of(options.begin(), options.end(), [&](const CLI::Option* option) {
    const auto& names = option->get_lnames();
    return std::find(names.begin(), names.end(), name) != names.end();
  });
}

std::vector<std::string> long_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    names.insert(names.end(), option->get_lnames().begin(), option->get_lnames().end());
  }
  return names;
}

std::string nearest_option(const CLI::App& command, std::string_view word) {
  std::string name(without_dashes(word));
  std::replace(name.begin(), name.end(), '_', '-');
  for (const auto& [elsewhere, here] : kElsewhere) {
    if (name == elsewhere && has_long_name(command, here))
      return fmt::format("; did you mean '--{}'?", here);
  }
  return did_you_mean(name, long_names(command), "--");
}

std::vector<const CLI::App*> commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands(app)) names.push_back(command->get_name());
  return names;
}

const CLI::App* find_command(const CLI::App& app, std::string_view name) {
  for (const CLI::App* command : commands(app)) {
    if (command->get_name() == name) return command;
  }
  return nullptr;
}

const CLI::Option* find_option(const CLI::App& command, std::string_view name, bool is_long) {
  for (const CLI::Option* option : command.get_options()) {
    const auto& names = is_long ? option->get_lnames() : option->get_snames();
    if (std::find(names.begin(), names.end(), name) != names.end()) return option;
  }
  return nullptr;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }
bool takes_several(const CLI::Option& option) { return option.get_items_expected_max() > 1; }

Error refuse(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

// The arguments behind the command's name.
class Reader {
 public:
  Reader(const CLI::App& command, const std::vector<std::string>& given)
      : command_(command), given_(given) {
    for (const CLI::Option* option : command.get_options()) {
      if (option->get_positional()) positionals_.push_back(option);
    }
  }

  Result<std::vector<std::string>> read() {
    for (at_ = 1; at_ < given_.size(); ++at_) {
      const std::string& word = given_[at_];
      if (word == "--" && !only_positionals_) {
        only_positionals_ = true;
        out_.push_back(word);
        continue;
      }
      Status read =
          !only_positionals_ && looks_like_option(word) ? read_option(word) : read_positional(word);
      if (!read.ok()) return read.take_error();
    }
    return std::move(out_);
  }

 private:
  Error unknown(std::string_view word) const {
    return refuse(fmt::format("unknown option '{}' of {}{}", shown(word), command_.get_name(),
                              nearest_option(command_, word)));
  }

  Status count(const CLI::Option& option, std::string_view word) {
    if (++counts_[&option] < 2 || !takes_value(option) || takes_several(option)) return {};
    return refuse(fmt::format("'{}': {} is given twice; leave one out", shown(word),
                              option.get_name(true, true)));
  }

  Status read_option(const std::string& word) {
    const bool is_long = word.starts_with("--");
    const std::string name = word.substr(is_long ? 2 : 1, is_long ? word.find('=') - 2 : 1);
    const CLI::Option* option = word[0] == '-' ? find_option(command_, name, is_long) : nullptr;
    const size_t name_end = is_long ? name.size() + 2 : 2;
    // "-prompt" is no -p of "rompt".
    const bool lacks_dash =
        !is_long && has_long_name(command_, word.substr(1, word.find('=') - 1)) && word.size() > 2;
    if (option == nullptr || lacks_dash) return unknown(word.substr(0, word.find('=')));
    Status counted = count(*option, word);
    if (!counted.ok()) return counted;
    out_.push_back(word.substr(0, name_end));
    return takes_value(*option) ? read_value(word, name_end) : read_rest_of_flag(word, name_end);
  }

  // The value stands behind the name, with or without "=", or is the next argument, whatever that
  // begins with.
  Status read_value(const std::string& word, size_t name_end) {
    if (name_end < word.size()) {
      out_.push_back(word.substr(name_end + (word[name_end] == '=' ? 1 : 0)));
      return {};
    }
    if (++at_ == given_.size()) return refuse(fmt::format("'{}' needs a value", word));
    out_.push_back(given_[at_]);
    return {};
  }

  Status read_rest_of_flag(const std::string& word, size_t name_end) {
    if (name_end == word.size()) return {};
    if (word[name_end] == '=' || word.starts_with("--"))
      return refuse(fmt::format("'{}': takes no value", word.substr(0, name_end)));
    return read_option("-" + word.substr(name_end));  // flags of one letter may share a hyphen
  }

  Status read_positional(const std::string& word) {
    if (word.empty()) return refuse("an argument is empty; is a variable of the shell not set?");
    if (n_positionals_ == positionals_.size())
      return refuse(fmt::format("'{}' is not expected here; a text of several words goes in quotes",
                                shown(word)));
    out_.push_back(word);
    return count(*positionals_[n_positionals_++], word);
  }

  const CLI::App& command_;
  const std::vector<std::string>& given_;
  std::vector<const CLI::Option*> positionals_;
  std::map<const CLI::Option*, int> counts_;
  std::vector<std::string> out_ = {given_.front()};
  size_t at_ = 0, n_positionals_ = 0;
  bool only_positionals_ = false;  // behind "--"
};

}  // namespace

Result<std::vector<std::string>> check_arguments(const CLI::App& app,
                                                 const std::vector<std::string>& given) {
  const std::string list = fmt::format("{}", fmt::join(command_names(app), ", "));
  if (given.empty() || given.front() == "--")
    return refuse("a subcommand is required, one of " + list);
  const std::string& first = given.front();
  if (const CLI::App* command = find_command(app, first)) return Reader(*command, given).read();
  if (!looks_like_option(first))
    return refuse(fmt::format("unknown subcommand '{}', expected one of {}{}", shown(first), list,
                              did_you_mean(first, command_names(app))));
  const std::string name = first.substr(0, first.find('='));
  if (find_option(app, without_dashes(name), name.starts_with("--")) != nullptr)
    return given;  // --help, --version
  for (const CLI::App* command : commands(app)) {
    if (find_option(*command, without_dashes(name), name.starts_with("--")) == nullptr) continue;
    return refuse(
        fmt::format("'{}' stands before the subcommand; options go behind it: longhaul {} ... {}",
                    name, command->get_name(), name));
  }
  return refuse(fmt::format("unknown option '{}'{}", shown(name),
                            did_you_mean(without_dashes(name), long_names(app), "--")));
}

std::string help_hint(const CLI::App& app, const std::vector<std::string>& given) {
  const CLI::App* command = given.empty() ? nullptr : find_command(app, given.front());
  return fmt::format("see `longhaul {}--help`",
                     command == nullptr ? "" : command->get_name() + " ");
}

}  // namespace longhaul::cli
