#include "engine/loader.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <unordered_set>

#include "base/printable.h"
#include "engine/pack.h"
#include "mechanisms/resident_weights.h"

namespace longhaul {
namespace {

bool is_float(DType d) { return d == DType::kF32 || d == DType::kF16 || d == DType::kBF16; }

// Which tensor of the checkpoint is which of the description's.
class TensorMatcher {
 public:
  TensorMatcher(const Architecture& arch, const TensorSource& source) : arch_(arch), source_(source) {
    // The prefix is that under which most tensors are found: one missing tensor must not hide the layout.
    size_t best = 0;
    for (const std::string& prefix : arch.prefixes) {
      const auto found = static_cast<size_t>(std::count_if(arch.tensors.begin(), arch.tensors.end(), [&](const TensorSpec& t) {
        const auto stands = [&](const std::string& name) { return source.find(prefix + name) != nullptr; };
        return stands(t.name) || std::any_of(t.other_names.begin(), t.other_names.end(), stands);
      }));
      if (found > best) prefix_ = prefix;
      best = std::max(best, found);
    }
  }

  Result<std::vector<ScaledTensor>> match() {
    const std::vector<WeightUse> uses = uses_of_tensors();
    std::vector<ScaledTensor> found;
    for (size_t i = 0; i < arch_.tensors.size(); ++i) found.push_back(match_one(arch_.tensors[i], uses[i]));
    for (const TensorInfo& t : source_.all()) {
      if (!claimed_.count(t.name) && !is_ignored(t.name))
        problems_.push_back(fmt::format("unclaimed tensor '{}' {}", printable(t.name), shape_text(t.shape)));
    }
    if (problems_.empty()) return found;
    constexpr size_t kShown = 20;
    const size_t n = problems_.size();
    if (n > kShown) problems_.resize(kShown);
    return corrupt("the checkpoint does not fit its config ({} problems{}):\n  {}", n, n > kShown ? ", the first 20 are" : "",
                   fmt::join(problems_, "\n  "));
  }

 private:
  const TensorInfo* find(const TensorSpec& spec) const {
    const TensorInfo* t = source_.find(prefix_ + spec.name);
    if (t == nullptr) t = source_.find(spec.name);
    // The head stands beside the model in whatever wraps both.
    if (t == nullptr && spec.is_absolute) t = source_.find(outer_prefix() + spec.name);
    for (const std::string& other : spec.other_names) {
      if (t == nullptr) t = source_.find(spec.is_absolute ? other : prefix_ + other);
    }
    return t;
  }

  std::string outer_prefix() const {
    constexpr std::string_view kModel = "model.";
    return prefix_.ends_with(kModel) ? prefix_.substr(0, prefix_.size() - kModel.size()) : prefix_;
  }

  std::vector<WeightUse> uses_of_tensors() const {
    std::vector<WeightUse> uses(arch_.tensors.size(), WeightUse::kVector);
    for (const WeightSpec& w : arch_.weights) {
      // A table is read as it stands in the file, whatever else the tensor serves as.
      if (uses[static_cast<size_t>(w.tensor)] != WeightUse::kLookup) std::fill_n(uses.begin() + w.tensor, w.n_tensors, w.use);
    }
    return uses;
  }

  const TensorInfo* find_scales(const TensorInfo& weight) {
    for (const std::string& name : scale_names(weight.name)) {
      if (const TensorInfo* scales = source_.find(name)) {
        claimed_.insert(scales->name);
        return scales;
      }
    }
    return nullptr;
  }

  ScaledTensor match_one(const TensorSpec& spec, WeightUse use) {
    const TensorInfo* t = find(spec);
    if (t == nullptr) {
      problems_.push_back(fmt::format("missing tensor '{}{}' {}", spec.is_absolute ? "" : prefix_, spec.name, shape_text(spec.shape)));
      return {};
    }
    claimed_.insert(t->name);
    if (needs_scales(t->dtype) && (use == WeightUse::kMatrix || use == WeightUse::kExpert)) {
      const ScaledTensor scaled{t, find_scales(*t)};
      if (const Status status = check_scaled(scaled, spec.shape); !status.ok()) problems_.push_back(status.error().message);
      return scaled;
    }
    // A buffer of one element may be stored as a scalar.
    const bool scalar = t->shape.empty() && spec.n_elements() == 1;
    if (t->shape != spec.shape && !scalar) {
      problems_.push_back(fmt::format("tensor '{}' is {}, expected {}", t->name, shape_text(t->shape), shape_text(spec.shape)));
    }
    if (use == WeightUse::kIndex) {
      if (t->dtype != DType::kI64 && t->dtype != DType::kI32)
        problems_.push_back(fmt::format("tensor '{}' has dtype {}, expected I64 or I32", t->name, to_string(t->dtype)));
    } else if (!is_float(t->dtype)) {
      problems_.push_back(fmt::format("tensor '{}' has dtype {}; F32, F16 and BF16 can be computed with", t->name, to_string(t->dtype)));
    }
    return {t};
  }

