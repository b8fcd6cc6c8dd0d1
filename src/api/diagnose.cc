// A download examined: opened, matched, priced and read by what loads a model, each step by itself,
// so that one problem does not hide the next.
#include <algorithm>
#include <array>
#include <filesystem>
#include <map>

#include "api/findings.h"
#include "api/loaded_model.h"
#include "api/rate_meter.h"
#include "base/notice.h"
#include "base/printable.h"
#include "checkpoint/examine.h"
#include "checkpoint/find_model.h"
#include "checkpoint/load_texts.h"
#include "checkpoint/packed_folder.h"
#include "checkpoint/template_files.h"
#include "checkpoint/tensor_names.h"
#include "cost/fit_row.h"
#include "cost/parameters.h"
#include "formats/coded_tensor.h"
#include "formats/config_override.h"
#include "formats/safetensors.h"
#include "longhaul/doctor.h"
#include "longhaul/units.h"
#include "models/registry.h"
#include "text/chat/dsml_encoder.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

template <class T>
T value_or_told(Result<T> result, Findings& findings, T otherwise) {
  if (result.ok()) return std::move(*result);
  findings.add_error(result.error());
  return otherwise;
}

// "BF16 of mlp.*.down_proj", counted.
std::vector<TensorRow> by_kind(std::span<const TensorRow> tensors) {
  std::map<std::pair<std::string, std::string>, TensorRow> kinds;
  for (const TensorRow& t : tensors) {
    const std::string kind = tensor_kind(t.name);
    TensorRow& row = kinds[{t.format, kind}];
    row.name = kind;
    row.format = t.format;
    row.tensors = row.bytes == 0 && row.elements == 0 ? 1 : row.tensors + 1;
    row.elements += t.elements;
    row.bytes += t.bytes;
  }
  std::vector<TensorRow> rows;
  for (auto& [key, row] : kinds) rows.push_back(std::move(row));
  std::stable_sort(rows.begin(), rows.end(),
                   [](const TensorRow& a, const TensorRow& b) { return a.bytes > b.bytes; });
  return rows;
}

// Of the bundled models the one with the same shapes: what revisions and sizes are told apart by.
std::string model_like(const Architecture& arch) {
  const uint64_t parameters = total_parameters(parameter_pieces(arch));
  for (const std::string& name : preset_names()) {
    const auto other = preset(name);
    if (other.ok() && other->family == arch.family && other->n_layers == arch.n_layers &&
        other->hidden_size == arch.hidden_size && other->vocab_size == arch.vocab_size &&
        total_parameters(parameter_pieces(*other)) == parameters)
      return name;
  }
  return "";
}

// Fields by which a config says what it is of.
void add_fields(const Json& config, std::vector<std::pair<std::string, std::string>>& says) {
  for (const char* field : {"model_type", "_name_or_path", "dtype", "torch_dtype"}) {
    const Json* value = config.find(field);
    if (value != nullptr && value->as_string() != nullptr && !value->as_string()->empty())
      says.emplace_back(field, printable(*value->as_string()));
  }
  const Json* quantisation = config.find("quantization_config");
  const Json* method = quantisation == nullptr ? nullptr : quantisation->find("quant_method");
  if (method != nullptr && method->as_string() != nullptr)
    says.emplace_back("quantization_config.quant_method", printable(*method->as_string()));
}

// "Q4_K"; of codes "4-bit integers", whose method the config says.
std::string stored_format(const TensorInfo& t) {
  if (t.coded == nullptr || t.coded->kind().empty()) return to_string(t.dtype);
  return t.coded->kind().substr(0, t.coded->kind().find(" of "));
}

std::string sampling_words(const GenerationDefaults& d) {
  if (!d.do_sample.value_or(false)) return "the likeliest token";
  std::string words = fmt::format("sampling at temperature {}", d.temperature.value_or(1.0));
  if (d.top_k) words += fmt::format(", top-k {}", *d.top_k);
  if (d.top_p) words += fmt::format(", top-p {}", *d.top_p);
  if (d.min_p) words += fmt::format(", min-p {}", *d.min_p);
  return words;
}

class Doctor {
 public:
  Doctor(const std::string& path, const DoctorOptions& options) : path_(path), o_(options) {
    d_.path = path;
  }

  Result<Diagnosis> run() {
    const NoticeScope notices(
        [this](std::string_view line) { findings_.add_note(std::string(line)); });
    look_at_files();
    open();
    if (priced_) {
      describe_model();
      read_texts(*priced_->opened.files, priced_->opened.config, priced_->opened.arch.vocab_size);
      if (o_.read_weights) examine();
      price_contexts();
    }
    conclude();
    return std::move(d_);
  }

