// Random checkpoints with real names and shapes, plain or packed. Each tensor's values come from a
// hash of its name and the seed, so they do not depend on which other tensors are written.
#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_set>

#include "base/atomic_folder.h"
#include "base/checked_math.h"
#include "base/notice.h"
#include "checkpoint/compute_dtype.h"
#include "checkpoint/find_model.h"
#include "checkpoint/packed_folder.h"
#include "checkpoint/quantisation.h"
#include "checkpoint/random_elements.h"
#include "formats/safetensors_writer.h"
#include "formats/scaled_tensor.h"
#include "kernels/codecs/codecs.h"
#include "longhaul/checkpoint.h"
#include "mechanisms/resident_weights.h"
#include "models/registry.h"

namespace longhaul {
namespace {

// The first weight that a tensor serves: what is true of one is true of all.
const WeightSpec* weight_of(const Architecture& arch, size_t tensor) {
  const auto it = std::find_if(arch.weights.begin(), arch.weights.end(), [&](const WeightSpec& w) {
    return w.tensor <= static_cast<int64_t>(tensor) &&
           static_cast<int64_t>(tensor) < w.tensor + w.n_tensors;
  });
  return it == arch.weights.end() ? nullptr : &*it;
}

// What is written to the file: a tensor of the description, the scales of one, or a packed weight.
struct Output {
  TensorDecl decl;
  size_t tensor = 0;  // of the description
  bool is_scales = false;
  const WeightSpec* packed_weight = nullptr;
  const Codec* codec = nullptr;

  int64_t n_elements() const {
    int64_t n = 1;
    for (int64_t d : decl.shape) n *= d;
    return n;
  }
};

// Random codes of E4M3 around 1 or of E2M1, and one scale that brings their products to the size of
// their inputs.
class Codes {
 public:
  Codes(const Output& output, uint64_t seed, const TensorSpec& tensor)
      : random_(seed_of(output.decl.name, seed), {}), output_(output) {
    const bool is_fp4 = output.decl.dtype == DType::kI8 ||
                        (output.is_scales && output.decl.shape.front() == tensor.shape.front());
    const float deviation = is_fp4 ? 3.0f : 1.2f;  // of the codes' values
    const double scale = std::round(
        std::log2(1.0 / (deviation * std::sqrt(static_cast<double>(tensor.shape.back())))));
    scale_ = static_cast<uint8_t>(std::clamp(scale + 127.0, 1.0, 254.0));
  }

  void fill(int64_t n, std::vector<std::byte>& out) {
    out.resize(static_cast<size_t>(n));
    for (std::byte& b : out) {
      const auto bits = static_cast<uint8_t>(random_.bits() >> 32);
      constexpr uint8_t kSmallest = 0x30;  // of E4M3, 1/2; the next 16 codes reach nearly to 2
      const bool is_e4m3 = output_.decl.dtype == DType::kF8E4M3;
      b = static_cast<std::byte>(output_.is_scales ? scale_
                                 : is_e4m3         ? (bits & 0x80u) | (kSmallest + (bits & 15u))
                                                   : bits);
    }
  }

