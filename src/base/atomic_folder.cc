#include "base/atomic_folder.h"

#include <unistd.h>

#include <utility>

namespace longhaul {

namespace fs = std::filesystem;

Result<AtomicFolder> AtomicFolder::create(const std::string& target) {
  fs::path path = fs::path(target).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::error_code failed;
  if (fs::exists(path, failed) && !(fs::is_directory(path, failed) && fs::is_empty(path, failed))) {
    return invalid("{}: is there already; --out takes the name of a new folder", target);
  }
  AtomicFolder folder;
  folder.target_ = path;
  folder.temporary_ = fmt::format("{}.{}.partial", path.string(), ::getpid());
  if (!path.parent_path().empty()) fs::create_directories(path.parent_path(), failed);
  if (!fs::create_directory(folder.temporary_, failed)) {
    return make_error(ErrorCode::kIo, "{}: cannot make the folder: {}", folder.temporary_.string(),
                      failed ? failed.message() : "it is there already");
  }
  folder.is_open_ = true;
  return folder;
}

AtomicFolder::AtomicFolder(AtomicFolder&& other) noexcept
    : target_(std::move(other.target_)), temporary_(std::move(other.temporary_)), is_open_(std::exchange(other.is_open_, false)) {}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (is_open_) fs::remove_all(temporary_, ignored);
}

Status AtomicFolder::commit() {
  std::error_code failed;
  fs::rename(temporary_, target_, failed);
  if (failed) return make_error(ErrorCode::kIo, "{}: cannot rename to {}: {}", temporary_.string(), target_.string(), failed.message());
  is_open_ = false;
  return {};
}

}  // namespace longhaul
