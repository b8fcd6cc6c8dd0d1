#include "mechanisms/parallel.h"

#include <algorithm>
#include <iterator>

namespace longhaul {
namespace {

Rows<const float> normed(Env& env, const NormSpec& spec, Rows<const float> x) {
  const Rows<float> out = env.scratch->take_rows<float>(x.n, x.width);
  norm(env, spec, x, out);
  return out;
}

void run(Env& env, const ParallelSpec& s, size_t i, BlockIo io, Rows<float> y) {
  const Branch& branch = s.branches[i];
  const ArenaScope scope(*env.scratch);
  if (branch.pre_norm) {
    io.x = normed(env, *branch.pre_norm, io.x);
    io.out_x = io.narrows() ? normed(env, *branch.pre_norm, io.out_x) : io.x;
  }
  io.y = y;
  branch.mixer.forward(env, io);
  if (env.on_tap) tap(env, io, "branch." + std::to_string(i), y);
  if (branch.post_norm) norm(env, *branch.post_norm, y, y);
}

}  // namespace

void forward(Env& env, const ParallelSpec& s, const BlockIo& io) {
  const ArenaScope scope(*env.scratch);
  const Rows<float> y = env.scratch->take_rows<float>(io.y.n, io.y.width);
  env.ops->clear(io.y);
  for (size_t i = 0; i < s.branches.size(); ++i) {
    run(env, s, i, io, y);
    env.ops->add(y, io.y);
  }
}

Needs needs(const ParallelSpec& s) {
  Needs all;
  for (const Branch& branch : s.branches) {
    const Needs own = branch.mixer.needs();
    LH_CHECK(!all.rope || !own.rope || *all.rope == *own.rope);
    if (own.rope) all.rope = own.rope;
    all.embedding = all.embedding || own.embedding;
    all.router_state_width = std::max(all.router_state_width, own.router_state_width);
  }
  return all;
}

ContextWork context_work(const ParallelSpec& s, int64_t n) {
  ContextWork all;
  for (const Branch& branch : s.branches) {
    const ContextWork own = branch.mixer.context_work(n);
    std::copy(own.work.begin(), own.work.end(), std::back_inserter(all.work));
    std::copy(own.reads.begin(), own.reads.end(), std::back_inserter(all.reads));
  }
  return all;
}

Wide prompt_flops(const ParallelSpec& s, int64_t n) {
  Wide sum = 0;
  for (const Branch& branch : s.branches) sum += branch.mixer.prompt_flops(n);
  return sum;
}

Words words(const ParallelSpec& s, const Architecture& arch) {
  Words all{.name = "mlp+moe", .tap = "mlp"};
  for (const Branch& branch : s.branches) {
    Words own = branch.mixer.words(arch);
    all.summary += (all.summary.empty() ? "" : " + ") + own.summary;
    std::move(own.fields.begin(), own.fields.end(), std::back_inserter(all.fields));
  }
  return all;
}

}  // namespace longhaul