 private:
  void look_at_files() {
    files_ = survey_download(path_);
    findings_.add_files(files_);
    for (const SurveyedFile& f : files_)
      d_.files.push_back({printable(f.name), to_string(f.nature), f.bytes});
    // Of a split file the first part has most keys; towers beside a model are smaller than it.
    const auto telling =
        std::max_element(files_.begin(), files_.end(), [](const auto& a, const auto& b) {
          return std::pair(a.says.size() > 0, a.bytes) < std::pair(b.says.size() > 0, b.bytes);
        });
    if (telling != files_.end()) d_.says = telling->says;
    d_.container = container();
  }

  std::string container() const {
    std::error_code ignored;
    const auto is_gguf = [](const SurveyedFile& f) { return f.nature == FileNature::kGguf; };
    const auto n = std::count_if(files_.begin(), files_.end(), is_gguf);
    if (fs::is_directory(path_, ignored))
      return n > 0 ? "a folder with a GGUF file" : "a folder of safetensors";
    if (n > 1) return fmt::format("a GGUF file in {} parts", n);
    return n == 1 ? "a GGUF file"
                  : to_string(files_.empty() ? FileNature::kOther : files_.front().nature);
  }

  void open() {
    Result<OpenedModel> opened = open_model(path_, config_request(o_.load.config));
    if (!opened.ok()) return look_further(opened.error());
    Result<PricedModel> priced = price(path_, std::move(*opened), o_.load);
    if (!priced.ok()) return findings_.add_error(priced.error());
    priced_.emplace(std::move(*priced));
  }

  // Opening failed: of the parts that were not reached, what else is wrong?
  void look_further(const Error& error) {
    if (is_not_a_model()) findings_.add_error(error, Fault::kNotAModel);
    const auto files = open_model_files(path_);
    bool is_described = false;
    if (files.ok()) is_described = describe_config(**files);
    const bool has_tensors = can_open_tensors(files.ok() ? files->get() : nullptr);
    // Where each is in order by itself, they are not of one model.
    if (is_described && has_tensors)
      findings_.add_error(error, Fault::kMismatch);
    else
      findings_.add_error(error);
    list_surveyed_tensors();
  }

  bool describe_config(const ModelFiles& files) {
    Json config = files.config().config;
    const std::string& where = files.config().where;
    if (d_.says.empty()) add_fields(config, d_.says);
    const auto told = [&](const Status& status) {
      if (!status.ok()) findings_.add_error(status.error());
      return !status.ok();
    };
    if (told(override_fields(config, o_.load.config.overrides))) return false;
    if (told(check_runnable(config, where))) return false;
    const auto packed = take_packed_format(config, where);
    if (!packed.ok()) return findings_.add_error(packed.error()), false;
    const auto arch = read_as_requested(config, where, config_request(o_.load.config));
    if (!arch.ok()) return findings_.add_error(arch.error()), false;
    d_.name = arch->name.empty() ? files.config().name : arch->name;
    describe(*arch);
    read_texts(files, config, arch->vocab_size);
    return true;
  }

  bool can_open_tensors(const ModelFiles* files) {
    std::error_code ignored;
    if (files == nullptr && !fs::is_directory(path_, ignored)) return false;
    const Result<TensorSource> tensors =
        files == nullptr ? open_checkpoint(path_) : files->open_tensors();
    if (!tensors.ok()) findings_.add_error(tensors.error());
    return tensors.ok();
  }

  // By what the file itself says, and by the names in a folder that holds no weights of a model.
  bool is_not_a_model() const {
    const auto says = [&](std::string_view key) {
      const auto it = std::find_if(d_.says.begin(), d_.says.end(),
                                   [&](const auto& pair) { return pair.first == key; });
      return it == d_.says.end() ? std::string_view() : std::string_view(it->second);
    };
    std::error_code ignored;
    const bool is_told = !fs::is_directory(path_, ignored) || files_.size() == 1;
    if (is_told && says("general.architecture") == "clip") return true;
    if (is_told && !says("general.type").empty() && says("general.type") != "model") return true;
    const auto is_adapter = [](const SurveyedFile& f) {
      return f.name.starts_with("adapter_") || f.name == "adapters.safetensors";
    };
    return std::any_of(files_.begin(), files_.end(), is_adapter) && !has_checkpoint(path_);
  }

  void list_surveyed_tensors() {
    for (const SurveyedFile& f : files_) {
      for (const ListedTensor& t : f.tensors)
        d_.tensors.push_back({printable(t.name), t.format, t.shape, 1, t.elements(), t.bytes});
    }
    d_.formats = by_kind(d_.tensors);
    if (d_.parameters > 0) return;
    for (const TensorRow& t : d_.tensors) d_.parameters += t.elements;
  }

