// The residual stream: what blocks read from it, and how they write back.
#pragma once

#include "arch/architecture.h"
#include "mechanisms/hyper_connections.h"

namespace longhaul {

// The stream of the rows that still run.
struct ResidualStream {
  Rows<float> x;             // [rows, n_streams * D]
  Rows<float> coefficients;  // of several streams; hyper_connections.h
  Rows<float> input;         // [rows, D] of several streams: what the next reader reads

  bool is_one() const { return coefficients.n == 0; }
  // What the next block or the head reads, before its norm.
  Rows<const float> read() const { return is_one() ? x : input; }
};

// The stream begins with the embedding, which stands where read() is, and block 0 may read.
void begin_stream(Env& env, const Architecture& arch, const ResidualStream& stream);
// Writes back what the block gave, y [rows, D], which is used up; the next block may read.
void write_back(Env& env, const Architecture& arch, size_t block, Rows<float> y,
                const ResidualStream& stream);

// Of one row, beside the products with weights: making what the block reads, and writing back.
uint64_t read_flops(const Architecture& arch, const Residual& residual);
uint64_t write_flops(const Architecture& arch, const Residual& residual);

// What is said about a residual that is more than an addition.
struct ResidualWords {
  std::string joined_by;  // "hyper-connections, 20 Sinkhorn iterations"; empty for one stream
  std::vector<std::pair<std::string, Json>> fields;  // of inspect's JSON
};
ResidualWords residual_words(const Residual& residual);

}  // namespace longhaul
