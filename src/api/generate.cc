#include "longhaul/generate.h"

#include "api/access.h"
#include "api/timeline.h"
#include "base/system.h"

namespace longhaul {

Result<Generation> generate(Session& session, std::span<const int32_t> prompt,
                            const GenerateOptions& options, const OnPiece& on_piece,
                            const OnPrefill& on_prefill) {
  Timeline& t = Access::of(session);
  const AnswerModel model = Access::of(*t.model()).answer_model();
  LH_RETURN_IF_ERROR(check_options(model, options));
  const double start = now_seconds();
  const auto n_prompt = static_cast<int64_t>(prompt.size());
  Result<int64_t> read = session.sync(prompt, on_prefill);
  const bool was_stopped = !read.ok() && read.error().code == ErrorCode::kCancelled;
  if (!read.ok() && !was_stopped) return read.take_error();
  Timings timings;
  timings.prompt_tokens = read.ok() ? *read : t.length();
  timings.reused_tokens = read.ok() ? n_prompt - *read : 0;
  const double first = now_seconds();
  timings.prefill_seconds = first - start;

  Answer answer(model, options, prompt, t.max_tokens() - n_prompt);
  if (was_stopped) answer.cancel();
  while (!answer.is_done()) {
    LH_RETURN_IF_ERROR(answer.take(t.logits(), on_piece));
    if (answer.is_done()) break;
    const int32_t token = answer.last_token();
    LH_RETURN_IF_ERROR(Timeline::advance({&t, {&token, 1}}));
  }
  Generation out = answer.finish();
  timings.generated_tokens = out.timings.generated_tokens;
  timings.decode_seconds = now_seconds() - first;
  out.timings = timings;
  return out;
}

}  // namespace longhaul
