#include "testing/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "api/loaded_model.h"

namespace longhaul::testing {
namespace {

template <class T>
std::vector<T> values(const TensorInfo& t) {
  std::vector<T> out(t.bytes.size() / sizeof(T));
  if (!out.empty())
    std::memcpy(out.data(), t.bytes.data(),
                out.size() * sizeof(T));  // an empty vector's data is null
  return out;
}

std::vector<int32_t> ids(const TensorInfo& t) {
  if (t.dtype == DType::kI32) return values<int32_t>(t);
  std::vector<int32_t> out;
  for (int64_t id : values<int64_t>(t)) out.push_back(static_cast<int32_t>(id));
  return out;
}

void add_rows(std::vector<std::vector<int32_t>>& sets, const int32_t* ids, int64_t n_rows,
              int64_t k) {
  for (int64_t row = 0; row < n_rows; ++row) {
    sets.emplace_back(ids + row * k, ids + (row + 1) * k);
    std::erase(sets.back(), -1);
    std::sort(sets.back().begin(), sets.back().end());
  }
}

Choices golden_choices(const TensorSource& source, const std::string& prefix) {
  Choices choices;
  for (const TensorInfo& t : source.all()) {
    if (!t.name.starts_with(prefix)) continue;
    EXPECT_EQ(t.shape.size(), 2u) << t.name;
    add_rows(choices[t.name.substr(prefix.size())], ids(t).data(), t.shape[0], t.shape[1]);
  }
  return choices;
}

}  // namespace

std::string golden_folder(const std::string& name) {
  return std::string(LH_SOURCE_DIR) + "/tests/golden/" + name;
}

std::vector<std::string> golden_checkpoints() {
  std::vector<std::string> names;
  const std::filesystem::path root = std::string(LH_SOURCE_DIR) + "/tests/golden";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().filename() == "golden.safetensors" &&
        std::filesystem::exists(entry.path().parent_path() / "config.json")) {
      names.push_back(std::filesystem::relative(entry.path().parent_path(), root).string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<GoldenCase> golden_cases(const std::string& name) {
  const auto source = open_safetensors(golden_folder(name) + "/golden.safetensors");
  EXPECT_TRUE(source.ok()) << source.error().text();
  std::vector<GoldenCase> cases;
  for (int i = 0;; ++i) {
    const std::string suffix = "." + std::to_string(i);
    const TensorInfo* prompt = source->find("prompt" + suffix);
    if (prompt == nullptr) return cases;
    const TensorInfo* greedy = source->find("greedy" + suffix);
    cases.push_back({ids(*prompt), values<float>(*source->find("logits" + suffix)),
                     greedy == nullptr ? std::vector<int32_t>() : ids(*greedy),
                     golden_choices(*source, "chosen" + suffix + ".")});
  }
}

LoadedModel load_f32(const std::string& name, LoadOptions options) {
  return load_f32_from(golden_folder(name), std::move(options));
}

LoadedModel load_f32_from(const std::string& folder, LoadOptions options) {
  options.weights = WeightPrecision::kF32;
  options.kv = CachePrecision::kF32;
  if (options.context == 0) options.context = 512;
  options.all_logits = true;
  auto model = LoadedModel::load(folder, options);
  if (!model.ok()) throw std::runtime_error(model.error().text());
  return std::move(*model);
}

std::vector<float> run_logits(const LoadedModel& model, const std::vector<int32_t>& tokens,
                              int64_t chunk) {
  auto session = TestSession::create(model);
  std::vector<float> out;
  const Status status = session->logits(
      tokens,
      [&](int64_t, int64_t n, const float* logits) {
        out.insert(out.end(), logits, logits + n * model.vocab_size());
        return true;
      },
      chunk);
  EXPECT_TRUE(status.ok()) << status.error().text();
  return out;
}

Choices run_choices(const LoadedModel& model, const std::vector<std::vector<int32_t>>& steps) {
  Choices choices;
  model.executor->watch_choices([&](const Choice& c) {
    add_rows(choices["layers." + std::to_string(c.layer) + "." + c.what], c.chosen.data, c.chosen.n,
             c.chosen.width);
  });
  auto session = TestSession::create(model);
  for (const std::vector<int32_t>& step : steps) {
    const Status status =
        session->logits(step, [](int64_t, int64_t, const float*) { return true; });
    EXPECT_TRUE(status.ok()) << status.error().text();
  }
  model.executor->watch_choices({});
  return choices;
}

double max_difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) || std::isnan(b[i])) return INFINITY;
    worst = std::max(worst, static_cast<double>(std::fabs(a[i] - b[i])));
  }
  return worst;
}

}  // namespace longhaul::testing
