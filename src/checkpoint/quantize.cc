// A checkpoint into a folder of packed weights, a piece at a time: some megabytes of panels are in
// memory, whatever its size.
#include "checkpoint/quantize.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <unordered_set>

#include "base/atomic_folder.h"
#include "base/notice.h"
#include "base/printable.h"
#include "base/system.h"
#include "base/thread_pool.h"
#include "checkpoint/compute_dtype.h"
#include "checkpoint/open_model.h"
#include "checkpoint/pack.h"
#include "checkpoint/packed_folder.h"
#include "checkpoint/tensor_names.h"
#include "formats/block_encoder.h"
#include "formats/coded_tensor.h"
#include "formats/safetensors_writer.h"
#include "formats/widen.h"
#include "longhaul/units.h"
#include "mechanisms/resident_weights.h"
#include "tensor/float_at.h"

namespace longhaul {
namespace {

// A tensor of the new folder: a packed weight, a table in blocks, or one that is copied.
struct Item {
  TensorDecl decl;
  const TensorInfo* source = nullptr;  // the first where several are packed into one
  WeightId id = kNone;
  const WeightSpec* weight = nullptr;  // null: not packed
  const Codec* codec = nullptr;
  std::optional<DType> blocks = {};  // what a table is rounded to
  QuantError error = {};
  bool is_part = false;  // copied: of a tensor in codes

  bool is_rounded() const { return weight != nullptr || blocks.has_value(); }
  int64_t matrices() const { return weight == nullptr ? 1 : weight->n_experts; }
  const char* format() const { return weight == nullptr ? to_string(*blocks) : codec->name; }
};

// Tables of floats whose rows are whole blocks are rounded; others stay as they are.
std::optional<DType> blocks_of_table(const WeightSpec& w, const TensorInfo& t,
                                     TablePrecision tables) {
  const bool has_blocks = w.use == WeightUse::kLookup && t.coded == nullptr && is_float(t.dtype) &&
                          t.shape.size() >= 2 && t.shape.back() % kEncodedBlock == 0;
  if (!has_blocks || tables == TablePrecision::kAsIs) return std::nullopt;
  return tables == TablePrecision::kQ8 ? DType::kQ8_0 : DType::kIQ4_NL;
}

// Packed weights first: all of them are whole multiples of 64 bytes, so each begins at one.
std::vector<Item> list_items(const Architecture& arch, const WeightSource& source,
                             const WeightFormat& format, TablePrecision tables) {
  std::vector<Item> items, copied;
  std::unordered_set<std::string> names;
  for (size_t i = 0; i < arch.weights.size(); ++i) {
    const WeightSpec& w = arch.weights[i];
    const auto id = static_cast<WeightId>(i);
    const TensorInfo& first = source.tensor(id);
    if (w.is_matrix()) {
      const Codec& codec = packed_codec(w, format);
      Item item{.decl = {first.name + packed_suffix(w, codec), DType::kU8, packed_shape(w, codec)},
                .source = &first,
                .id = id,
                .weight = &w,
                .codec = &codec};
      if (names.insert(item.decl.name).second) items.push_back(std::move(item));
    } else if (names.insert(first.name).second) {
      const std::optional<DType> blocks = blocks_of_table(w, first, tables);
      for_each_stored(first, [&](const TensorInfo& t) {
        copied.push_back({.decl = copied_tensor(t, blocks.value_or(t.dtype)),
                          .source = &t,
                          .blocks = blocks,
                          .is_part = &t != &first});
      });
    }
  }
  std::move(copied.begin(), copied.end(), std::back_inserter(items));
  return items;
}

using OnBytes = std::function<void(uint64_t written)>;

class ItemWriter {
 public:
  ItemWriter(const WeightSource& source, CheckpointWriter& out, ThreadPool& pool, OnBytes on_bytes)
      : source_(source), out_(out), pool_(pool), on_bytes_(std::move(on_bytes)) {}

  Status write(Item& item) {
    if (item.weight != nullptr) return write_packed(item);
    return item.blocks ? write_table(item) : write_copy(item);
  }

 private:
  struct Piece {
    MatrixRows rows;
    uint64_t offset, bytes;  // in the buffer
  };

  Status write_packed(Item& item) {
    const WeightSpec& w = *item.weight;
    std::vector<Piece> pieces;
    uint64_t filled = 0;
    for (const MatrixRows& rows : pieces_of(item.id, w)) {
      const uint64_t bytes = item.codec->bytes(rows.n, w.cols);
      pieces.push_back({rows, filled, bytes});
      filled += bytes;
      if (filled < kBufferBytes) continue;
      LH_RETURN_IF_ERROR(write_pieces(item, pieces, filled));
      pieces.clear();
      filled = 0;
    }
    return write_pieces(item, pieces, filled);
  }

