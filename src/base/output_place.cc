#include "base/output_place.h"

#include <limits.h>
#include <sys/statfs.h>

#include <cerrno>
#include <charconv>
#include <filesystem>

#include "base/descriptor_io.h"
#include "base/printable.h"

namespace longhaul {

namespace fs = std::filesystem;

namespace {

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

bool lies_in_proc(const fs::path& path) {
  constexpr decltype(statfs::f_type) kProcMagic = 0x9fa0;
  struct statfs info{};
  return ::statfs(folder_of(path).c_str(), &info) == 0 && info.f_type == kProcMagic;
}

}  // namespace

Result<std::string> behind_links(const std::string& path) {
  constexpr int kMaxLinks = 40;  // as the system follows
  fs::path at = path;
  std::error_code failed;
  for (int n = 0; n < kMaxLinks; ++n) {
    if (!fs::is_symlink(at, failed) || lies_in_proc(at)) return at.string();
    at = folder_of(at) / fs::read_symlink(at, failed);
    if (failed) return io_error(printable(path) + ": cannot follow its links", failed.value());
  }
  return io_error(printable(path) + ": cannot follow its links", ELOOP);
}

std::optional<int> own_descriptor(const std::string& path) {
  std::error_code failed;
  const fs::path at = path, own = fs::canonical("/proc/self/fd", failed);
  if (failed || fs::canonical(folder_of(at), failed) != own || failed) return std::nullopt;
  const std::string name = at.filename().string();
  int fd = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), fd);
  if (error != std::errc() || end != name.data() + name.size() || fd < 0) return std::nullopt;
  return fd;
}

std::string partial_name(const std::string& path, int64_t n) {
  const std::string suffix = fmt::format(".{}.partial", n);
  const fs::path at = path;
  const std::string name = at.filename().string().substr(0, NAME_MAX - suffix.size()) + suffix;
  return at.has_parent_path() ? (at.parent_path() / name).string() : name;
}

}  // namespace longhaul
