// What a context costs, what a model is made of, and how two models compare: from a description
// alone, before anything is loaded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "longhaul/options.h"
#include "longhaul/result.h"

namespace longhaul {

// A bounded cache of experts that stay in their files: slots of which each holds the matrices of
// any one expert, of whatever layer.
struct ExpertCacheLayout {
  int64_t n_experts = 0;    // of all mixtures
  int64_t n_slots = 0;      // no more than there are experts
  uint64_t slot_bytes = 0;  // of the largest expert
  // a panel of rows in f32 for every thread, to widen weights that are stored with scales
  uint64_t widen_bytes = 0;
  int64_t max_top_k = 0;  // the fewest slots that are of use: a token's experts of one layer
  int64_t n_chosen = 0;   // experts that a token goes to, over all layers

  uint64_t bytes() const { return static_cast<uint64_t>(n_slots) * slot_bytes + widen_bytes; }
};

// What a cache of experts did since the model was loaded. An expert counts once for every step and
// layer where tokens chose it.
struct ExpertStats {
  int64_t n_experts = 0, n_slots = 0;  // of all layers; that are held at a time
  int64_t hits = 0, misses = 0;
  uint64_t read_bytes = 0;  // of the checkpoint, for the misses

  double hit_rate() const {
    return hits + misses > 0 ? static_cast<double>(hits) / static_cast<double>(hits + misses) : 0;
  }
};

// One layer. Parameters and weight bytes are those that no other layer uses; experts that stay in
// their files are no bytes.
struct LayerPlan {
  int64_t layer = 0;
  std::vector<std::string> mixers;  // "attention sliding 512", "mlp 6144", one a block
  uint64_t params = 0, weight_bytes = 0;
  uint64_t state_bytes = 0;  // of all sequences
  // growth of append-only state; of compressed rows a token's share
  double state_bytes_per_token = 0;
  int64_t state_source = -1;   // the layer whose cache it reads instead of its own; -1: none
  uint64_t decode_flops = 0;   // one row at the end of the context
  uint64_t kv_read_bytes = 0;  // one row at the end of the context
};

// A model edited, or as shipped, in the figures that edits are compared by.
struct WhatIf {
  std::string name, meaning;  // "no-window", in a few words
  uint64_t state_bytes = 0, decode_flops_per_token = 0, decode_attention_flops = 0;
};

struct Plan {
  std::string name;
  int64_t context = 0, batch = 0, max_positions = 0;
  std::string weights, kv;  // as the command line names them: "bf16", "f32", "released"
  std::vector<std::string> what_if;
  int64_t max_batch_tokens = 0;     // of a step
  std::optional<uint64_t> memory;   // bytes to fit in, where they were asked for
  std::optional<double> bandwidth;  // bytes a second of memory, for a bound on speed