  Status write_pieces(Item& item, std::span<const Piece> pieces, uint64_t bytes) {
    buffer_.assign(bytes, std::byte{0});
    std::vector<Result<QuantError>> results(pieces.size(), QuantError{});
    std::vector<std::vector<float>> widened(
        static_cast<size_t>(pool_.n_threads()),
        std::vector<float>(static_cast<size_t>(kPanel * item.weight->cols)));
    pool_.run(static_cast<int64_t>(pieces.size()), [&](int64_t i, int thread) {
      const Piece& p = pieces[static_cast<size_t>(i)];
      results[static_cast<size_t>(i)] =
          source_.bring(p.rows, *item.codec, buffer_.data() + p.offset,
                        widened[static_cast<size_t>(thread)].data());
      source_.drop(p.rows);
    });
    for (const Result<QuantError>& made : results) {
      if (!made.ok()) return made.error();
      item.error += *made;
    }
    LH_RETURN_IF_ERROR(out_.write(item.decl.name, buffer_));
    on_bytes_(bytes);
    return {};
  }

  // Elements [first, first + n) of a table into blocks; what rounding did to them.
  static Result<QuantError> encode(const Item& item, int64_t first, int64_t n, std::byte* out) {
    std::vector<float> exact(static_cast<size_t>(n)), kept(exact.size());
    widen_elements(*item.source, first, n, exact.data());
    const auto unfit = std::find_if(exact.begin(), exact.end(),
                                    [](float x) { return !(std::abs(x) <= kLargestInTable); });
    if (unfit != exact.end())
      return corrupt(
          "tensor '{}' holds {}, which cannot be quantised (at most {} in magnitude); "
          "download the checkpoint again",
          printable(item.source->name), *unfit, kLargestInTable);
    encode_blocks(*item.blocks, exact.data(), n / kEncodedBlock, out);
    const std::span bytes(out, ::longhaul::stored_bytes(*item.blocks, n));
    widen_elements({.dtype = *item.blocks, .bytes = bytes}, 0, n, kept.data());
    QuantError error;
    for (size_t i = 0; i < exact.size(); ++i) {
      error.squared_error += std::pow(double{exact[i]} - double{kept[i]}, 2);
      error.squared_weights += std::pow(double{exact[i]}, 2);
    }
    return error;
  }

  Status write_table(Item& item) {
    constexpr int64_t kPiece = int64_t{1} << 18, kPieces = 64;  // elements; at once
    const TensorInfo& t = *item.source;
    const int64_t total = static_cast<int64_t>(t.bytes.size()) / block_of(t.dtype).bytes;
    for (int64_t first = 0; first < total; first += kPiece * kPieces) {
      const int64_t n = std::min(kPiece * kPieces, total - first);
      buffer_.resize(::longhaul::stored_bytes(*item.blocks, n));
      std::vector<Result<QuantError>> results(static_cast<size_t>(ceil_div(n, kPiece)),
                                              QuantError{});
      pool_.run(std::ssize(results), [&](int64_t i, int) {
        std::byte* out = buffer_.data() + ::longhaul::stored_bytes(*item.blocks, i * kPiece);
        results[static_cast<size_t>(i)] =
            encode(item, first + i * kPiece, std::min(kPiece, n - i * kPiece), out);
      });
      for (const Result<QuantError>& made : results) {
        if (!made.ok()) return made.error();
        item.error += *made;
      }
      LH_RETURN_IF_ERROR(out_.write(item.decl.name, buffer_));
      t.file->drop(t.bytes.subspan(::longhaul::stored_bytes(t.dtype, first),
                                   ::longhaul::stored_bytes(t.dtype, n)));
      on_bytes_(buffer_.size());
    }
    return {};
  }

  Status write_copy(const Item& item) {
    const TensorInfo& t = *item.source;
    for (uint64_t at = 0; at < t.bytes.size(); at += kBufferBytes) {
      const auto piece = t.bytes.subspan(at, std::min(kBufferBytes, t.bytes.size() - at));
      LH_RETURN_IF_ERROR(out_.write(item.decl.name, piece));
      t.file->drop(piece);
      on_bytes_(piece.size());
    }
    return {};
  }

