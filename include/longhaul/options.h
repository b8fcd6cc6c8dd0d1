// Choices made when a model is loaded, priced or written.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "longhaul/result.h"

namespace longhaul {

// How weights are kept in memory.
enum class WeightPrecision {
  kAuto,  // as the checkpoint holds them
  kF32,
  kBF16,
  kQ8,      // 8 bits, a scale for each block
  kQ4,      // 4 bits for most matrices, 8 for those that need them
  kNative,  // each matrix in its type in the checkpoint
};

// How the rows of the KV cache are kept.
enum class CachePrecision {
  kBF16,
  kF32,
  kQ8,      // 8 bits, a scale for each vector
  kNative,  // in the cache format that the model was released with
};

// To how many bits the inputs of products with integer weights are rounded. Of 12 they are rounded
// twice, and multiplied twice: the file's full fidelity, free where reading weights is what takes
// the time.
enum class InputPrecision { k8Bits, k12Bits };

// How a packed folder keeps tables of which a token reads a row.
enum class TablePrecision {
  kAsIs,
  kQ8,  // 8.5 bits: blocks of Q8_0
  kQ4,  // 4.5 bits: blocks of IQ4_NL
};

// The words of the command line: auto, f32, bf16, q8, q4, released. kInvalidArgument names the
// choices. Any thread.
Result<WeightPrecision> parse_weights(std::string_view word);
Result<CachePrecision> parse_cache(std::string_view word);
Result<InputPrecision> parse_inputs(std::string_view word);  // 8, 12
Result<TablePrecision> parse_tables(std::string_view word);  // as-is, q8, q4
const char* to_string(WeightPrecision weights);
const char* to_string(CachePrecision cache);
const char* to_string(InputPrecision inputs);
const char* to_string(TablePrecision tables);

// Called during long waits, on the calling thread. fraction: 0 to 1.
using OnProgress = std::function<void(std::string_view what, double fraction)>;
// One line, without its end, that a user should read although nothing failed: a tied tensor that
// differs, a context beyond the model's. Called on the calling thread.
using OnNotice = std::function<void(std::string_view line)>;

// How a model's files are read.
struct ConfigOptions {
  // Fields to change first, each FIELD=VALUE: a dotted path and a JSON value, as in
  // "rope_parameters.full_attention.attention_factor=1.2"; null takes the field away.
  std::vector<std::string> overrides = {};
  // A field that could change results and is not known is an error, or with this a notice.
  bool ignore_unknown_fields = false;
  // A folder with a LoRA adapter, adapter_config.json and adapter_model.safetensors, that is merged
  // into the weights when they are loaded; empty: none.
  std::string lora = {};
};

struct LoadOptions {
  WeightPrecision weights = WeightPrecision::kAuto;
  CachePrecision kv = CachePrecision::kBF16;
  InputPrecision inputs = InputPrecision::k8Bits;
  int threads = 0;      // 0: the processors that this process may use
  int64_t context = 0;  // tokens of a sequence at most; 0: 4096, or the model's maximum if less
  int64_t max_batch_tokens = 512;   // tokens of a step, such as a chunk of a prompt
  int64_t max_batch_sequences = 1;  // sequences of a step: how many an Engine serves side by side
  // Room for logits of many rows at a time, where those of every position will be asked for
  // (Session::evaluate, score).
  bool all_logits = false;
  // Bytes of experts held at a time; the others stay in their files until tokens choose them. 0:
  // all are held.
  uint64_t expert_cache = 0;
  uint64_t memory_limit = 0;  // bytes; 0: what the system has available
  // Bytes that sessions and snapshots hold together at most; 0: no limit but the system's. They
  // draw as they grow; who asks for more is kOverBudget, and requests of an Engine wait.
  uint64_t session_memory = 0;
  ConfigOptions config = {};
  OnProgress on_progress = {};
  OnNotice on_notice = {};
};

}  // namespace longhaul
