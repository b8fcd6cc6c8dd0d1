// Two clients, streaming from one batch: every step decodes a token for each of them.
#include <longhaul/engine.h>

#include <cstdio>
#include <future>
#include <string>

using namespace longhaul;

namespace {

// One client's answer, while the other's is made.
struct Client {
  std::string name, text;
  std::promise<bool> done;

  void on_event(const Event& event) {
    text += event.piece.text;
    if (event.kind == Event::Kind::kPiece)
      std::printf("%s: %zu bytes so far\n", name.c_str(), text.size());
    if (event.kind == Event::Kind::kFinished) done.set_value(event.error == nullptr);
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const auto model = Model::load(argv[1], {.context = 512, .max_batch_sequences = 2});
  if (!model.ok()) return std::fprintf(stderr, "%s\n", model.error().text().c_str()), 1;

  Client clients[] = {{.name = "first"}, {.name = "second"}};
  const char* prompts[] = {"In the beginning", "And it came to pass"};
  // Last, so that it ends before the clients do.
  const auto engine = Engine::create(*model);
  if (!engine.ok()) return std::fprintf(stderr, "%s\n", engine.error().text().c_str()), 1;
  for (int i = 0; i < 2; ++i) {
    const auto prompt = (*model)->encode(prompts[i]);
    if (!prompt.ok()) return 1;
    Request request{.prompt = *prompt, .options = {.max_tokens = 16}};
    request.options.sampling.temperature = 0;
    Client& client = clients[i];
    const auto id = (*engine)->submit(std::move(request),
                                      [&client](const Event& event) { client.on_event(event); });
    if (!id.ok()) return std::fprintf(stderr, "%s\n", id.error().text().c_str()), 1;
  }
  bool all_well = true;
  for (Client& client : clients) {
    all_well = client.done.get_future().get() && !client.text.empty() && all_well;
    std::printf("%s:%s\n", client.name.c_str(), client.text.c_str());
  }
  return all_well ? 0 : 1;
}
