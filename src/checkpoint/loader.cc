#include "checkpoint/loader.h"

#include <algorithm>
#include <atomic>

#include "checkpoint/pack.h"
#include "checkpoint/value_checks.h"
#include "formats/coded_tensor.h"
#include "formats/widen.h"
#include "mechanisms/resident_weights.h"

namespace longhaul {
namespace {

// One piece of packing: some rows of one matrix.
struct PackTask {
  MatrixRows rows;
  int64_t cols;
  const Codec* codec;
  std::byte* out;
};

void add_tasks(WeightId id, const WeightSpec& w, const Codec& codec, std::byte* out,
               std::vector<PackTask>& tasks) {
  for (const MatrixRows& rows : pieces_of(id, w)) {
    const uint64_t at = static_cast<uint64_t>(rows.expert) * codec.bytes(w.rows, w.cols) +
                        codec.bytes(rows.first, w.cols);
    tasks.push_back({rows, w.cols, &codec, out + at});
  }
}

// Packs all, and lets go of the pages of what is packed. The first error in order of the tasks.
Status run_tasks(const WeightSource& source, const std::vector<PackTask>& tasks, ThreadPool& pool,
                 uint64_t total_bytes, const LoadProgress& progress) {
  int64_t widest = 0;
  for (const PackTask& t : tasks) widest = std::max(widest, t.cols);
  std::vector<std::vector<float>> widened(static_cast<size_t>(pool.n_threads()),
                                          std::vector<float>(static_cast<size_t>(kPanel * widest)));
  std::vector<Status> results(tasks.size());
  std::atomic<uint64_t> done{0};
  pool.run(static_cast<int64_t>(tasks.size()), [&](int64_t task, int thread) {
    const PackTask& t = tasks[static_cast<size_t>(task)];
    auto made = source.bring(t.rows, *t.codec, t.out, widened[static_cast<size_t>(thread)].data());
    if (!made.ok()) results[static_cast<size_t>(task)] = made.take_error();
    source.drop(t.rows);
    const uint64_t now = done += t.codec->bytes(t.rows.n, t.cols);
    if (thread == 0 && progress) progress(now, total_bytes);
  });
  for (Status& result : results) LH_RETURN_IF_ERROR(std::move(result));
  return {};
}

Status load_vector(const TensorInfo& t, const WeightSpec& w, float* out) {
  LH_RETURN_IF_ERROR(widen_vector(t, w, out));
  for (int64_t i = 0; i < w.n_elements(); ++i) out[i] += w.offset;
  return {};
}

}  // namespace

void LoadedWeights::rows_read(int64_t n_rows) {
  constexpr int64_t kReleaseEvery = 512;
  rows_since_release_ += n_rows;
  if (rows_since_release_ < kReleaseEvery) return;
  rows_since_release_ = 0;
  for (const TensorInfo* table : tables)
    for_each_stored(*table, [](const TensorInfo& t) { t.file->drop(t.bytes); });
}

Status LoadedWeights::check_files() const {
  for (const auto& file : source->tensors().files()) LH_RETURN_IF_ERROR(file->check_size());
  return {};
}

namespace {

// Fills in what is not packed: vectors are widened, tables stay where they are.
Status load_others(const Architecture& arch, LoadedWeights& model) {
  uint64_t bytes = 0;
  for (const WeightSpec& w : arch.weights) {
    if (w.is_f32()) bytes += resident_bytes(w, model.weights.format);
  }
  LH_TRY(model.vectors, Buffer::allocate(bytes));
  auto* next = reinterpret_cast<float*>(model.vectors.data());
  for (size_t i = 0; i < arch.weights.size(); ++i) {
    const WeightSpec& w = arch.weights[i];
    if (w.is_matrix()) continue;
    const TensorInfo& t = model.source->tensor(static_cast<WeightId>(i));
    if (w.is_f32()) {
      LH_RETURN_IF_ERROR(load_vector(t, w, next));
      model.weights.vectors[i] = {next, static_cast<size_t>(w.n_elements())};
      next += w.n_elements();
      continue;
    }
    if (w.use == WeightUse::kIndex) LH_RETURN_IF_ERROR(check_index(t, w));
    model.weights.tables[i] = {t.bytes.data(),     t.dtype,      w.rows, w.cols,
                               unpack_of(t.dtype), t.coded.get()};
    for_each_stored(t, [](const TensorInfo& s) { s.file->expect_random_access(s.bytes); });
    model.tables.push_back(&t);
    model.mapped_bytes += bytes_in_files(t);
  }
  return {};
}

// The matrices that are to be in memory: all but experts behind a cache.
std::vector<WeightId> resident_matrices(const Architecture& arch, bool has_cache) {
  std::vector<WeightId> ids;
  for (size_t i = 0; i < arch.weights.size(); ++i) {
    const WeightSpec& w = arch.weights[i];
    if (w.is_matrix() && !(has_cache && w.use == WeightUse::kExpert))
      ids.push_back(static_cast<WeightId>(i));
  }
  return ids;
}

// Packs those whose panels stand in no file.
Status pack_matrices(const Architecture& arch, std::span<const WeightId> resident, ThreadPool& pool,
                     const LoadProgress& progress, LoadedWeights& model) {
  const auto needs_packing = [&](WeightId id) { return model.source->panels(id).empty(); };
  uint64_t bytes = 0;
  for (const WeightId id : resident) {
    if (needs_packing(id)) bytes += resident_bytes(arch.weight(id), model.weights.format);
  }
  LH_TRY(model.packed, Buffer::allocate(bytes));
  std::vector<PackTask> tasks;
  std::byte* next = model.packed.data();
  for (const WeightId id : resident) {
    if (!needs_packing(id)) continue;
    PackedMatrix& m = model.weights.matrices[static_cast<size_t>(id)];
    m.data = next;
    add_tasks(id, arch.weight(id), *m.codec, next, tasks);
    next += resident_bytes(arch.weight(id), model.weights.format);
  }
  return run_tasks(*model.source, tasks, pool, bytes, progress);
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

// Points the others into their files.
Status map_matrices(std::span<const WeightId> resident, ThreadPool& pool,
                    const LoadProgress& progress, LoadedWeights& model) {
  std::vector<const TensorInfo*> mapped;
  for (const WeightId id : resident) {
    const std::span<const std::byte> panels = model.source->panels(id);
    if (panels.empty()) continue;
    model.weights.matrices[static_cast<size_t>(id)].data = panels.data();
    mapped.push_back(&model.source->tensor(id));
    model.packed_in_files += panels.size();
  }
  return populate(mapped, pool, model.packed_in_files, progress);
}

}  // namespace

Result<std::unique_ptr<LoadedWeights>> load_weights(
    const Architecture& arch, std::unique_ptr<WeightSource> source, const WeightFormat& format,
    ThreadPool& pool, const LoadProgress& progress,
    const std::optional<ExpertCacheLayout>& experts) {
  auto model = std::make_unique<LoadedWeights>();
  model->source = std::move(source);
  model->weights = empty_weights(arch, format);
  const std::vector<WeightId> resident = resident_matrices(arch, experts.has_value());
  LH_RETURN_IF_ERROR(load_others(arch, *model));
  LH_RETURN_IF_ERROR(pack_matrices(arch, resident, pool, progress, *model));
  // Pages around the edges of what was read, and those the kernel mapped ahead, are not needed
  // either; tables come back row by row.
  for (const auto& file : model->source->tensors().files()) file->drop(file->bytes());
  LH_RETURN_IF_ERROR(map_matrices(resident, pool, progress, *model));
  LH_RETURN_IF_ERROR(model->check_files());
  if (progress) progress(1, 1);
  if (experts) {
    LH_TRY(model->experts,
           ExpertCache::create(arch, *model->source, model->weights.matrices, *experts, pool));
    model->weights.experts = model->experts.get();
  }
  return model;
}

}  // namespace longhaul
