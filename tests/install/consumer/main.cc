#include <longhaul/result.h>

#include <cstdio>

namespace {

longhaul::Result<int> answer(bool known) {
  if (!known) return longhaul::Error{longhaul::ErrorCode::kNotFound, "nobody knows"};
  return 42;
}

}  // namespace

int main() {
  const auto good = answer(true), bad = answer(false);
  if (!good || bad.ok() || *good != 42) return 1;
  std::printf("%s: %s\n", longhaul::to_string(bad.error().code), bad.error().text().c_str());
  return longhaul::exit_status(bad.error().code) == 2 ? 0 : 1;
}
