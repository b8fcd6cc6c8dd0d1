#include "base/descriptor_io.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/printable.h"

namespace longhaul {
namespace {

// True where the call that failed with `error` is to be made again: it was interrupted, or `fd`
// does not block and was waited for.
bool may_retry(int error, int fd, short events) {
  if (error == EINTR) return true;
  if (error != EAGAIN && error != EWOULDBLOCK) return false;
  pollfd busy{fd, events, 0};
  return ::poll(&busy, 1, -1) >= 0 || errno == EINTR;
}

const char* remedy(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT: return "free some space or write elsewhere";
    case EFBIG: return "write elsewhere, or lift the limit on the size of files (ulimit -f)";
    case EACCES:
    case EPERM: return "check its permissions and those of its folder, or choose another place";
    case EROFS: return "choose a place that can be written to";
    case ENOENT: return "check the path; folders on the way must be there";
    case ENOTDIR: return "check the path: a part of it is no folder";
    case EISDIR: return "give the name of a file, not of a folder";
    case ENXIO: return "give a file, a pipe or a device; sockets cannot be opened";
    case ELOOP: return "its symbolic links lead nowhere; check them";
    case ENAMETOOLONG: return "choose a shorter name";
    case EMFILE:
    case ENFILE: return "allow more open files (ulimit -n)";
    case EBADF: return "open it for this program, or redirect it to /dev/null";
    case EIO: return "check the disk or the connection behind it";
    default: return "check what stands behind it, or choose another place";
  }
}

}  // namespace

Error io_error(const std::string& what, int error) {
  const char* reason = error == EBADF ? "it is closed" : std::strerror(error);
  const ErrorCode code = error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
  return {code, what.empty() ? reason : what + ": " + reason, remedy(error)};
}

int write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
    } else if (!may_retry(errno, fd, POLLOUT)) {
      return errno;
    }
  }
  return 0;
}

Status read_all(int fd, std::string_view where, uint64_t max_bytes, std::string& out) {
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n == 0) return {};
    if (n > 0) {
      out.append(buffer.data(), static_cast<size_t>(n));
      if (out.size() > max_bytes)
        return invalid("{}: more than {} bytes; give a shorter text", where, max_bytes);
    } else if (!may_retry(errno, fd, POLLIN)) {
      return io_error(fmt::format("{}: cannot read", where), errno);
    }
  }
}

Result<std::string> read_any_file(const std::string& path, uint64_t max_bytes) {
  const std::string where = printable(path);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) {
    const int error = errno;
    return io_error(where + ": cannot open", error);
  }
  struct stat info{};
  Status status;
  std::string text;
  if (::fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
    status =
        invalid("{}: is a folder, not a regular file or a pipe; give the name of a file", where);
  } else if (S_ISREG(info.st_mode) && static_cast<uint64_t>(info.st_size) > max_bytes) {
    status = invalid("{}: {} bytes, expected at most {}; give a shorter text", where, info.st_size,
                     max_bytes);
  } else {
    status = read_all(fd, where, max_bytes, text);
  }
  ::close(fd);
  if (!status.ok()) return status.take_error();
  return text;
}

}  // namespace longhaul
