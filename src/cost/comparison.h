// Two models side by side at the same context, each figure with the convention it is counted by.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "cost/plan.h"

namespace longhaul {

// Both as the request asks for and, of caches, as released.
struct Comparison {
  struct Side {
    Plan asked, released;
    std::string released_formats;  // "FP8 rows, FP4 keys": what grows
  };
  Side model, against;
};

// The request's what-ifs edit the first model alone.
//   against_weights  how the second one's are kept, as the first one's where not given
Result<Comparison> compare(const Architecture& model, const Architecture& against,
                           const PlanRequest& request,
                           std::optional<WeightFormat> against_weights = {});

// One figure of both. Values are whole, bytes a token excepted.
struct ComparedFigure {
  const char* key;    // in JSON
  const char* label;  // for people
  const char* unit;   // "bytes", "FLOP", "bytes a token"
  std::string convention;
  double model = 0, against = 0;

  double ratio() const { return model / against; }
};
std::vector<ComparedFigure> compared_figures(const Comparison& comparison);

std::string comparison_report(const Comparison& comparison);
// Keys are stable: per figure its convention, both values and their ratio.
Json comparison_json(const Comparison& comparison);

}  // namespace longhaul
