// A model with weights, opened: what its config describes, and where its weights are. Loading,
// pricing and quantising go by this.
#pragma once

#include <memory>
#include <string>

#include "arch/architecture.h"
#include "base/errors.h"
#include "base/json.h"
#include "checkpoint/config_request.h"
#include "checkpoint/model_files.h"
#include "checkpoint/weight_source.h"

namespace longhaul {

struct OpenedModel {
  std::unique_ptr<const ModelFiles> files;
  // with the fields changed, without what it says of packed or quantised weights
  Json config;
  std::string adapter;  // what tells one that was merged from others; empty: none was
  Json quantisation;    // what was said of quantised tensors (Quantisation::source); null: nothing
  Architecture arch;    // final: nothing that follows changes it
  std::unique_ptr<WeightSource> weights;  // matched with arch
};

// Config and weights must fit each other. Reads headers; of the weights themselves only pairs that
// the config ties (shared_tensors.h), and of quantised ones small tensors that tell how they lie.
Result<OpenedModel> open_model(const std::string& path, const ConfigRequest& request);

}  // namespace longhaul