  void describe(const Architecture& arch) {
    d_.family = arch.family;
    d_.like = model_like(arch);
    d_.parameters = total_parameters(parameter_pieces(arch));
    d_.max_positions = arch.max_positions;
  }

  void describe_model() {
    const OpenedModel& m = priced_->opened;
    d_.name = m.arch.name;
    describe(m.arch);
    if (d_.says.empty()) add_fields(m.config, d_.says);
    if (m.weights->formats().is_only)
      d_.container =
          fmt::format("a folder packed as {}", option_name(m.weights->formats().natural));
    for (const TensorInfo& t : m.weights->tensors().all()) {
      uint64_t elements = 1;
      for (const int64_t extent : t.shape) elements *= static_cast<uint64_t>(extent);
      d_.tensors.push_back(
          {printable(t.name), stored_format(t), t.shape, 1, elements, bytes_in_files(t)});
    }
    d_.formats = by_kind(d_.tensors);
  }

  // As Model::load reads them, each by itself.
  void read_texts(const ModelFiles& files, const Json& config, int64_t vocab_size) {
    const Json tokenizer_config =
        value_or_told(files.read_json(TextKind::kTokenizerConfig), findings_, Json());
    auto defaults = load_generation_defaults(files, config);
    if (defaults.ok())
      describe_defaults(files, *defaults);
    else
      findings_.add_error(defaults.error());
    auto tokenizer = load_tokenizer(files, vocab_size);
    if (!tokenizer.ok())
      findings_.add_error(tokenizer.error());
    else
      describe_tokenizer(files, *tokenizer, vocab_size);
    if (const auto special = load_special_tokens(files, tokenizer_config); !special.ok())
      findings_.add_error(special.error());
    const auto templates = load_chat_templates(files, tokenizer_config);
    if (!templates.ok()) return findings_.add_error(templates.error());
    const bool has_own_format =
        templates->empty() && tokenizer.ok() && *tokenizer && DsmlEncoder::fits(**tokenizer);
    describe_templates(*templates, has_own_format);
  }

  void describe_defaults(const ModelFiles& files, const GenerationDefaults& defaults) {
    const auto text = files.read(TextKind::kGenerationConfig);
    d_.generation_defaults = {text.ok() && text->has_value(),
                              files.where(TextKind::kGenerationConfig), sampling_words(defaults)};
    d_.stop_tokens = defaults.eos_token_ids;
    for (const std::string& note : defaults.notes) findings_.add_note(note);
    if (d_.stop_tokens.empty())
      findings_.add_warning(
          make_error(ErrorCode::kNotFound,
                     "{}: nothing says which token ends an answer, so answers end at -n alone; get "
                     "the model's generation_config.json",
                     path_),
          Fault::kNoText);
  }

  void describe_tokenizer(const ModelFiles& files, const std::optional<Tokenizer>& tokenizer,
                          int64_t vocab_size) {
    const std::string where = files.where(TextKind::kTokenizer);
    if (!tokenizer) {
      findings_.add_warning(
          make_error(ErrorCode::kNotFound,
                     "{}: no tokenizer, so the model runs on token ids alone; download the model's "
                     "tokenizer.json to it",
                     where),
          Fault::kNoText);
      return;
    }
    const auto n_tokens = static_cast<uint64_t>(tokenizer->vocab_size());
    d_.tokenizer = {true, where, fmt::format("BPE, {} tokens", format_exact(n_tokens))};
    check_tokenizer_fits(*tokenizer, where, vocab_size);
  }

  // Ids beyond the vocabulary are an error for each text that gives them.
  void check_tokenizer_fits(const Tokenizer& tokenizer, const std::string& where,
                            int64_t vocab_size) {
    const auto ids = tokenizer.encode("The tokenizer of another model gives other ids: 0123 ßé你");
    const bool is_beyond = ids.ok() && std::any_of(ids->begin(), ids->end(),
                                                   [&](int32_t id) { return id >= vocab_size; });
    if (!is_beyond && tokenizer.vocab_size() >= vocab_size / 2) return;
    findings_.add_warning(
        make_error(ErrorCode::kCorruptFile,
                   "{}: has {} tokens, the model's vocabulary {}; get the tokenizer that belongs "
                   "to the model",
                   where, tokenizer.vocab_size(), vocab_size),
        Fault::kMismatch);
  }

