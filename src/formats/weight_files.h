// The files of a folder that may hold a model's weights, told apart by their names alone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/errors.h"

namespace longhaul {

// Numbered shards without an index: model-00002-of-00003.safetensors is 2 of 3 of "model".
struct ShardSet {
  std::string stem;
  int64_t total = 0;
  std::multimap<int64_t, std::string> files;  // by number

  // Counted from 1, or from 0 by some. An error names the shards that are not there.
  Status check_complete(const std::string& folder) const;
};

struct WeightFiles {
  bool has_index = false, has_single = false;  // model.safetensors.index.json, model.safetensors
  std::vector<ShardSet> sets;
  std::vector<std::string> others;    // *.safetensors of other names
  std::vector<std::string> adapters;  // what fine-tuning adds to a model, and no model
  std::vector<std::string> foreign;   // weights in formats that are not read

  bool empty() const { return !has_index && !has_single && sets.empty() && others.empty(); }
};

WeightFiles list_weight_files(const std::string& folder);

// For a folder where there is nothing to read: what is there instead, and what to do.
std::string explain_no_weights(const WeightFiles& files);

}  // namespace longhaul
