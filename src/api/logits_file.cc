#include "api/model_impl.h"
#include "base/descriptor_io.h"
#include "base/json.h"
#include "base/printable.h"
#include "formats/safetensors_writer.h"
#include "longhaul/tools.h"

namespace longhaul {

Status write_logits(const Model& model, const std::vector<int32_t>& tokens, const std::string& path,
                    int64_t chunk, int64_t decode_from) {
  const auto n_tokens = static_cast<int64_t>(tokens.size());
  if (n_tokens == 0) return invalid("no tokens to run; give at least one");
  LH_RETURN_IF_ERROR(model.impl().refuse_own_file(path));
  LH_TRY(
      SafetensorsWriter out,
      SafetensorsWriter::create(path, {{"logits", DType::kF32, {n_tokens, model.vocab_size()}}}));
  LH_TRY(Session session, Session::create(model));
  Status written;
  const OnLogits write = [&](int64_t, int64_t n, const float* logits) {
    written = out.write(
        "logits", std::as_bytes(std::span(logits, static_cast<size_t>(n * model.vocab_size()))));
    return written.ok();
  };
  const auto run = [&](std::vector<int32_t> part, int64_t step) -> Status {
    if (part.empty()) return {};
    Status ran = session.logits(part, write, step);
    return written.ok() ? std::move(ran) : std::move(written);
  };
  const auto split =
      tokens.begin() + (decode_from < 0 ? n_tokens : std::min(decode_from, n_tokens));
  LH_RETURN_IF_ERROR(run({tokens.begin(), split}, chunk));
  // Each by a call of its own: nobody who decodes knows how long the text will be, and some models'
  // angles differ with it.
  for (auto token = split; token != tokens.end(); ++token) LH_RETURN_IF_ERROR(run({*token}, 1));
  return out.finish();
}

Result<std::vector<int32_t>> read_token_file(const std::string& path) {
  LH_TRY(const std::string text, read_text(path, uint64_t{256} << 20));
  LH_TRY(const Json json, parse_json(text, path));
  const auto* array = json.as_array();
  if (array == nullptr)
    return corrupt(
        "{}: expected a JSON array of token ids such as [2, 17], found {}; write such a list", path,
        json.type_name());
  std::vector<int32_t> tokens;
  for (const Json& item : *array) {
    const int64_t* id = item.as_int();
    if (id == nullptr || *id < 0 || *id > INT32_MAX)
      return corrupt("{}: entry {} is no token id: {}; expected a whole number", path,
                     tokens.size(), printable(item.dump()));
    tokens.push_back(static_cast<int32_t>(*id));
  }
  return tokens;
}

Result<std::string> read_text(const std::string& path, uint64_t max_bytes) {
  if (path != "-") return read_any_file(path, max_bytes);
  constexpr int kStandardInput = 0;
  std::string text;
  LH_RETURN_IF_ERROR(read_all(kStandardInput, "standard input", max_bytes, text));
  return text;
}

}  // namespace longhaul
