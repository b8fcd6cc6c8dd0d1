// What a mechanism runs with: a backend, the loaded weights, scratch memory.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "arch/weights.h"
#include "kernels/ops.h"
#include "mechanisms/expert_source.h"
#include "mechanisms/weight_format.h"
#include "tensor/arena.h"
#include "tensor/state_format.h"

namespace longhaul {

// The largest step an executor is built for: scratch is planned from these numbers and never grows.
struct StepLimits {
  int64_t max_rows = 512;  // tokens in one step, over all sequences
  int64_t max_sequences = 1;
  int64_t max_logit_rows = 1;  // rows of logits computed at a time
  int n_threads = 1;
  WeightFormat weights = WeightFormat::kBF16;
  StateFormat kv;
};

// Loaded weights by id. The loader fills it and owns the memory; mechanisms read it.
struct Weights {
  WeightFormat format = WeightFormat::kF32;
  // kMatrix, kFine; kExpert: the first expert, others behind it
  std::vector<PackedMatrix> matrices;
  std::vector<Vector> vectors;      // kVector, kTaps
  std::vector<LookupTable> tables;  // kLookup, kIndex
  ExpertSource* experts = nullptr;  // of kExpert; null: all of them are among the matrices

  const PackedMatrix& matrix(WeightId id) const { return matrices[static_cast<size_t>(id)]; }
  // Of several matrices of a weight, one.
  PackedMatrix matrix(WeightId id, int64_t e) const {
    PackedMatrix m = matrix(id);
    m.data += static_cast<uint64_t>(e) * m.codec->bytes(m.n, m.k);
    return m;
  }
  PackedMatrix expert(WeightId id, int64_t e) const {
    return experts != nullptr ? experts->expert(id, e) : matrix(id, e);
  }
  Vector vector(WeightId id) const {
    return id == kNone ? Vector() : vectors[static_cast<size_t>(id)];
  }
  const LookupTable& table(WeightId id) const { return tables[static_cast<size_t>(id)]; }
};

// What a mechanism chose out of many for each row that ran: experts by a router, cached entries by
// an indexer. Tests hold choices against the reference's: where logits agree, a wrong choice may
// hide behind a small weight.
struct Choice {
  const char* what = "";  // "experts"
  int64_t layer = 0;
  Rows<const int32_t> chosen;  // [rows, k] in any order; valid during the call
};
using OnChoice = std::function<void(const Choice&)>;

// A named intermediate result of a step: "embed", "layers.3.attn", "layers.3.out".
struct Tap {
  std::string_view what;
  int64_t layer = kNone;               // kNone: of no layer
  Rows<const float> values;            // valid during the call
  std::span<const int64_t> positions;  // of the rows
};
using OnTap = std::function<void(const Tap&)>;

struct Env {
  Ops* ops = nullptr;
  const Weights* weights = nullptr;
  Arena* scratch = nullptr;
  OnChoice on_choice = {};  // may be empty
  OnTap on_tap = {};        // may be empty
  uint64_t flops = 0;       // done so far: 2 per multiply-add, as in the cost model

  // Whether the arena and the backend only count what a step needs: views have nothing behind them.
  bool counts_only() const { return scratch->counts_only(); }
};

}  // namespace longhaul
