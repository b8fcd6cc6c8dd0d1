// A folder with a checkpoint, opened: what its config describes, and how its files hold the
// weights. Loading, pricing and quantising go by this.
#pragma once

#include <string>

#include "arch/architecture.h"
#include "base/errors.h"
#include "base/json.h"
#include "checkpoint/config_request.h"
#include "formats/tensor_source.h"
#include "tensor/weight_format.h"

namespace longhaul {

// How a model's weights are kept in memory.
struct KeptWeights {
  WeightFormat natural = WeightFormat::kBF16;  // unless the user says otherwise
  // the files hold them so, and can be read in no other format (packed_folder.h)
  bool is_packed = false;

  // option: the command line's spelling, "auto" for the natural one. where: names the model in
  // messages.
  Result<WeightFormat> choose(const std::string& option, const std::string& where) const;
};

struct ModelFolder {
  Json config;  // with the fields changed, without what a folder of packed weights says of itself
  KeptWeights weights;
  TensorSource source;
  Architecture arch;  // with the types in which the files hold weights (match_tensors.h)
};

// "demo" for models/demo and models/demo/.
std::string folder_name(const std::string& folder);
// An error that says what to give instead, if there is no config.json in the folder.
Status check_has_config(const std::string& folder);

// Reads config.json and the headers of the weights' files, which must fit each other; of the
// weights themselves only pairs that the config ties (shared_tensors.h).
Result<ModelFolder> open_model_folder(const std::string& folder, const ConfigRequest& request);

}  // namespace longhaul
