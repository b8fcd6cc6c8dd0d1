// The keys of a GGUF file that describe its model, read as fields of a config are: problems gather,
// and finish() reports them together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/config_reader.h"
#include "formats/gguf.h"

namespace longhaul {

class GgufKeys {
 public:
  // `file` must outlive this. Keys are given without the architecture's name before them.
  GgufKeys(const GgufSource& file, std::string_view architecture, const std::string& where);

  ConfigReader* operator->() { return &reader_; }

  // A number, or one for each of n layers.
  std::vector<int64_t> per_layer(std::string_view key, size_t n, IntRange range,
                                 std::optional<int64_t> fallback = {});
  // One for all layers, though the file may list it for each.
  int64_t common(std::string_view key, size_t n, IntRange range,
                 std::optional<int64_t> fallback = {});
  // A bool, or an integer that is 0 or 1.
  bool flag(std::string_view key, bool fallback);
  // Which layers slide: flags for n of them; or a period, of which one layer, counted from
  // first_full, is full; or, where the file says nothing, that period.
  std::vector<bool> sliding_layers(size_t n, int64_t period, int64_t first_full);

  // The rows of the embedding, which the tokenizer must have as many of.
  int64_t vocab_size();
  bool has_tensor(std::string_view name) const { return file_.find(name) != nullptr; }
  bool has_layer_tensor(size_t layer, std::string_view name) const;
  // Extent i of a tensor, outermost first; 0 where there is no such tensor or extent.
  int64_t extent(std::string_view name, size_t i) const;

  // Keys that nobody asked for are told in a notice: they may be of a newer converter.
  Status finish();

 private:
  GgufKeys(const GgufSource& file, std::string_view architecture, const std::string& where,
           std::unique_ptr<const Json> json);
  bool to_flag(const Json& value, std::string_view key);

  const GgufSource& file_;
  std::string where_;
  std::unique_ptr<const Json> json_;  // the reader looks into it
  ConfigReader reader_;
};

inline std::string gguf_layer_name(size_t layer, std::string_view name) {
  return std::string("blk.").append(std::to_string(layer)).append(".").append(name);
}

}  // namespace longhaul