 private:
  Random random_;
  const Output& output_;
  uint8_t scale_ = 127;
};

std::string name_in_file(const Architecture& arch, const TensorSpec& t) {
  return t.is_absolute ? t.name : arch.prefixes.front() + t.name;
}

// The tensors of a checkpoint in one float type, or each as the model was released: E4M3 with a
// scale every 128 x 128, MXFP4 two codes to a byte.
std::vector<Output> outputs(const Architecture& arch, std::optional<DType> dtype) {
  std::vector<Output> all;
  for (size_t i = 0; i < arch.tensors.size(); ++i) {
    const TensorSpec& t = arch.tensors[i];
    const WeightSpec* w = weight_of(arch, i);
    const std::string name = name_in_file(arch, t);
    const DType released = w == nullptr ? DType::kBF16 : w->released;
    if (w != nullptr && w->use == WeightUse::kIndex) {
      all.push_back({{name, DType::kI64, t.shape}, i});
    } else if (dtype || (released != DType::kF8E4M3 && released != DType::kF4)) {
      all.push_back({{name, dtype.value_or(released), t.shape}, i});
    } else {
      const int64_t rows = t.shape[0], cols = t.shape[1];
      const bool is_fp4 = released == DType::kF4;
      const std::vector<int64_t> codes = is_fp4 ? std::vector{rows, cols / 2} : t.shape;
      const std::vector<int64_t> scales =
          is_fp4 ? std::vector{rows, cols / 32}
                 : std::vector{ceil_div(rows, 128), ceil_div(cols, 128)};
      all.push_back({{name, is_fp4 ? DType::kI8 : DType::kF8E4M3, codes}, i});
      all.push_back({{scale_names(name).front(), DType::kF8E8M0, scales}, i, true});
    }
  }
  return all;
}

// Packed weights first, as in any packed folder; the others in bf16.
std::vector<Output> packed_outputs(const Architecture& arch, const WeightFormat& format) {
  std::vector<Output> packed, plain;
  std::unordered_set<std::string> names;
  for (const WeightSpec& w : arch.weights) {
    const auto tensor = static_cast<size_t>(w.tensor);
    const TensorSpec& t = arch.tensors[tensor];
    const std::string name = name_in_file(arch, t);
    if (w.is_matrix()) {
      const Codec& codec = packed_codec(w, format);
      Output o{.decl = {name + packed_suffix(w, codec), DType::kU8, packed_shape(w, codec)},
               .tensor = tensor,
               .packed_weight = &w,
               .codec = &codec};
      if (names.insert(o.decl.name).second) packed.push_back(std::move(o));
    } else if (names.insert(name).second) {
      plain.push_back(
          {.decl = {name, w.use == WeightUse::kIndex ? DType::kI64 : DType::kBF16, t.shape},
           .tensor = tensor});
    }
  }
  std::move(plain.begin(), plain.end(), std::back_inserter(packed));
  return packed;
}

// Panels of random weights, made once for each type and width. A packed matrix is some of them in
// random order: rounding all of a model's weights would take long, and what a product costs does
// not depend on their values.
class PanelPool {
 public:
  // The next n panels of a weight.
  Result<std::span<const std::byte>> take(const Output& o, Random& random, int64_t n) {
    LH_TRY(const std::vector<std::byte>* pool, pool_of(*o.codec, o.packed_weight->cols));
    const auto bytes = pool->size() / kPanels;
    piece_.resize(static_cast<size_t>(n) * bytes);
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      std::copy_n(pool->begin() + static_cast<std::ptrdiff_t>(random.bits() % kPanels * bytes),
                  bytes, piece_.begin() + static_cast<std::ptrdiff_t>(i * bytes));
    }
    return std::span<const std::byte>(piece_);
  }

 private:
  static constexpr size_t kPanels = 32;

  Result<const std::vector<std::byte>*> pool_of(const Codec& codec, int64_t cols) {
    std::vector<std::byte>& pool = pools_[{&codec, cols}];
    if (!pool.empty()) return &pool;
    constexpr int64_t kRows = static_cast<int64_t>(kPanels) * kPanel;
    std::vector<float> rows(static_cast<size_t>(kRows * cols));
    Random random(static_cast<uint64_t>(cols), {0.0f, 1.0f / std::sqrt(static_cast<float>(cols))});
    for (float& x : rows) x = random.next();
    pool.resize(codec.bytes(kRows, cols));
    LH_RETURN_IF_ERROR(pack_rows(rows.data(), DType::kF32, kRows, cols, codec, pool.data()));
    return &pool;
  }

  std::map<std::pair<const Codec*, int64_t>, std::vector<std::byte>> pools_;
  std::vector<std::byte> piece_;
};

// Writes outputs one after another, a piece at a time.
class OutputWriter {
 public:
  OutputWriter(const Architecture& arch, CheckpointWriter& out, const SynthOptions& options)
      : arch_(arch), out_(out), options_(options) {}

  Status write(const std::vector<Output>& all) {
    for (const Output& o : all) total_ += bytes_of(o);
    for (const Output& o : all)
      LH_RETURN_IF_ERROR(o.packed_weight != nullptr ? write_packed(o) : write_plain(o));
    return {};
  }

 private:
  static uint64_t bytes_of(const Output& o) {
    return static_cast<uint64_t>(o.n_elements()) * bytes_per_element(o.decl.dtype);
  }

