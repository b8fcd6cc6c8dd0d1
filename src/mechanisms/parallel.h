// Branches that read the same input and whose outputs add up, each between norms of its own:
// y = sum_i post_i( mixer_i( pre_i(x) ) ).
#pragma once

#include "arch/mixer.h"
#include "mechanisms/block_io.h"
#include "mechanisms/norm.h"

namespace longhaul {

struct Branch {
  std::optional<NormSpec> pre_norm, post_norm;
  Mixer mixer;
};

// A dense MLP beside a mixture of experts, for example.
struct ParallelSpec {
  std::vector<Branch> branches;
};

void visit_weights(Is<ParallelSpec> auto& s, const auto& visit) {
  for (auto& branch : s.branches) {
    visit_norm(branch.pre_norm, visit);
    branch.mixer.visit(visit);
    visit_norm(branch.post_norm, visit);
  }
}
void visit_states(Is<ParallelSpec> auto& s, const auto& visit) {
  for (auto& branch : s.branches) branch.mixer.visit(visit);
}
Needs needs(const ParallelSpec& s);
void forward(Env& env, const ParallelSpec& s, const BlockIo& io);
ContextWork context_work(const ParallelSpec& s, int64_t n);
Wide prompt_flops(const ParallelSpec& s, int64_t n);
Words words(const ParallelSpec& s, const Architecture& arch);

}  // namespace longhaul
