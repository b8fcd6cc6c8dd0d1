// A sequence of a loaded model, read with the logits of every token: what engine-level tests have
// in place of a public Session.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "api/loaded_model.h"
#include "longhaul/session.h"

namespace longhaul::testing {

class TestSession {
 public:
  static Result<TestSession> create(const LoadedModel& model) {
    LH_TRY(Sequence sequence, model.new_sequence(model.context));
    return TestSession(model, std::move(sequence));
  }
  static Result<TestSession> restore(const LoadedModel& model, const std::string& path) {
    LH_TRY(Sequence sequence, Sequence::restore(*model.arch, path, model.context));
    return TestSession(model, std::move(sequence));
  }

  Result<TestSession> fork() const {
    LH_TRY(Sequence copy, sequence_.fork());
    return TestSession(*model_, std::move(copy));
  }
  Status save(const std::string& path) const { return sequence_.save(path); }

  // Tokens by steps of `chunk` (0: as large as may be) that belong to one text.
  Status logits(std::span<const int32_t> tokens, const OnLogits& on_logits, int64_t chunk = 0) {
    const int64_t text_length = sequence_.length() + static_cast<int64_t>(tokens.size());
    const int64_t most = model_->limits.max_rows;
    while (!tokens.empty()) {
      const auto n =
          std::min(static_cast<size_t>(chunk > 0 ? std::min(chunk, most) : most), tokens.size());
      const SequenceInput input{&sequence_, tokens.first(n), LogitsWanted::kAll, text_length};
      LH_RETURN_IF_ERROR(model_->step(
          std::span(&input, 1), [&](size_t, int64_t first, int64_t n_rows, const float* rows) {
            return on_logits(first, n_rows, rows);
          }));
      tokens = tokens.subspan(n);
    }
    return {};
  }

 private:
  TestSession(const LoadedModel& model, Sequence sequence)
      : model_(&model), sequence_(std::move(sequence)) {}

  const LoadedModel* model_;
  Sequence sequence_;
};

}  // namespace longhaul::testing