  Status write_plain(const Output& o) {
    const TensorSpec& tensor = arch_.tensors[o.tensor];
    const bool is_coded =
        o.is_scales || o.decl.dtype == DType::kI8 || o.decl.dtype == DType::kF8E4M3;
    RandomElements elements(o.decl.name, options_.seed, tensor, weight_of(arch_, o.tensor),
                            o.decl.dtype);
    Codes codes(o, options_.seed, tensor);
    for (int64_t left = o.n_elements(), n = 0; left > 0; left -= n) {
      n = std::min<int64_t>(left, int64_t{1} << 22);
      is_coded ? codes.fill(n, piece_) : elements.fill(n, piece_);
      LH_RETURN_IF_ERROR(put(o, piece_));
    }
    return {};
  }

  Status write_packed(const Output& o) {
    constexpr int64_t kPieceBytes = int64_t{8} << 20;
    const int64_t per_piece = std::max<int64_t>(1, kPieceBytes / o.decl.shape[2]);
    Random random(seed_of(o.decl.name, options_.seed), {});
    for (int64_t left = o.decl.shape[0] * o.decl.shape[1], n = 0; left > 0; left -= n) {
      n = std::min(left, per_piece);
      LH_TRY(const std::span<const std::byte> piece, panels_.take(o, random, n));
      LH_RETURN_IF_ERROR(put(o, piece));
    }
    return {};
  }

  Status put(const Output& o, std::span<const std::byte> piece) {
    LH_RETURN_IF_ERROR(out_.write(o.decl.name, piece));
    done_ += piece.size();
    if (options_.on_progress)
      options_.on_progress("writing", static_cast<double>(done_) / static_cast<double>(total_));
    return {};
  }

  const Architecture& arch_;
  CheckpointWriter& out_;
  const SynthOptions& options_;
  PanelPool panels_;
  std::vector<std::byte> piece_;
  uint64_t total_ = 0, done_ = 0;
};

Result<std::optional<WeightFormat>> packed_format(const SynthOptions& options) {
  if (!options.packed) return std::optional<WeightFormat>();
  const std::string word = to_string(*options.packed);
  const auto format = weight_format_from_option(word);
  if (!format || *format == WeightFormat::kF32 || *format == WeightFormat::kReleased)
    return unknown_format("--weights", word, packing_options());
  if (options.dtype != WeightPrecision::kBF16)
    return invalid("--weights and --dtype are two ways to say the same; give one");
  return format;
}

}  // namespace

Status synthesize(const std::string& model, const std::string& folder,
                  const SynthOptions& options) {
  const NoticeScope notices(options.on_notice);
  LH_TRY(ModelConfig found, find_config(model, options.config.overrides));
  LH_RETURN_IF_ERROR(
      take_packed_format(found.config, found.where));  // what is written has a format of its own
  LH_RETURN_IF_ERROR(take_quantisation(found.config, found.where));
  LH_TRY(const std::optional<WeightFormat> packed, packed_format(options));
  const bool as_released = options.dtype == WeightPrecision::kNative;
  const std::string dtype_word = to_string(options.dtype);
  const auto dtype = dtype_from_option(dtype_word);
  if (!as_released && (!dtype || *dtype == DType::kF16))
    return unknown_format("--dtype", dtype_word, {"f32", "bf16", "released"});
  LH_RETURN_IF_ERROR(read_as_requested(found.config, found.where, config_request(options.config)));
  std::vector<std::string> told_of;  // fields that were ignored
  const ConfigFile original{found.config, found.where,
                            options.config.ignore_unknown_fields ? &told_of : nullptr};
  LH_TRY(Json config,
         rewrite_config(original, options.layers, dtype == DType::kF32 ? "float32" : "bfloat16"));
  LH_TRY(const Architecture arch, read_architecture({config, found.where, original.ignored}));

  const std::vector<Output> all = packed ? packed_outputs(arch, *packed) : outputs(arch, dtype);
  std::vector<TensorDecl> tensors;
  for (const Output& o : all) tensors.push_back(o.decl);
  LH_RETURN_IF_ERROR(refuse_checkpoint(folder));
  LH_TRY(AtomicFolder made, AtomicFolder::create(folder));
  LH_TRY(CheckpointWriter out, CheckpointWriter::create(made.path().string(), tensors));
  LH_RETURN_IF_ERROR(OutputWriter(arch, out, options).write(all));
  LH_RETURN_IF_ERROR(out.finish());
  if (packed) config.set("quantization_config", packed_config(*packed));
  LH_RETURN_IF_ERROR(write_model_config(made.path().string(), config));
  return made.commit();
}

}  // namespace longhaul
