// A model's parameters, each counted once whatever number of places read it.
#pragma once

#include "arch/architecture.h"
#include "mechanisms/weight_format.h"

namespace longhaul {

// A tensor, or the rows of one that one place uses.
struct ParameterPiece {
  // the only layer that uses it; kNone: a table, the head, or several layers
  int64_t layer = kNone;
  WeightUse use = WeightUse::kVector;
  uint64_t elements = 0;
  uint64_t active = 0;  // multiplied or added for one token; of a table, the row that is read
  uint64_t resident_bytes = 0;       // of all its elements, as they are packed
  int64_t rows = 0;                  // of kLookup
  int64_t n_experts = 0, top_k = 0;  // of kExpert
};

// Registered buffers are left out. A tied embedding is a matrix: its table is the head's.
std::vector<ParameterPiece> parameter_pieces(const Architecture& arch,
                                             const WeightFormat& format = WeightFormat::kBF16);

uint64_t total_parameters(const std::vector<ParameterPiece>& pieces);
// Without tables, of which a token reads a row but multiplies nothing; with the head.
uint64_t active_parameters(const std::vector<ParameterPiece>& pieces);

}  // namespace longhaul