  uint64_t params_total = 0;
  uint64_t params_active = 0;        // multiplied or added for one token, head included
  uint64_t weight_bytes = 0;         // resident: packed matrices, f32 vectors, the cache of experts
  uint64_t weight_bytes_mapped = 0;  // tables read by row from their file
  uint64_t state_bytes = 0;          // all sequences at full context, as allocated
  uint64_t growing_state_bytes = 0;  // of these, what goes on growing: no rings and fixed blocks
  // growth of one sequence, exact; a fraction where a compressed row has no whole share
  double state_bytes_per_token = 0;
  uint64_t scratch_bytes = 0;
  uint64_t total_bytes = 0;             // weight_bytes + state_bytes + scratch_bytes
  uint64_t decode_flops_per_token = 0;  // at the end of the context
  uint64_t decode_attention_flops = 0;  // of these, scores and value sums
  // the same work by precision: FP8 1, BF16 and F32 2, FP4 1/2 (flops.h)
  uint64_t decode_fp8_equivalent_flops = 0;
  uint64_t prefill_flops = 0;  // one sequence: every row through every block, one row of logits
  // one sequence, as run: rows nobody reads stop at the last block that writes state
  uint64_t prefill_flops_skip = 0;
  uint64_t decode_read_bytes = 0;         // one step of the whole batch at the end of the context
  uint64_t decode_read_weight_bytes = 0;  // of these, weights; experts by expectation
  uint64_t decode_read_cache_bytes = 0;   // of these, rows of cache that are looked at
  int64_t n_experts = 0;                  // of all layers
  // given: experts stay in their files but for what it holds
  std::optional<ExpertCacheLayout> expert_cache;
  uint64_t expert_bytes = 0;  // of all experts, as packed
  // that one step of the whole batch reads, as packed: with nothing held
  uint64_t expert_stream_bytes_cold = 0;
  uint64_t expert_stream_bytes = 0;    // and with the cache full, were all experts chosen alike
  std::optional<int64_t> max_context;  // the largest that fits the memory asked for; 0: none does
  std::vector<LayerPlan> layers;
  // The model without what_if, where that was asked for or `edits` are set.
  std::optional<WhatIf> shipped;
  std::vector<WhatIf> edits;  // each edit that applies, where none was asked for
};

struct PlanOptions {
  int64_t context = 0;  // tokens; 0: the model's maximum
  int64_t batch = 1;    // sequences
  WeightPrecision weights =
      WeightPrecision::kAuto;  // kAuto: as loading keeps them; kBF16 where there are none
  CachePrecision kv = CachePrecision::kBF16;
  InputPrecision inputs = InputPrecision::k8Bits;
  std::vector<std::string> what_if = {};  // edits of the description, by name, in order
  uint64_t memory = 0;                    // bytes to fit; 0: what the system has available
  int64_t max_batch_tokens = 512;
  int threads = 0;            // 0: the processors that this process may use
  uint64_t expert_cache = 0;  // as in LoadOptions
  ConfigOptions config = {};
  OnNotice on_notice = {};
};

// model: a folder with a config.json, a config.json, or the name of a bundled model. Weights are
// not read, but what the files of a folder with a checkpoint say of them: the plan of such a folder
// is what loading it takes, and what could not be loaded is an error. Any thread.
Result<Plan> plan(const std::string& model, const PlanOptions& options = {});

// Two models at the same context, both as the options ask and with caches as released.
struct Comparison {
  struct Side {
    Plan asked, released;
    std::string released_formats;  // "FP8 rows, FP4 keys": what grows
  };
  Side model, against;
};
// One figure of both. Values are whole, bytes a token excepted.
struct ComparedFigure {
  const char* key;    // in JSON
  const char* label;  // for people
  const char* unit;   // "bytes", "FLOP", "bytes a token"
  std::string convention;
  double model = 0, against = 0;

  double ratio() const { return model / against; }
};
// what_if edits the first model alone. Any thread.
Result<Comparison> compare(const std::string& model, const std::string& against,
                           const PlanOptions& options = {});
std::vector<ComparedFigure> compared_figures(const Comparison& comparison);

// For people and for programs: keys of the JSON are stable; bytes, FLOPs and counts are integers.
std::string to_text(const Plan& plan);
std::string to_json(const Plan& plan);
std::string to_text(const Comparison& comparison);
std::string to_json(const Comparison& comparison);

// What a model is made of, block by block.
struct Inspection {
  struct State {  // kept for a sequence
    int64_t layer = 0;
    bool is_fixed = false;  // a block of fixed_elements f32 numbers; else rows
    int64_t fixed_elements = 0;
    int64_t n_kv_heads = 0, head_dim = 0;
    int64_t window = 0;  // rows of a ring; 0: they go on growing
    std::string rows;    // "keys and values", "keys", "shared"
    int64_t tokens_per_row = 1;
    std::string words;  // "a ring of 512 rows of 1 x 256, keys and values"
  };
  struct Block {
    int64_t layer = 0;
    std::string mixer, summary;  // its kind, "attention sliding 512"
    std::string heads, details;  // further words; may be empty
    uint64_t params = 0;
    int64_t cache_of = -1;  // the layer whose cache it reads instead of its own; -1: none
    // Figures that only its kind has, as the members of a JSON object.
    std::vector<std::pair<std::string, std::string>> figures;
  };
  // A table of which a token reads some numbers of one row.
  struct Table {
    uint64_t params = 0, read_per_token = 0;
  };
  std::string name, family;
  int64_t n_layers = 0, n_streams = 0, hidden_size = 0, vocab_size = 0, max_positions = 0;
  uint64_t params_total = 0, params_active = 0;
  std::string streams_joined_by;  // of several residual streams
  bool has_tied_head = false;
  std::string schedule;  // a letter a layer, lower case where it reads another's cache
  std::vector<std::string> schedule_legend;
  std::vector<Table> tables;
  std::vector<Block> blocks;
  std::vector<State> states;
};
struct InspectOptions {
  ConfigOptions config = {};
  OnNotice on_notice = {};
};
// model: as for plan(). Where the files of a folder do not fit its config, a notice says so and the
// config alone is described. Any thread.
Result<Inspection> inspect(const std::string& model, const InspectOptions& options = {});
std::string to_text(const Inspection& inspection);
std::string to_json(const Inspection& inspection);  // keys are stable

std::vector<std::string> bundled_model_names();
std::vector<std::string> what_if_edits();  // names for PlanOptions::what_if

}  // namespace longhaul
