// How a user wants a model's files to be read: what every command that takes a model offers.
#pragma once

#include <span>
#include <string>

#include "arch/architecture.h"
#include "base/errors.h"
#include "base/json.h"
#include "longhaul/options.h"
#include "models/family.h"

namespace longhaul {

struct ConfigRequest {
  // fields to change, FIELD=VALUE (formats/config_override.h)
  std::span<const std::string> overrides = {};
  bool ignore_unknown_fields = false;
  std::string lora = {};  // a folder with an adapter (adapter.h); empty: none
};

// What public options say of it; they must outlive the request.
inline ConfigRequest config_request(const ConfigOptions& options) {
  return {options.overrides, options.ignore_unknown_fields, options.lora};
}

// The description of a config whose fields were changed already. A notice names the fields that
// were ignored.
//   where     the file, opens every message
//   shape_of  of the checkpoint's tensors, where there is one
Result<Architecture> read_as_requested(const Json& config, const std::string& where,
                                       const ConfigRequest& request, const ShapeOf& shape_of = {});

}  // namespace longhaul
