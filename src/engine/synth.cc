// Random checkpoints with real names and shapes. Each tensor's values come from a hash of its name and the seed, so they do not depend on which
// other tensors are written.
#include <xxhash.h>

#include <cmath>
#include <filesystem>

#include "base/atomic_file.h"
#include "base/numbers.h"
#include "engine/find_model.h"
#include "formats/safetensors_writer.h"
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
  float next() {
    state_ += 0x9e3779b97f4a7c15ull;  // splitmix64
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return mean_ + scale_ * static_cast<float>(static_cast<int32_t>(z >> 32));
  }

 private:
  uint64_t state_;
  float mean_, scale_;
};

float offset_of(const Architecture& arch, size_t tensor) {
  for (const WeightSpec& w : arch.weights) {
    if (static_cast<size_t>(w.tensor) == tensor) return w.offset;
  }
  return 0.0f;
}

Status write_text(const std::string& path, std::string_view text) {
  LH_TRY(AtomicFile file, AtomicFile::create(path));
  LH_RETURN_IF_ERROR(file.write(text));
  return file.commit();
}

}  // namespace

Status synthesize(const std::string& model, const std::string& folder, const SynthOptions& options) {
  LH_TRY(const NamedConfig found, find_config(model, options.config_overrides));
  const auto dtype = dtype_from_option(options.dtype);
  if (!dtype || *dtype == DType::kF16) return invalid("--dtype '{}' cannot be written; use f32 or bf16", options.dtype);
  LH_TRY(const Json config, rewrite_config(found.config, found.where, options.layers, *dtype == DType::kF32 ? "float32" : "bfloat16"));
  LH_TRY(const Architecture arch, read_architecture(config, found.where));

  const std::string prefix = arch.prefixes.front();
  std::vector<TensorDecl> tensors;
  uint64_t total = 0, done = 0;
  for (const TensorSpec& t : arch.tensors) {
    tensors.push_back({t.is_absolute ? t.name : prefix + t.name, *dtype, t.shape});
    total += static_cast<uint64_t>(t.n_elements());
  }
  LH_TRY(CheckpointWriter out, CheckpointWriter::create(folder, tensors));
  std::vector<std::byte> piece;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string& name = tensors[i].name;
    Random random(XXH3_64bits_withSeed(name.data(), name.size(), options.seed), distribution(arch.tensors[i], offset_of(arch, i)));
    for (int64_t left = arch.tensors[i].n_elements(); left > 0;) {
      const int64_t n = std::min<int64_t>(left, int64_t{1} << 22);
      piece.resize(static_cast<size_t>(n) * bytes_per_element(*dtype));
      for (int64_t e = 0; e < n; ++e) {
        if (*dtype == DType::kF32) {
          reinterpret_cast<float*>(piece.data())[e] = random.next();
        } else {
          reinterpret_cast<bf16*>(piece.data())[e] = to_bf16(random.next());
        }
      }
      LH_RETURN_IF_ERROR(out.write(name, piece));
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
