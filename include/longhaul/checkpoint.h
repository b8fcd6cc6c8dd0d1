// Checkpoints written: random ones of real shapes, and packed ones of fewer bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "longhaul/options.h"
#include "longhaul/result.h"

namespace longhaul {

struct SynthOptions {
  int64_t layers = 0;  // 0: all; fewer keep the last of each kind of layer as long as possible
  uint64_t seed = 0;
  // Element type: kBF16, kF32, or kNative: FP8 and FP4 where the model was published so.
  WeightPrecision dtype = WeightPrecision::kBF16;
  // kQ4, kQ8, kBF16: a packed folder as quantize would write it. nullopt: a plain checkpoint.
  std::optional<WeightPrecision> packed = {};
  ConfigOptions config = {};  // the new config.json has the changes
  OnProgress on_progress = {};
  OnNotice on_notice = {};
};
// Writes a random checkpoint of a bundled model or of a config.json, with the real tensor names and
// shapes. On failure nothing is left on disk. Fails if `folder` holds a checkpoint. Any thread.
Status synthesize(const std::string& model, const std::string& folder,
                  const SynthOptions& options = {});

struct QuantizeOptions {
  WeightPrecision weights = WeightPrecision::kQ4;  // kQ4, kQ8, kBF16, kNative
  TablePrecision tables = TablePrecision::kAsIs;
  int threads = 0;            // 0: the processors that this process may use
  ConfigOptions config = {};  // the new config.json has the changes
  OnProgress on_progress = {};
  OnNotice on_notice = {};
};
// What rounding did to the weights.
struct QuantizeReport {
  struct Row {
    std::string name;    // of one tensor, or of all of a kind: "mlp.down_proj"
    std::string format;  // as packed
    int64_t matrices = 0;
    uint64_t bytes = 0;
    double relative_rms_error = 0;  // of the weights' own size
    bool is_zero = false;           // weights that are all zero have no error to tell
  };
  std::string folder;
  WeightPrecision weights = WeightPrecision::kQ4;
  uint64_t packed_bytes = 0, copied_bytes = 0;  // copied: tables and vectors
  double relative_rms_error = 0;
  bool is_zero = false;
  std::vector<Row> kinds, tensors;
};
std::string to_text(const QuantizeReport& report);
std::string to_json(const QuantizeReport& report);  // keys are stable

// Writes the checkpoint in a folder as a new folder of weights packed as the kernels read them,
// which loads without work; tokenizer and templates are copied along. On failure nothing is left on
// disk. Fails if `out` exists. Any thread.
Result<QuantizeReport> quantize(const std::string& model, const std::string& out,
                                const QuantizeOptions& options = {});

}  // namespace longhaul
