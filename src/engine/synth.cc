// Random checkpoints with real names and shapes. Each tensor's values come from a hash of its name and the seed, so they do not depend on which
// other tensors are written.
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/atomic_file.h"
#include "base/checked_math.h"
#include "base/numbers.h"
#include "engine/find_model.h"
#include "engine/packed_folder.h"
#include "formats/safetensors_writer.h"
#include "formats/scaled_tensor.h"
#include "longhaul/tools.h"
#include "models/registry.h"

namespace longhaul {
namespace {

// Vectors (norms, scales) scatter around 1, or around 0 where the model adds an offset; matrices keep the variance of their input.
struct Distribution {
  float mean, spread;
};

Distribution distribution(const TensorSpec& tensor, float offset) {
  if (tensor.shape.size() == 1) return {1.0f - offset, 0.1f};
  return {0.0f, 1.0f / std::sqrt(static_cast<float>(tensor.shape.back()))};
}

// Uniform with the wanted mean and deviation: cheap, and the products of many are Gaussian anyway.
class Random {
 public:
  Random(uint64_t seed, Distribution d) : state_(seed), mean_(d.mean), scale_(d.spread * std::sqrt(3.0f) * 0x1p-31f) {}
  uint64_t bits() {
    state_ += 0x9e3779b97f4a7c15ull;  // splitmix64
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    return (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  }
  float next() { return mean_ + scale_ * static_cast<float>(static_cast<int32_t>(bits() >> 32)); }

 private:
  uint64_t state_;
  float mean_, scale_;
};

// The first weight that a tensor serves: what is true of one is true of all.
const WeightSpec* weight_of(const Architecture& arch, size_t tensor) {
  const auto it = std::find_if(arch.weights.begin(), arch.weights.end(), [&](const WeightSpec& w) {
    return w.tensor <= static_cast<int64_t>(tensor) && static_cast<int64_t>(tensor) < w.tensor + w.n_tensors;
  });
  return it == arch.weights.end() ? nullptr : &*it;
}

// One tensor's elements, a piece at a time.
class Elements {
 public:
  Elements(const std::string& name, uint64_t seed, const TensorSpec& tensor, const WeightSpec* weight, DType dtype)
      : random_(XXH3_64bits_withSeed(name.data(), name.size(), seed), distribution(tensor, weight == nullptr ? 0.0f : weight->offset)),
        limit_(weight == nullptr ? 0 : weight->limit),
        cols_(tensor.shape.back()),
        dtype_(dtype) {}

  void fill(int64_t n, std::vector<std::byte>& out) {
    out.resize(static_cast<size_t>(n) * bytes_per_element(dtype_));
    for (int64_t e = 0; e < n; ++e) {
      if (dtype_ == DType::kI64) {
        reinterpret_cast<int64_t*>(out.data())[e] = next_index();
      } else if (dtype_ == DType::kF32) {
        reinterpret_cast<float*>(out.data())[e] = random_.next();
      } else {
        reinterpret_cast<bf16*>(out.data())[e] = to_bf16(random_.next());
      }
    }
  }

 private:
  // A row's indices follow one another from a random one on, so that they differ.
  int64_t next_index() {
    if (index_++ % cols_ == 0) first_ = static_cast<int64_t>(random_.bits() % static_cast<uint64_t>(limit_));
    return (first_ + (index_ - 1) % cols_) % limit_;
  }

  Random random_;
  int64_t limit_, cols_, index_ = 0, first_ = 0;
  DType dtype_;
};

// What is written to the file: a tensor of the description, or the scales of one.
struct Output {
  TensorDecl decl;
  size_t tensor = 0;  // of the description
  bool is_scales = false;

  int64_t n_elements() const {
    int64_t n = 1;
    for (int64_t d : decl.shape) n *= d;
    return n;
  }
};

// Random codes of E4M3 around 1 or of E2M1, and one scale that brings their products to the size of their inputs.
class Codes {
 public:
  Codes(const Output& output, uint64_t seed, const TensorSpec& tensor)
      : random_(XXH3_64bits_withSeed(output.decl.name.data(), output.decl.name.size(), seed), {}), output_(output) {
    const bool is_fp4 = output.decl.dtype == DType::kI8 || (output.is_scales && output.decl.shape.front() == tensor.shape.front());
    const float deviation = is_fp4 ? 3.0f : 1.2f;  // of the codes' values
    const double scale = std::round(std::log2(1.0 / (deviation * std::sqrt(static_cast<double>(tensor.shape.back())))));
    scale_ = static_cast<uint8_t>(std::clamp(scale + 127.0, 1.0, 254.0));
  }