  static constexpr uint64_t kBufferBytes = uint64_t{32} << 20;
  static constexpr float kLargestInTable = 65504.0f;  // an f16's
  const WeightSource& source_;
  CheckpointWriter& out_;
  ThreadPool& pool_;
  OnBytes on_bytes_;
  std::vector<std::byte> buffer_;
};

double relative_error(const QuantError& e) {
  return e.squared_weights > 0 ? std::sqrt(e.squared_error / e.squared_weights) : 0;
}

uint64_t bytes_of(const Item& item) {
  if (item.blocks) {
    const TensorInfo& t = *item.source;
    return stored_bytes(*item.blocks,
                        static_cast<int64_t>(t.bytes.size()) / block_of(t.dtype).bytes);
  }
  if (item.weight == nullptr) return item.source->bytes.size();
  return static_cast<uint64_t>(item.weight->n_experts) *
         item.codec->bytes(item.weight->rows, item.weight->cols);
}

using Row = QuantizeReport::Row;

Row row_of(std::string name, const Item& item, const QuantError& error) {
  return {.name = std::move(name),
          .format = item.format(),
          .matrices = item.matrices(),
          .bytes = bytes_of(item),
          .relative_rms_error = relative_error(error),
          .is_zero = !(error.squared_weights > 0)};
}

// Tensors of one kind and format together.
std::vector<Row> kinds_of(std::span<const Item> items) {
  std::vector<Row> rows;
  std::vector<QuantError> errors;
  for (const Item& item : items) {
    if (!item.is_rounded()) continue;
    Row row = row_of(tensor_kind(item.source->name), item, item.error);
    const auto it = std::find_if(rows.begin(), rows.end(), [&](const Row& r) {
      return r.name == row.name && r.format == row.format;
    });
    if (it == rows.end()) {
      rows.push_back(std::move(row));
      errors.push_back(item.error);
      continue;
    }
    QuantError& error = errors[static_cast<size_t>(it - rows.begin())];
    error += item.error;
    row.matrices += it->matrices;
    row.bytes += it->bytes;
    row.relative_rms_error = relative_error(error);
    row.is_zero = !(error.squared_weights > 0);
    *it = std::move(row);
  }
  return rows;
}

QuantizeReport report(const std::string& folder, const QuantizeOptions& options,
                      std::span<const Item> items) {
  QuantizeReport r{.folder = folder, .weights = options.weights};
  QuantError total;
  for (const Item& item : items) {
    (item.weight != nullptr ? r.packed_bytes : r.copied_bytes) += bytes_of(item);
    if (!item.is_rounded()) continue;
    total += item.error;
    r.tensors.push_back(row_of(item.decl.name, item, item.error));
  }
  r.relative_rms_error = relative_error(total);
  r.is_zero = !(total.squared_weights > 0);
  r.kinds = kinds_of(items);
  return r;
}

Result<WeightFormat> target_format(const std::string& option) {
  const auto format = weight_format_from_option(option);
  if (format && *format != WeightFormat::kF32) return *format;
  std::vector<std::string> known = packing_options();
  known.emplace_back(option_name(WeightFormat::kReleased));
  return unknown_format("--weights", option, known);
}

}  // namespace

Result<QuantizeReport> quantize(const std::string& model, const std::string& out,
                                const QuantizeOptions& options) {
  LH_TRY(const WeightFormat target, target_format(to_string(options.weights)));
  return quantize(model, out, target, options);
}

Result<QuantizeReport> quantize(const std::string& model, const std::string& out,
                                const WeightFormat& target, const QuantizeOptions& options) {
  const NoticeScope notices(options.on_notice);
  LH_TRY(OpenedModel from, open_model(model, config_request(options.config)));
  const WeightSource& source = *from.weights;
  if (source.formats().is_only)
    return invalid("{}: its weights are packed as {} already; give the original checkpoint", model,
                   option_name(source.formats().natural));
  const WeightFormat format = target.over(source.formats().natural.types());
  source.formats().tell_of_rounding(format, model);
  std::vector<Item> items = list_items(from.arch, source, format, options.tables);
  std::vector<TensorDecl> decls;
  uint64_t total = 0, done = 0;
  for (const Item& item : items) {
    decls.push_back(item.decl);
    total += bytes_of(item);
  }
  LH_RETURN_IF_ERROR(refuse_used_folder(out));
  LH_TRY(AtomicFolder folder, AtomicFolder::create(out));
  LH_RETURN_IF_ERROR(from.files->copy_texts(folder.path().string()));
  LH_TRY(CheckpointWriter writer,
         CheckpointWriter::create(folder.path().string(), std::move(decls)));
  ThreadPool pool(options.threads > 0 ? options.threads : default_thread_count());
  ItemWriter item_writer(source, writer, pool, [&](uint64_t bytes) {
    done += bytes;
    if (options.on_progress)
      options.on_progress("quantizing", static_cast<double>(done) / static_cast<double>(total));
  });
  for (Item& item : items) LH_RETURN_IF_ERROR(item_writer.write(item));
  for (const auto& file : source.tensors().files()) LH_RETURN_IF_ERROR(file->check_size());
  LH_RETURN_IF_ERROR(writer.finish());
  const bool copies_codes = std::any_of(items.begin(), items.end(), [](const Item& item) {
    return item.weight == nullptr && item.is_part;
  });
  from.config.set("quantization_config",
                  packed_config(format, copies_codes ? from.quantisation : Json()));
  // Last: without it nothing loads.
  LH_RETURN_IF_ERROR(write_model_config(folder.path().string(), from.config));
  LH_RETURN_IF_ERROR(folder.commit());
  return report(out, options, items);
}

}  // namespace longhaul
