// Which form of a model for this machine: formats of weights and caches at several contexts, what
// each takes, whether it fits, and how fast it should be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "longhaul/machine.h"
#include "longhaul/planner.h"

namespace longhaul {

struct FitOptions {
  // The request that rows vary: weights, kv and context are set row by row. A context of 0: several
  // up to the model's own; given: that one is what is asked about, and shorter ones stand beside
  // it. what_if is not looked at.
  PlanOptions plan;
  // Measure this machine, which takes a second or two and half a gigabyte for a moment; else rows
  // have no speed.
  bool measure = true;
  OnProgress on_progress = {};
};

// One request and its price. Bytes are those of plan() with the same request.
struct FitRow {
  std::string weights, kv;  // as the command line names them
  int64_t context = 0;
  bool is_natural = false;  // the weights are kept so where nothing is asked for
  // What rounding to the format does to normal weights, relative RMS; 0 where they are kept as the
  // files hold them or as the model was released.
  double rounding_error = 0;
  uint64_t weight_bytes = 0, state_bytes = 0, scratch_bytes = 0, total_bytes = 0;
  uint64_t mapped_bytes = 0;  // tables that stay in their files
  bool fits = false;          // total_bytes within the memory
  // None where it was not measured, or where experts that are read from the disk decide it.
  std::optional<SpeedForecast> speed;
};

struct FitTable {
  std::string model;
  uint64_t memory = 0;           // bytes to fit in
  bool is_memory_given = false;  // else: what this machine has available now
  int threads = 0;
  int64_t max_positions = 0;           // that the model was made for
  double memory_bytes_per_second = 0;  // of this machine; 0: not measured
  bool has_experts = false;            // which could stay in their files: PlanOptions::expert_cache
  std::vector<int64_t> contexts;       // ascending
  std::vector<FitRow> rows;            // by weights, finest first, then kv, then context
  std::optional<size_t> recommended;   // a row; none where nothing fits
  std::string advice;                  // what to take and why, in plain English
};

// model: as for plan(). One at a time in a process, with nothing beside it, where it measures.
Result<FitTable> fit(const std::string& model, const FitOptions& options = {});
std::string to_text(const FitTable& table);  // within 100 columns
std::string to_json(const FitTable& table);  // keys are stable

}  // namespace longhaul
