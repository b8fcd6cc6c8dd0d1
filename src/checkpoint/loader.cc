#include "checkpoint/loader.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "checkpoint/match_tensors.h"
#include "checkpoint/pack.h"
#include "mechanisms/resident_weights.h"
#include "tensor/float_at.h"

namespace longhaul {
namespace {

// One piece of packing: some rows of one matrix.
struct PackTask {
  StoredMatrix source;
  int64_t first_row, n_rows;
  DType packed;
  std::byte* out;  // the matrix
};

// tensors: that of the weight, or those of its experts.
void add_tasks(std::span<const ScaledTensor> tensors, const WeightSpec& w, DType dtype,
               std::byte* out, std::vector<PackTask>& tasks) {
  const int64_t per_task = rows_per_task(w.cols, int64_t{1} << 20);
  for (int64_t e = 0; e < w.n_experts; ++e) {
    const StoredMatrix matrix = stored_matrix(tensors, w, e);
    for (int64_t row = 0; row < w.rows; row += per_task)
      tasks.push_back({matrix, row, std::min(per_task, w.rows - row), dtype, out});
    out += packed_bytes(dtype, w.rows, w.cols);
  }
}

// Packs all, and lets go of the pages of what is packed. The first error in order of the tasks.
Status run_tasks(const std::vector<PackTask>& tasks, ThreadPool& pool, uint64_t total_bytes,
                 const LoadProgress& progress) {
  int64_t widest = 0;
  for (const PackTask& t : tasks) widest = std::max(widest, t.source.cols);
  std::vector<std::vector<float>> widened(static_cast<size_t>(pool.n_threads()),
                                          std::vector<float>(static_cast<size_t>(kPanel * widest)));
  std::vector<Status> results(tasks.size());
  std::atomic<uint64_t> done{0};
  pool.run(static_cast<int64_t>(tasks.size()), [&](int64_t task, int thread) {
    const PackTask& t = tasks[static_cast<size_t>(task)];
    const auto error = pack(t.source, t.first_row, t.n_rows, t.packed, t.out,
                            widened[static_cast<size_t>(thread)].data());
    if (!error.ok())
      results[static_cast<size_t>(task)] =
          in_context(fmt::format("tensor '{}'", t.source.tensor.weight->name), error.error());
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
      return corrupt(
          "tensor '{}' holds {} in row {}, expected 0 to {}; download the checkpoint again", t.name,
          value, i / w.cols, w.limit - 1);
    }
  }
  return {};
}

void load_vector(const TensorInfo& t, const WeightSpec& w, float* out) {
  for (int64_t i = 0; i < w.n_elements(); ++i)
    out[i] = float_at(t.bytes.data(), t.dtype, i) + w.offset;
}

}  // namespace

void LoadedWeights::rows_read(int64_t n_rows) {
  constexpr int64_t kReleaseEvery = 512;
  rows_since_release_ += n_rows;
  if (rows_since_release_ < kReleaseEvery) return;
  rows_since_release_ = 0;
  for (const TensorInfo* table : tables) table->file->drop(table->bytes);
}

Status LoadedWeights::check_files() const {
  for (const auto& file : source.files()) LH_RETURN_IF_ERROR(file->check_size());
  return {};
}

namespace {

// Fills in what is not packed: vectors are widened, tables stay where they are.
Status load_others(const Architecture& arch, std::span<const ScaledTensor> tensors,
                   LoadedWeights& model) {
  uint64_t bytes = 0;
  for (const WeightSpec& w : arch.weights) {
    if (w.is_f32()) bytes += resident_bytes(w, model.weights.format);
  }
  LH_TRY(model.vectors, Buffer::allocate(bytes));
  auto* next = reinterpret_cast<float*>(model.vectors.data());
  for (size_t i = 0; i < arch.weights.size(); ++i) {
    const WeightSpec& w = arch.weights[i];
    if (w.is_packed()) continue;
    const TensorInfo& t = *tensors[static_cast<size_t>(w.tensor)].weight;
    if (w.is_f32()) {
      load_vector(t, w, next);
      model.weights.vectors[i] = {next, static_cast<size_t>(w.n_elements())};
      next += w.n_elements();
      continue;
    }
    if (w.use == WeightUse::kIndex) LH_RETURN_IF_ERROR(check_index(t, w));
    model.weights.tables[i] = {t.bytes.data(), t.dtype, w.rows, w.cols};
    t.file->expect_random_access(t.bytes);
    model.tables.push_back(&t);
    model.mapped_bytes += t.bytes.size();
  }
  return {};
}

bool is_streamed(const WeightSpec& w, bool stream_experts) {
  return stream_experts && w.use == WeightUse::kExpert;
}

// Packs all but the experts that are streamed.
Status pack_matrices(const Architecture& arch, std::span<const ScaledTensor> tensors,
                     bool stream_experts, ThreadPool& pool, const LoadProgress& progress,
                     LoadedWeights& model) {
  const WeightFormat format = model.weights.format;
  const auto is_packed_now = [&](const WeightSpec& w) {
    return w.is_packed() && !is_streamed(w, stream_experts);
  };
  uint64_t bytes = 0;
  for (const WeightSpec& w : arch.weights) {
    if (is_packed_now(w)) bytes += resident_bytes(w, format);
  }
  LH_TRY(model.packed, Buffer::allocate(bytes));
  std::vector<PackTask> tasks;
  std::byte* next = model.packed.data();
  for (size_t i = 0; i < arch.weights.size(); ++i) {
    const WeightSpec& w = arch.weights[i];
    if (!w.is_packed()) continue;
    const DType dtype = packed_dtype(w, format);
    model.weights.matrices[i] = {is_packed_now(w) ? next : nullptr, dtype, w.rows, w.cols};
    if (!is_packed_now(w)) continue;
    add_tasks(tensors.subspan(static_cast<size_t>(w.tensor), static_cast<size_t>(w.n_tensors)), w,
              dtype, next, tasks);
    next += resident_bytes(w, format);
  }
  return run_tasks(tasks, pool, bytes, progress);
}

// Brings the pages of packed tensors in, some megabytes a task. The first error in order.
Status populate(std::span<const TensorInfo* const> packed, ThreadPool& pool, uint64_t total_bytes,
                const LoadProgress& progress) {
  constexpr uint64_t kPiece = uint64_t{16} << 20;
  std::vector<std::pair<const MappedFile*, std::span<const std::byte>>> pieces;
  for (const TensorInfo* t : packed) {
    for (uint64_t at = 0; at < t->bytes.size(); at += kPiece) {
      pieces.emplace_back(t->file,
                          t->bytes.subspan(at, std::min<uint64_t>(kPiece, t->bytes.size() - at)));
    }
  }
  std::vector<Status> results(pieces.size());
  std::atomic<uint64_t> done{0};
  pool.run(static_cast<int64_t>(pieces.size()), [&](int64_t task, int thread) {
    const auto& [file, bytes] = pieces[static_cast<size_t>(task)];
    results[static_cast<size_t>(task)] = file->populate(bytes);
    const uint64_t now = done += bytes.size();
    if (thread == 0 && progress) progress(now, total_bytes);
  });
  for (Status& result : results) LH_RETURN_IF_ERROR(std::move(result));
  return {};
}

// Points the matrices into the files, all but the experts that are streamed.
Status map_matrices(const Architecture& arch, std::span<const PackedTensor> packed,
                    bool stream_experts, ThreadPool& pool, const LoadProgress& progress,
                    LoadedWeights& model) {
  std::vector<const TensorInfo*> mapped;
  for (size_t i = 0; i < arch.weights.size(); ++i) {
    const WeightSpec& w = arch.weights[i];
    if (!w.is_packed()) continue;
    const bool is_mapped = !is_streamed(w, stream_experts);
    const auto& [tensor, dtype] = packed[i];
    model.weights.matrices[i] = {is_mapped ? tensor->bytes.data() : nullptr, dtype, w.rows, w.cols};
    if (!is_mapped) continue;
    mapped.push_back(tensor);
    model.packed_in_files += tensor->bytes.size();
  }
  return populate(mapped, pool, model.packed_in_files, progress);
}

}  // namespace

Result<std::unique_ptr<LoadedWeights>> load_weights(const Architecture& arch, TensorSource source,
                                                    WeightFormat format, ThreadPool& pool,
                                                    const LoadProgress& progress,
                                                    const std::optional<ExpertCacheLayout>& experts,
                                                    bool is_packed) {
  auto model = std::make_unique<LoadedWeights>();
  model->source = std::move(source);
  LH_TRY(MatchedTensors matched,
         match_tensors(arch, model->source, is_packed ? std::optional(format) : std::nullopt));
  const size_t n = arch.weights.size();
  model->weights = {.format = format,
                    .matrices = std::vector<PackedMatrix>(n),
                    .vectors = std::vector<Vector>(n),
                    .tables = std::vector<LookupTable>(n)};
  LH_RETURN_IF_ERROR(load_others(arch, matched.tensors, *model));
  if (!is_packed)
    LH_RETURN_IF_ERROR(
        pack_matrices(arch, matched.tensors, experts.has_value(), pool, progress, *model));
  // Pages around the edges of what was read, and those the kernel mapped ahead, are not needed
  // either; tables come back row by row.
  for (const auto& file : model->source.files()) file->drop(file->bytes());
  if (is_packed)
    LH_RETURN_IF_ERROR(
        map_matrices(arch, matched.packed, experts.has_value(), pool, progress, *model));
  LH_RETURN_IF_ERROR(model->check_files());
  if (progress) progress(1, 1);
  if (experts) {
    LH_TRY(model->experts,
           ExpertCache::create(arch, std::move(matched), model->weights.matrices, *experts, pool));
    model->weights.experts = model->experts.get();
  }
  return model;
}

}  // namespace longhaul
