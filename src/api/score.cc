#include <algorithm>
#include <cmath>

#include "api/access.h"
#include "api/model_parts.h"
#include "longhaul/session.h"

namespace longhaul {
namespace {

// Adds what each token of a window costs given those before it.
Status score_window(const std::shared_ptr<const Model>& model, std::span<const int32_t> window,
                    Score& score) {
  const int64_t v = model->info().vocab_size;
  LH_TRY(Session session, Session::create(model));
  return session.evaluate(window, [&](int64_t first, int64_t n, const float* logits) {
    for (int64_t row = 0; row < n; ++row) {
      const auto target = static_cast<size_t>(first + row + 1);
      if (target >= window.size()) continue;
      const float* l = logits + row * v;
      const float max = *std::max_element(l, l + v);
      double sum = 0;
      for (int64_t i = 0; i < v; ++i) sum += std::exp(static_cast<double>(l[i] - max));
      const double nll = max + std::log(sum) - l[window[target]];
      score.token_nll.push_back(static_cast<float>(nll));
      score.tokens.push_back(window[target]);
      score.nll += nll;
    }
    return true;
  });
}

}  // namespace

Result<Score> score(const std::shared_ptr<const Model>& model, std::span<const int32_t> tokens,
                    int64_t window) {
  const ModelParts& m = Access::of(*model);
  const int64_t context = m.loaded.context, size = window > 0 ? std::min(window, context) : context;
  const auto bos = m.loaded.arch->requires_bos ? m.defaults.bos_token_id : std::nullopt;
  const size_t body = static_cast<size_t>(size) - (bos ? 1 : 0);
  if (body < 1)
    return invalid(
        "a window of {} tokens has no room to score; use a larger --window and --context", size);
  Score result;
  for (size_t begin = 0; begin < tokens.size(); begin += body) {
    const auto part = tokens.subspan(begin, std::min(body, tokens.size() - begin));
    std::vector<int32_t> ids;
    ids.reserve(part.size() + 1);
    if (bos) ids.push_back(*bos);
    ids.insert(ids.end(), part.begin(), part.end());
    LH_RETURN_IF_ERROR(score_window(model, ids, result));
    if (!std::isfinite(result.nll))
      return corrupt(
          "{}: the logits of this text are no numbers; the checkpoint's weights are damaged or "
          "overflow",
          m.loaded.folder);
  }
  result.n_tokens = static_cast<int64_t>(result.token_nll.size());
  if (result.n_tokens == 0) {
    return invalid(
        "nothing to score: the text has {} tokens, and each is scored by those before it in its "
        "window; give a longer text{}",
        tokens.size(), tokens.empty() ? "" : " or --window");
  }
  result.nll /= static_cast<double>(result.n_tokens);
  return result;
}

}  // namespace longhaul
