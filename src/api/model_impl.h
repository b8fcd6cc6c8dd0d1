// What stands behind the public Model and Session.
#pragma once

#include <memory>
#include <optional>

#include "checkpoint/loader.h"
#include "checkpoint/model_files.h"
#include "checkpoint/template_files.h"
#include "cost/plan.h"
#include "formats/generation_config.h"
#include "longhaul/model.h"
#include "runtime/executor.h"
#include "text/chat/dsml_encoder.h"
#include "text/tokenizer/tokenizer.h"

namespace longhaul {

struct Model::Impl {
  std::string folder;
  std::unique_ptr<const ModelFiles> files;
  Architecture arch;
  StepLimits limits;
  int64_t context = 0;
  Plan plan;
  std::unique_ptr<ThreadPool> pool;
  const KernelSet* kernels = nullptr;
  std::unique_ptr<LoadedWeights> weights;
  std::unique_ptr<Executor> executor;
  std::optional<Tokenizer> tokenizer;
  ChatTemplates templates;
  Json special_tokens;  // bos_token and others, for templates
  // where there is no template and the tokenizer has the format's tokens
  std::optional<DsmlEncoder> dsml;
  GenerationDefaults defaults;
  Stats load_stats;

  bool is_stop_token(int32_t token) const;
  // kInvalidArgument where `path` is one of the files that the model was read from: no place for an
  // output.
  Status refuse_own_file(const std::string& path) const;
  int64_t chunk() const { return limits.max_rows; }
};

struct Session::Impl {
  Model::Impl* model = nullptr;
  Sequence sequence;
  // that were taken in, as far as this session knows: not before a restore
  std::vector<int32_t> tokens = {};
};

}  // namespace longhaul
