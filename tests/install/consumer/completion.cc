// A completion: one session, streamed.
#include <longhaul/generate.h>

#include <cstdio>

using namespace longhaul;

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const auto model = Model::load(argv[1], {.context = 512});
  if (!model.ok()) return std::fprintf(stderr, "%s\n", model.error().text().c_str()), 1;
  const auto prompt = (*model)->encode(argv[2]);
  if (!prompt.ok()) return std::fprintf(stderr, "%s\n", prompt.error().text().c_str()), 1;

  auto session = Session::create(*model);
  if (!session.ok()) return std::fprintf(stderr, "%s\n", session.error().text().c_str()), 1;
  GenerateOptions options{.max_tokens = 24};
  options.sampling = (*model)->default_sampling();
  options.logprobs = 0;
  const auto print = [](const Piece& piece) {
    std::printf("%.*s", static_cast<int>(piece.text.size()), piece.text.data());
    return std::fflush(stdout) == 0;  // false would end the answer
  };
  const auto answer = generate(*session, *prompt, options, print);
  if (!answer.ok()) return std::fprintf(stderr, "%s\n", answer.error().text().c_str()), 1;

  double sum = 0;
  for (const TokenLogprobs& token : answer->logprobs) sum += token.chosen.logprob;
  std::printf("\n%zu tokens, log-probability %.2f, ended by %s\n", answer->tokens.size(), sum,
              to_string(answer->reason));
  return answer->tokens.empty() ? 1 : 0;
}