  void fill(int64_t n, std::vector<std::byte>& out) {
    out.resize(static_cast<size_t>(n));
    for (std::byte& b : out) {
      const auto bits = static_cast<uint8_t>(random_.bits() >> 32);
      constexpr uint8_t kSmallest = 0x30;  // of E4M3, 1/2; the next 16 codes reach nearly to 2
      const bool is_e4m3 = output_.decl.dtype == DType::kF8E4M3;
      b = static_cast<std::byte>(output_.is_scales ? scale_ : is_e4m3 ? (bits & 0x80u) | (kSmallest + (bits & 15u)) : bits);
    }
  }

 private:
  Random random_;
  const Output& output_;
  uint8_t scale_ = 127;
};

// The tensors of a checkpoint in one float type, or each as the model was released: E4M3 with a scale every 128 x 128, MXFP4 two codes to a byte.
std::vector<Output> outputs(const Architecture& arch, std::optional<DType> dtype) {
  std::vector<Output> all;
  for (size_t i = 0; i < arch.tensors.size(); ++i) {
    const TensorSpec& t = arch.tensors[i];
    const WeightSpec* w = weight_of(arch, i);
    const std::string name = t.is_absolute ? t.name : arch.prefixes.front() + t.name;
    const DType released = w == nullptr ? DType::kBF16 : w->released;
    if (w != nullptr && w->use == WeightUse::kIndex) {
      all.push_back({{name, DType::kI64, t.shape}, i});
    } else if (dtype || (released != DType::kF8E4M3 && released != DType::kF4)) {
      all.push_back({{name, dtype.value_or(released), t.shape}, i});
    } else {
      const int64_t rows = t.shape[0], cols = t.shape[1];
      const bool is_fp4 = released == DType::kF4;
      const std::vector<int64_t> codes = is_fp4 ? std::vector{rows, cols / 2} : t.shape;
      const std::vector<int64_t> scales = is_fp4 ? std::vector{rows, cols / 32} : std::vector{ceil_div(rows, 128), ceil_div(cols, 128)};
      all.push_back({{name, is_fp4 ? DType::kI8 : DType::kF8E4M3, codes}, i});
      all.push_back({{scale_names(name).front(), DType::kF8E8M0, scales}, i, true});
    }
  }
  return all;
}

Status write_text(const std::string& path, std::string_view text) {
  LH_TRY(AtomicFile file, AtomicFile::create(path));
  LH_RETURN_IF_ERROR(file.write(text));
  return file.commit();
}

}  // namespace

Status synthesize(const std::string& model, const std::string& folder, const SynthOptions& options) {
  LH_TRY(NamedConfig found, find_config(model, options.config_overrides));
  LH_RETURN_IF_ERROR(take_packed_format(found.config, found.where));  // what is written is not packed
  const bool as_released = options.dtype == "released";
  const auto dtype = dtype_from_option(options.dtype);
  if (!as_released && (!dtype || *dtype == DType::kF16))
    return invalid("--dtype '{}' cannot be written; use f32, bf16 or released", options.dtype);
  LH_TRY(const Json config, rewrite_config(found.config, found.where, options.layers, dtype == DType::kF32 ? "float32" : "bfloat16"));
  LH_TRY(const Architecture arch, read_architecture(config, found.where));

  const std::vector<Output> all = outputs(arch, dtype);
  std::vector<TensorDecl> tensors;
  uint64_t total = 0, done = 0;
  for (const Output& o : all) {
    tensors.push_back(o.decl);
    total += static_cast<uint64_t>(o.n_elements());
  }
  LH_TRY(CheckpointWriter out, CheckpointWriter::create(folder, tensors));
  std::vector<std::byte> piece;
  for (const Output& o : all) {
    const TensorSpec& tensor = arch.tensors[o.tensor];
    const bool is_coded = o.is_scales || o.decl.dtype == DType::kI8 || o.decl.dtype == DType::kF8E4M3;
    Elements elements(o.decl.name, options.seed, tensor, weight_of(arch, o.tensor), o.decl.dtype);
    Codes codes(o, options.seed, tensor);
    for (int64_t left = o.n_elements(); left > 0;) {
      const int64_t n = std::min<int64_t>(left, int64_t{1} << 22);
      is_coded ? codes.fill(n, piece) : elements.fill(n, piece);
      LH_RETURN_IF_ERROR(out.write(o.decl.name, piece));
      left -= n;
      done += static_cast<uint64_t>(n);
      if (options.progress) options.progress(static_cast<double>(done) / static_cast<double>(total));
    }
  }
  // The config goes last but one: a folder is complete only with its weights' final name.
  LH_RETURN_IF_ERROR(write_text(folder + "/config.json", config.dump(2) + "\n"));
  return out.finish();
}

}  // namespace longhaul
