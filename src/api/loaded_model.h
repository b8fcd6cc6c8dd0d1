// A checkpoint that can run: description, weights and executor, and nothing of text. The one place
// of this layer that opens and loads files, and the one that runs steps.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "checkpoint/loader.h"
#include "checkpoint/open_model.h"
#include "cost/plan.h"
#include "longhaul/options.h"
#include "longhaul/planner.h"
#include "runtime/executor.h"

namespace longhaul {

// A checkpoint whose headers were read, and priced.
struct PricedModel {
  std::string folder;
  OpenedModel opened;
  int64_t context = 0;  // tokens of a sequence at most
  StepLimits limits;
  PlanRequest request;
  Plan plan;
};
Result<PricedModel> price(const std::string& folder, OpenedModel opened,
                          const LoadOptions& options);
// An error, with the plan in it, where it does not fit the memory of its request.
Status check_fits(const PricedModel& model);
// Both, of a folder: what loading begins with.
Result<PricedModel> open_and_price(const std::string& folder, const LoadOptions& options);

struct LoadedModel {
  std::string folder;
  std::unique_ptr<const ModelFiles> files;
  Json config;
  std::string adapter;  // what tells a merged one from others
  std::unique_ptr<const Architecture> arch;
  int64_t context = 0;
  StepLimits limits;
  Plan plan;
  std::unique_ptr<ThreadPool> pool;
  const KernelSet* kernels = nullptr;
  std::unique_ptr<LoadedWeights> weights;
  std::unique_ptr<Executor> executor;
  PagePool state_memory;                                              // of all sequences
  std::unique_ptr<std::mutex> turn = std::make_unique<std::mutex>();  // of those who run steps

  static Result<LoadedModel> load(PricedModel priced, const LoadOptions& options,
                                  ExecutorOptions executor_options = {});
  static Result<LoadedModel> load(const std::string& folder, const LoadOptions& options,
                                  ExecutorOptions executor_options = {});

  int64_t vocab_size() const { return arch->vocab_size; }
  Status check_tokens(std::span<const int32_t> tokens) const;  // all in the vocabulary
  // An empty sequence that may grow to max_tokens, its memory drawn from the model's pool.
  Result<Sequence> new_sequence(int64_t max_tokens) const;
  // Runs one step and accepts all its rows; whoever else wants one waits. Every step of api/ and
  // generate/ is run here. An error accepts none. Where a file of the model has become shorter that
  // is the error, whatever else came of it.
  Status step(std::span<const SequenceInput> inputs, const LogitsSink& sink) const {
    return step(*executor, inputs, sink);
  }
  Status step(Executor& on, std::span<const SequenceInput> inputs, const LogitsSink& sink) const;
  // Whether `path` is one of the files that the model was read from.
  bool owns_file(const std::string& path) const;
};

}  // namespace longhaul
