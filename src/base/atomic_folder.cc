#include "base/atomic_folder.h"

#include <unistd.h>

#include <utility>
#include <vector>

#include "base/descriptor_io.h"
#include "base/output_place.h"
#include "base/printable.h"

namespace longhaul {

namespace fs = std::filesystem;

Status refuse_used_folder(const std::string& path) {
  std::error_code failed;
  if (!fs::exists(path, failed) || (fs::is_directory(path, failed) && fs::is_empty(path, failed)))
    return {};
  return invalid("{}: is there already; --out takes the name of a new or an empty folder",
                 printable(path));
}

Result<AtomicFolder> AtomicFolder::create(const std::string& target) {
  const auto fail = [&](std::error_code reason) {
    return io_error(printable(target) + ": cannot make the folder", reason.value());
  };
  if (target.empty()) return invalid("the name of the folder to write is empty; give one");
  fs::path path = target;
  while (!path.has_filename() && path.has_relative_path())
    path = path.parent_path();  // "out/" is "out"
  LH_TRY(const std::string end, behind_links(path.string()));
  AtomicFolder folder;
  folder.target_ = end;
  std::error_code failed;
  folder.is_inside_ = fs::is_directory(end, failed);
  if (!folder.is_inside_ && fs::exists(end, failed))
    return fail(std::make_error_code(std::errc::not_a_directory));
  if (!folder.is_inside_ && folder.target_.has_parent_path()) {
    fs::create_directories(folder.target_.parent_path(), failed);
    if (failed) return fail(failed);
  }
  int64_t n = ::getpid();
  do {  // a process of the same number may have left one behind
    folder.temporary_ =
        folder.is_inside_ ? folder.target_ / partial_name("", n) : fs::path(partial_name(end, n));
    ++n;
    folder.is_open_ = fs::create_directory(folder.temporary_, failed);
  } while (!folder.is_open_ && !failed);
  if (failed) return fail(failed);
  return folder;
}

AtomicFolder::AtomicFolder(AtomicFolder&& other) noexcept
    : target_(std::move(other.target_)),
      temporary_(std::move(other.temporary_)),
      is_inside_(other.is_inside_),
      is_open_(std::exchange(other.is_open_, false)) {}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (is_open_) fs::remove_all(temporary_, ignored);
}

Status AtomicFolder::commit_inside() {
  std::error_code failed;
  std::vector<fs::path> names;
  for (fs::directory_iterator it(temporary_, failed), end; !failed && it != end;
       it.increment(failed)) {
    if (it->path().filename() != "config.json") names.push_back(it->path().filename());
  }
  names.emplace_back("config.json");
  for (const fs::path& name : names) {
    if (!failed && fs::exists(temporary_ / name, failed))
      fs::rename(temporary_ / name, target_ / name, failed);
    if (failed) {
      return io_error(printable((target_ / name).string()) + ": cannot write", failed.value());
    }
  }
  return {};  // the empty rest goes with this object
}

Status AtomicFolder::commit() {
  if (is_inside_) return commit_inside();
  std::error_code failed;
  fs::rename(temporary_, target_, failed);
  if (failed) {
    return io_error(fmt::format("{}: cannot rename to {}", printable(temporary_.string()),
                                printable(target_.string())),
                    failed.value());
  }
  is_open_ = false;
  return {};
}

}  // namespace longhaul
