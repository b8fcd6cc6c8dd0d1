// A mixer: what a block does between reading the residual stream and writing it back.
//
// A mixer is a value that holds a spec, plain data of a type that its own file declares, and a
// table of what can be asked of it. Everyone else reaches the spec through the table and knows no
// type. The table is filled from functions that stand beside the spec and are found by its type:
//
//   visit_weights(s, visit)     the weights it uses, each once
//   visit_states(s, visit)      the states it reads and writes
//   needs(s)                    what it is handed beside its input
//   forward(env, s, io)         what it computes
//   context_work(s, n)          a row's work on what is kept, and the rows of state it reads
//   prompt_flops(s, n)          the same work of all rows of a prompt
//   words(s, arch)              what is said about it
//
// A spec that lacks one of them is no MixerSpec: a Mixer made of it does not compile.
#pragma once

#include <any>
#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arch/specs.h"
#include "base/checked_math.h"
#include "base/json.h"

namespace longhaul {

struct Architecture;
struct Env;      // mechanisms/env.h
struct BlockIo;  // mechanisms/block_io.h

// S is Spec, to be read or to be changed: one walk over its ids serves both.
template <class S, class Spec>
concept Is = std::same_as<std::remove_const_t<S>, Spec>;

// How a mixer uses a weight.
struct WeightRole {
  int64_t top_k = 0;         // of the experts of a mixture: so many serve a token; 0: no experts
  WeightId mixture = kNone;  // of experts: the same number for all matrices of a mixture
  bool for_state = false;    // a row that only leaves its state is multiplied by it as well
};

// How a mixer uses a state.
enum class StateUse { kReads, kReadsAndWrites };
inline bool writes(StateUse use) { return use == StateUse::kReadsAndWrites; }

// What a walk calls with every id that is not kNone. Id is const where ids are only read.
template <class Id>
class WeightWalk {
 public:
  explicit WeightWalk(std::function<void(Id&, const WeightRole&)> f) : f_(std::move(f)) {}
  void operator()(Id& id, const WeightRole& role = {}) const {
    if (id != kNone) f_(id, role);
  }

 private:
  std::function<void(Id&, const WeightRole&)> f_;
};

template <class Id>
class StateWalk {
 public:
  explicit StateWalk(std::function<void(Id&, StateUse)> f) : f_(std::move(f)) {}
  void operator()(Id& id, StateUse use) const {
    if (id != kNone) f_(id, use);
  }

 private:
  std::function<void(Id&, StateUse)> f_;
};

// What a mixer is handed beside its input rows.
struct Needs {
  std::optional<RopeSpec> rope = {};  // angles of the rows' positions
  bool embedding = false;             // the tokens' scaled embeddings
  int64_t router_state_width = 0;     // what routers hand from layer to layer
};

// What a part of the work on kept state may be computed in.
enum class ComputedIn { kBf16, kF32, kAsKept };

struct StateWork {
  uint64_t flops = 0;
  ComputedIn in = ComputedIn::kBf16;
  StateId kept = kNone;  // of kAsKept: the state whose format it is
};

struct StateRows {
  StateId state = kNone;
  int64_t rows = 0;  // of a fixed block 1
};

// One row that stands last in a context, beside the products with its weights.
struct ContextWork {
  std::vector<StateWork> work;
  std::vector<StateRows> reads;

