#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/descriptor_io.h"
#include "base/output_place.h"
#include "base/printable.h"
#include "base/shrunk_files.h"

namespace longhaul {
namespace {

// Nothing can be renamed onto a mount point, as a container's single mounted file is one.
bool is_mount_point(const std::string& path) {
  struct statx info{};
  return ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info) == 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

int open_blocking(const std::string& path) {
  int fd;
  do {
    fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// Pipes and many devices have nothing to flush, and say so.
int flush(int fd) {
  if (::fsync(fd) == 0 || errno == EINVAL || errno == EOPNOTSUPP || errno == EROFS) return 0;
  return errno;
}

}  // namespace

Result<AtomicFile> AtomicFile::create(const std::string& path) {
  if (path.empty()) return invalid("the name of the file to write is empty; give one");
  AtomicFile file;
  file.path_ = path;
  LH_TRY(file.target_, behind_links(path));
  LH_RETURN_IF_ERROR(file.open_target());
  return file;
}

Error AtomicFile::failed(const char* what, int error) const {
  return io_error(fmt::format("{}: cannot {}", printable(path_), what), error);
}

Status AtomicFile::open_target() {
  if (const auto fd = own_descriptor(target_)) return open_own_descriptor(*fd);
  // By the path as it was given: the system has rules of its own for links in other people's
  // folders.
  int fd = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  int error = fd < 0 ? errno : 0;
  struct stat old{};
  if (error == ENXIO && ::stat(path_.c_str(), &old) == 0 && S_ISFIFO(old.st_mode)) {
    fd = open_blocking(path_);  // no reader yet
    error = fd < 0 ? errno : 0;
  }
  if (error == ENOENT) {
    error = open_temporary(nullptr);
    return error == 0 ? Status() : failed("create", error);
  }
  if (error != 0) return failed("write", error);
  const bool is_regular = ::fstat(fd, &old) == 0 && S_ISREG(old.st_mode);
  if (!is_regular || is_mount_point(target_)) return open_in_place(fd, is_regular);
  error = open_temporary(&old);
  if (error == EACCES || error == EPERM || error == EROFS) return open_in_place(fd, is_regular);
  ::close(fd);
  return error == 0 ? Status() : failed("create", error);
}

// A duplicate goes on where the descriptor stands: opening /dev/stdout anew would begin a
// redirected file again from its start.
Status AtomicFile::open_own_descriptor(int fd) {
  constexpr int kFirstFree = 3;
  const int flags = ::fcntl(fd, F_GETFL);
  const bool is_writable = flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY;
  fd_ = is_writable ? ::fcntl(fd, F_DUPFD_CLOEXEC, kFirstFree) : -1;
  is_regular_ = false;
  return fd_ >= 0 ? Status() : failed("write", is_writable ? errno : EBADF);
}

Status AtomicFile::open_in_place(int fd, bool is_regular) {
  fd_ = fd;
  is_regular_ = is_regular;
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  return is_regular && ::ftruncate(fd, 0) != 0 ? failed("write", errno) : Status();
}

// Opens a file beside the target that nobody else has, like the old one where there is one. Returns
// the errno of a failure.
int AtomicFile::open_temporary(const struct stat* old) {
  int64_t n = ::getpid();
  do {  // a process of the same number may have left one behind
    temporary_ = partial_name(target_, n++);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                 old != nullptr ? 0600 : 0666);
  } while (fd_ < 0 && errno == EEXIST);
  if (fd_ < 0) {
    temporary_.clear();
    return errno;
  }
  note_temporary_file(temporary_);
  if (old != nullptr) {
    const bool is_same_owner = ::fchown(fd_, old->st_uid, old->st_gid) == 0;
    ::fchmod(fd_, old->st_mode & (is_same_owner ? 07777 : 0777));
  }
  return 0;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      is_regular_(other.is_regular_),
      fd_(std::exchange(other.fd_, -1)) {}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  // Half of a file must not pass for a whole one.
  if (!temporary_.empty()) {
    ::unlink(temporary_.c_str());
    forget_temporary_file(temporary_);
  } else if (is_regular_) {
    [[maybe_unused]] const int ignored = ::ftruncate(fd_, 0);
  }
  ::close(fd_);
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  const int error = write_all(fd_, bytes);
  return error == 0 ? Status() : failed("write", error);
}

Status AtomicFile::commit() {
  if (const int error = flush(fd_); error != 0) return failed("write", error);
  int error = 0;
  if (::close(std::exchange(fd_, -1)) != 0 && errno != EINTR) error = errno;
  if (temporary_.empty()) return error == 0 ? Status() : failed("write", error);
  if (error == 0 && ::rename(temporary_.c_str(), target_.c_str()) != 0) error = errno;
  if (error != 0) ::unlink(temporary_.c_str());
  forget_temporary_file(temporary_);
  return error == 0 ? Status() : failed("write", error);
}

}  // namespace longhaul