  bool is_ignored(const std::string& name) const {
    return std::any_of(arch_.ignored.begin(), arch_.ignored.end(), [&](const IgnoredTensor& i) {
      const std::string full = i.is_absolute ? i.name : prefix_ + i.name;
      return i.is_prefix ? name.compare(0, full.size(), full) == 0 : name == full;
    });
  }

  const Architecture& arch_;
  const TensorSource& source_;
  std::string prefix_;
  std::unordered_set<std::string> claimed_;
  std::vector<std::string> problems_;
};

float element(const std::byte* data, DType dtype, int64_t i) {
  if (dtype == DType::kF32) {
    float x;
    std::memcpy(&x, data + 4 * i, 4);
    return x;
  }
  uint16_t bits;
  std::memcpy(&bits, data + 2 * i, 2);
  return dtype == DType::kBF16 ? to_f32(bf16{bits}) : to_f32(f16{bits});
}

// One piece of packing: some rows of one matrix.
struct PackTask {
  StoredMatrix source;
  int64_t first_row, n_rows;
  DType packed;
  std::byte* out;  // the matrix
};

// tensors: that of the weight, or those of its experts.
void add_tasks(std::span<const ScaledTensor> tensors, const WeightSpec& w, DType dtype, std::byte* out, std::vector<PackTask>& tasks) {
  const int64_t per_task = rows_per_task(w.cols, int64_t{1} << 20);
  for (int64_t e = 0; e < w.n_experts; ++e) {
    const StoredMatrix matrix = stored_matrix(tensors, w, e);
    for (int64_t row = 0; row < w.rows; row += per_task) tasks.push_back({matrix, row, std::min(per_task, w.rows - row), dtype, out});
    out += packed_bytes(dtype, w.rows, w.cols);
  }
}

// Packs all, and lets go of the pages of what is packed. The first error in order of the tasks.
Status run_tasks(const std::vector<PackTask>& tasks, ThreadPool& pool, uint64_t total_bytes, const LoadProgress& progress) {
  int64_t widest = 0;
  for (const PackTask& t : tasks) widest = std::max(widest, t.source.cols);
  std::vector<std::vector<float>> widened(static_cast<size_t>(pool.n_threads()), std::vector<float>(static_cast<size_t>(kPanel * widest)));
  std::vector<Status> results(tasks.size());
  std::atomic<uint64_t> done{0};
  pool.run(static_cast<int64_t>(tasks.size()), [&](int64_t task, int thread) {
    const PackTask& t = tasks[static_cast<size_t>(task)];
    const auto error = pack(t.source, t.first_row, t.n_rows, t.packed, t.out, widened[static_cast<size_t>(thread)].data());
    if (!error.ok()) results[static_cast<size_t>(task)] = corrupt("tensor '{}': {}", t.source.tensor.weight->name, error.error().message);
    t.source.tensor.weight->file->drop(t.source.bytes(t.first_row, t.n_rows));
    const uint64_t now = done += packed_bytes(t.packed, t.n_rows, t.source.cols);
    if (thread == 0 && progress) progress(now, total_bytes);
  });
  for (Status& result : results) LH_RETURN_IF_ERROR(std::move(result));
  return {};
}

Status check_index(const TensorInfo& t, const WeightSpec& w) {
  const uint64_t bytes = bytes_per_element(t.dtype);
  for (int64_t i = 0; i < w.n_elements(); ++i) {
    int64_t value = 0;
    std::memcpy(&value, t.bytes.data() + static_cast<uint64_t>(i) * bytes, bytes);
    if (t.dtype == DType::kI32) value = static_cast<int32_t>(value);
    if (value < 0 || value >= w.limit) {
      return corrupt("tensor '{}' holds {} in row {}, expected 0 to {}", t.name, value, i / w.cols, w.limit - 1);
    }
  }
  return {};
}

void load_vector(const TensorInfo& t, const WeightSpec& w, float* out) {
  for (int64_t i = 0; i < w.n_elements(); ++i) out[i] = element(t.bytes.data(), t.dtype, i) + w.offset;
}

}  // namespace

void LoadedWeights::rows_read(int64_t n_rows) {
  constexpr int64_t kReleaseEvery = 512;
  rows_since_release_ += n_rows;
  if (rows_since_release_ < kReleaseEvery) return;
  rows_since_release_ = 0;
  for (const auto& file : source.files()) file->drop(file->bytes());
}

Result<WeightFormat> note_stored_types(Architecture& arch, const TensorSource& source) {
  LH_TRY(const auto tensors, TensorMatcher(arch, source).match());
  bool has_scales = false;
  for (WeightSpec& w : arch.weights) {
    if (w.use != WeightUse::kMatrix && w.use != WeightUse::kExpert) continue;
    const auto own = std::span(tensors).subspan(static_cast<size_t>(w.tensor), static_cast<size_t>(w.n_tensors));
    w.released = stored_dtype(own.front());
    const bool alike = std::all_of(own.begin(), own.end(), [&](const ScaledTensor& t) { return stored_dtype(t) == w.released; });
    if (!alike) w.released = DType::kBF16;
    if (own.front().scales == nullptr) continue;
    has_scales = true;
    w.released_scales = own.front().scales->dtype;
  }
  if (has_scales) return WeightFormat::kReleased;
  return plain_format(stored_dtype(tensors[static_cast<size_t>(arch.weight(arch.head.matrix).tensor)]));
}

Result<std::unique_ptr<LoadedWeights>> load_weights(const Architecture& arch, TensorSource source, WeightFormat format, ThreadPool& pool,
                                                    const LoadProgress& progress, const std::optional<ExpertCacheLayout>& experts) {
  auto model = std::make_unique<LoadedWeights>();
  model->source = std::move(source);
  LH_TRY(auto tensors, TensorMatcher(arch, model->source).match());

  const size_t n = arch.weights.size();
  uint64_t packed = 0, vectors = 0;
  const auto is_streamed = [&](const WeightSpec& w) { return experts && w.use == WeightUse::kExpert; };
  for (const WeightSpec& w : arch.weights) {
    if (is_streamed(w)) continue;
    (w.is_f32() ? vectors : packed) += resident_bytes(w, format);
  }
  LH_TRY(model->packed, Buffer::allocate(packed));
  LH_TRY(model->vectors, Buffer::allocate(vectors));
  model->weights = {.format = format,
                    .matrices = std::vector<PackedMatrix>(n),
                    .vectors = std::vector<const float*>(n),
                    .tables = std::vector<LookupTable>(n)};

  std::vector<PackTask> tasks;
  std::byte* next = model->packed.data();
  auto* next_vector = reinterpret_cast<float*>(model->vectors.data());
  for (size_t i = 0; i < n; ++i) {
    const WeightSpec& w = arch.weights[i];
    const TensorInfo& t = *tensors[static_cast<size_t>(w.tensor)].weight;
    if (w.is_f32()) {
      load_vector(t, w, next_vector);
      model->weights.vectors[i] = next_vector;
      next_vector += w.n_elements();
    } else if (w.use == WeightUse::kLookup || w.use == WeightUse::kIndex) {
      if (w.use == WeightUse::kIndex) LH_RETURN_IF_ERROR(check_index(t, w));
      model->weights.tables[i] = {t.bytes.data(), t.dtype, w.rows, w.cols};
      t.file->expect_random_access(t.bytes);
      model->mapped_bytes += t.bytes.size();
    } else {
      const DType packed_as = packed_dtype(w, format);
      model->weights.matrices[i] = {is_streamed(w) ? nullptr : next, packed_as, w.rows, w.cols};
      if (is_streamed(w)) continue;
      add_tasks(std::span(tensors).subspan(static_cast<size_t>(w.tensor), static_cast<size_t>(w.n_tensors)), w, packed_as, next, tasks);
      next += resident_bytes(w, format);
    }
  }
  LH_RETURN_IF_ERROR(run_tasks(tasks, pool, packed, progress));
  // Pages around the edges of what was packed, and those the kernel mapped ahead, are not needed either; tables come back row by row.
  for (const auto& file : model->source.files()) file->drop(file->bytes());
  if (progress) progress(packed, packed);
  if (experts) {
    LH_TRY(model->experts, ExpertCache::create(arch, std::move(tensors), model->weights.matrices, *experts, pool));
    model->weights.experts = model->experts.get();
  }
  return model;
}

}  // namespace longhaul