  void describe_templates(const ChatTemplates& templates, bool has_own_format) {
    if (!templates.empty()) {
      d_.chat_template = {true, templates.where,
                          printable(fmt::format("{}", fmt::join(templates.names, ", ")))};
    } else if (has_own_format) {
      d_.chat_template = {true, "the program", "the format that the tokenizer's tokens are of"};
    } else {
      findings_.add_note("no chat template: a base model, or a file that was left behind",
                         "for conversations give one with --chat-template FILE", Fault::kNoText);
    }
  }

  void examine() {
    const PricedModel& m = *priced_;
    ThreadPool pool(m.limits.n_threads);
    const auto progress = [&](uint64_t done, uint64_t total) {
      if (o_.load.on_progress && total > 0)
        o_.load.on_progress("reading weights",
                            static_cast<double>(done) / static_cast<double>(total));
    };
    const Examination found =
        examine_weights(m.opened.arch, *m.opened.weights, m.limits.weights, pool, progress);
    for (const Error& error : found.refused) findings_.add_error(error, Fault::kNotANumber);
    for (const Error& error : found.spoiled) findings_.add_warning(error, Fault::kNotANumber);
    for (const Error& error : found.zeros) findings_.add_warning(error, Fault::kZeros);
  }

  std::vector<int64_t> contexts() const {
    const int64_t most = priced_->opened.arch.max_positions;
    std::vector<int64_t> all = {priced_->context, most};
    for (const int64_t usual : {32 << 10, 128 << 10}) {
      if (usual < most) all.push_back(usual);
    }
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }

  void price_contexts() {
    const PricedModel& m = *priced_;
    d_.memory = *m.request.memory;
    d_.largest_context = m.plan.max_context.value_or(0);
    std::optional<RateMeter> meter = o_.measure ? make_meter() : std::nullopt;
    for (const int64_t context : contexts()) {
      PlanRequest r = m.request;
      r.context = context;
      r.chunk = std::max(std::min(o_.load.max_batch_tokens, context), r.batch);
      const Result<Plan> plan = make_plan(m.opened.arch, r);
      if (!plan.ok()) continue;
      if (context == m.context) d_.asked = d_.fits.size();
      d_.fits.push_back(fit_row(*plan, r, m.opened.weights->formats().natural));
      if (!meter || plan->expert_cache) continue;
      const auto speed = meter->forecast(m.opened.arch, r, *plan);
      if (speed.ok()) d_.fits.back().speed = *speed;
    }
  }

  std::optional<RateMeter> make_meter() {
    Result<RateMeter> meter = RateMeter::create(priced_->limits.n_threads);
    if (!meter.ok()) {
      findings_.add_note(fmt::format("the machine was not measured: {}", meter.error().message));
      return std::nullopt;
    }
    d_.memory_bytes_per_second = meter->memory_bytes_per_second();
    return std::move(*meter);
  }

  void conclude() {
    const bool loads = priced_ && !findings_.has_errors();
    d_.verdict = Verdict::kDoesNotLoad;
    if (loads) {
      const Status fits = check_fits(*priced_);
      const bool is_damaged = findings_.has(Severity::kWarning, Fault::kZeros) ||
                              findings_.has(Severity::kWarning, Fault::kNotANumber);
      d_.verdict = !fits.ok()   ? Verdict::kTooLarge
                   : is_damaged ? Verdict::kRunsDamaged
                                : Verdict::kRuns;
      if (!fits.ok()) add_too_large();
    }
    d_.findings = findings_.take(loads);
  }

  void add_too_large() {
    const FitRow& row = d_.fits[d_.asked];
    findings_.add_error(make_error(
        ErrorCode::kOverBudget,
        "{} of context need {}, {} are there; {}; `longhaul plan {} --fit` shows what "
        "other formats and contexts take",
        format_tokens(row.context), format_bytes(row.total_bytes), format_bytes(d_.memory),
        d_.largest_context > 0
            ? fmt::format("the largest context that fits is {}", d_.largest_context)
            : std::string("no context fits"),
        path_));
  }

  const std::string& path_;
  const DoctorOptions& o_;
  Diagnosis d_;
  Findings findings_;
  std::vector<SurveyedFile> files_;
  std::optional<PricedModel> priced_;
};

}  // namespace

Result<Diagnosis> diagnose(const std::string& path, const DoctorOptions& options) {
  LH_RETURN_IF_ERROR(refuse_bundled_name(path));
  std::error_code ignored;
  if (!fs::exists(path, ignored) && !fs::is_symlink(path, ignored))
    return make_error(ErrorCode::kNotFound,
                      "{}: there is no such file or folder; give a model's folder, or a file of "
                      "weights",
                      path);
  LH_RETURN_IF_ERROR(choose_kernels());
  return Doctor(path, options).run();
}

}  // namespace longhaul