  uint64_t flops() const {
    uint64_t sum = 0;
    for (const StateWork& w : work) sum += w.flops;
    return sum;
  }
};

// The letter of a layer in the schedule that inspect prints.
struct ScheduleLetter {
  char letter = '\0';  // a capital; none: the mixer does not show
  std::string meaning = {};
  int rank = 100;  // of the legend's order
};

// What is said about a mixer.
struct Words {
  const char* name = "";      // its kind: "attention"
  const char* tap = "mixer";  // the name of its output among intermediate results: "attn"
  std::string summary = {};   // what a table has room for: "attention sliding 512"
  std::string heads = {};     // "8 query heads of 256, ..."; may be empty
  std::string details = {};   // a second line; may be empty
  ScheduleLetter schedule = {};
  std::vector<std::pair<std::string, Json>> fields = {};  // of inspect's JSON
};

template <class S>
concept MixerSpec =
    std::copyable<S> &&
    requires(S& s, const S& c, const WeightWalk<WeightId>& weights,
             const WeightWalk<const WeightId>& const_weights, const StateWalk<StateId>& states,
             const StateWalk<const StateId>& const_states, Env& env, const BlockIo& io,
             const Architecture& arch, int64_t n) {
      visit_weights(s, weights);
      visit_weights(c, const_weights);
      visit_states(s, states);
      visit_states(c, const_states);
      { needs(c) } -> std::same_as<Needs>;
      forward(env, c, io);
      { context_work(c, n) } -> std::same_as<ContextWork>;
      { prompt_flops(c, n) } -> std::same_as<Wide>;
      { words(c, arch) } -> std::same_as<Words>;
    };

struct MixerTable {
  void (*edit_weights)(std::any&, const WeightWalk<WeightId>&);
  void (*read_weights)(const std::any&, const WeightWalk<const WeightId>&);
  void (*edit_states)(std::any&, const StateWalk<StateId>&);
  void (*read_states)(const std::any&, const StateWalk<const StateId>&);
  Needs (*needs)(const std::any&);
  void (*forward)(Env&, const std::any&, const BlockIo&);
  ContextWork (*context_work)(const std::any&, int64_t n);
  Wide (*prompt_flops)(const std::any&, int64_t n);
  Words (*words)(const std::any&, const Architecture&);
};

template <MixerSpec S>
inline constexpr MixerTable kMixerTable = {
    .edit_weights =
        [](std::any& s, const WeightWalk<WeightId>& visit) {
          visit_weights(*std::any_cast<S>(&s), visit);
        },
    .read_weights =
        [](const std::any& s, const WeightWalk<const WeightId>& visit) {
          visit_weights(*std::any_cast<S>(&s), visit);
        },
    .edit_states =
        [](std::any& s, const StateWalk<StateId>& visit) {
          visit_states(*std::any_cast<S>(&s), visit);
        },
    .read_states =
        [](const std::any& s, const StateWalk<const StateId>& visit) {
          visit_states(*std::any_cast<S>(&s), visit);
        },
    .needs = [](const std::any& s) { return needs(*std::any_cast<S>(&s)); },
    .forward = [](Env& env, const std::any& s,
                  const BlockIo& io) { forward(env, *std::any_cast<S>(&s), io); },
    .context_work = [](const std::any& s,
                       int64_t n) { return context_work(*std::any_cast<S>(&s), n); },
    .prompt_flops = [](const std::any& s,
                       int64_t n) { return prompt_flops(*std::any_cast<S>(&s), n); },
    .words = [](const std::any& s,
                const Architecture& arch) { return words(*std::any_cast<S>(&s), arch); },
};

class Mixer {
 public:
  Mixer() = default;  // none: nothing may be asked of it
  template <class S>
    requires(!std::same_as<S, Mixer> && MixerSpec<S>)
  Mixer(S spec) : spec_(std::move(spec)), table_(&kMixerTable<S>) {}  // NOLINT: a spec is a mixer

  // The spec, for those who know its type (edits of a description, tests); else null.
  template <class S>
  S* as() {
    return std::any_cast<S>(&spec_);
  }
  template <class S>
  const S* as() const {
    return std::any_cast<S>(&spec_);
  }

  void visit(const WeightWalk<WeightId>& f) { table_->edit_weights(spec_, f); }
  void visit(const WeightWalk<const WeightId>& f) const { table_->read_weights(spec_, f); }
  void visit(const StateWalk<StateId>& f) { table_->edit_states(spec_, f); }
  void visit(const StateWalk<const StateId>& f) const { table_->read_states(spec_, f); }
  Needs needs() const { return table_->needs(spec_); }
  void forward(Env& env, const BlockIo& io) const { table_->forward(env, spec_, io); }
  ContextWork context_work(int64_t n) const { return table_->context_work(spec_, n); }
  Wide prompt_flops(int64_t n) const { return table_->prompt_flops(spec_, n); }
  Words words(const Architecture& arch) const { return table_->words(spec_, arch); }

 private:
  std::any spec_;
  const MixerTable* table_ = nullptr;
};

}  // namespace longhaul
