#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/descriptor_io.h"
#include "base/shrunk_files.h"

namespace longhaul {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Opens a regular file and tells its size: a folder, device or pipe is refused before anything is
// read.
Result<size_t> regular_size(const Descriptor& fd, const std::string& path) {
  if (fd.get() < 0) return io_error(path + ": cannot open", errno);
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return io_error(path + ": cannot examine", errno);
  if (!S_ISREG(info.st_mode))
    return make_error(ErrorCode::kIo, "{}: not a regular file; give the name of one", path);
  return static_cast<size_t>(info.st_size);
}

// A clone without git-lfs leaves a text of three lines in the place of a large file.
Status check_no_lfs_pointer(std::string_view text, const std::string& path) {
  if (!text.starts_with("version https://git-lfs.github.com/spec/")) return {};
  return corrupt(
      "{}: a git-lfs pointer, not the file itself; run 'git lfs pull' in its folder, or download "
      "the file",
      path);
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  LH_TRY(const size_t size, regular_size(fd, path));
  MappedFile file;
  file.path_ = path;
  file.size_ = size;
  if (size == 0) return file;
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (data == MAP_FAILED) return io_error(path + ": cannot map", errno);
  file.data_ = static_cast<const std::byte*>(data);
  file.fd_ = fd.release();
  note_mapping(file.bytes(), path);
  LH_RETURN_IF_ERROR(check_no_lfs_pointer(
      {reinterpret_cast<const char*>(file.data_), std::min<size_t>(size, 64)}, path));
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(fd_, other.fd_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) forget_mapping(bytes());
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  if (fd_ >= 0) ::close(fd_);
}

namespace {

void advise(std::span<const std::byte> file, size_t begin, size_t end, int advice) {
  if (begin < end) ::madvise(const_cast<std::byte*>(file.data()) + begin, end - begin, advice);
}

// The blocks of so many bytes that a range of the file touches, or those that it fills.
void advise_touched(std::span<const std::byte> file, std::span<const std::byte> range, size_t block,
                    int advice) {
  const auto begin = static_cast<size_t>(range.data() - file.data());
  advise(file, begin / block * block,
         std::min(file.size(), (begin + range.size() + block - 1) / block * block), advice);
}

void advise_filled(std::span<const std::byte> file, std::span<const std::byte> range, size_t block,
                   int advice) {
  const auto begin = static_cast<size_t>(range.data() - file.data());
  advise(file, (begin + block - 1) / block * block, (begin + range.size()) / block * block, advice);
}

size_t page_size() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }

}  // namespace

void MappedFile::drop(std::span<const std::byte> range) const {
  // Touching a byte may map all of the block that the system keeps it in: at most a huge page,
  // aligned in the file.
  constexpr size_t kLargestBlock = size_t{2} << 20;
  advise_touched(bytes(), range, kLargestBlock, MADV_DONTNEED);
}
void MappedFile::will_need(std::span<const std::byte> range) const {
  advise_touched(bytes(), range, page_size(), MADV_WILLNEED);
}
Status MappedFile::populate(std::span<const std::byte> range) const {
#ifdef MADV_POPULATE_READ
  const auto begin = static_cast<size_t>(range.data() - data_) / page_size() * page_size();
  const auto end = static_cast<size_t>(range.data() - data_) + range.size();
  int result = 0;
  do {
    result = ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_POPULATE_READ);
  } while (result != 0 && (errno == EINTR || errno == EAGAIN));
  if (result == 0) return {};
  const bool is_known_advice = errno != EINVAL;  // else the kernel is older than it
  const Error failed = io_error(path_ + ": cannot read", errno);
  LH_RETURN_IF_ERROR(check_size());
  if (is_known_advice) return failed;
#endif
  will_need(range);
  return {};
}
Status MappedFile::read(std::span<const std::byte> range, std::byte* out) const {
  auto at = range.data() - data_;
  for (size_t done = 0; done < range.size();) {
    const ssize_t n = ::pread(fd_, out + done, range.size() - done, at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(path_ + ": cannot read", errno);
    if (n == 0)
      return corrupt(
          "{}: ends at byte {}, it had {} when it was opened; restore the file, then start again",
          path_, at, size_);
    done += static_cast<size_t>(n);
    at += n;
  }
  return {};
}
Status MappedFile::check_size() const {
  if (fd_ < 0) return {};
  struct stat info{};
  if (::fstat(fd_, &info) != 0) return io_error(path_ + ": cannot examine", errno);
  if (static_cast<size_t>(info.st_size) >= size_) return {};
  return corrupt(
      "{}: has {} bytes, it had {} when it was opened, so it was made shorter while in use; "
      "restore the file, then start again",
      path_, info.st_size, size_);
}
void MappedFile::expect_random_access(std::span<const std::byte> range) const {
  advise_filled(bytes(), range, page_size(), MADV_RANDOM);
}

Result<std::string> read_file(const std::string& path, size_t max_bytes) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  LH_TRY(const size_t size, regular_size(fd, path));
  if (size > max_bytes)
    return corrupt("{}: {} bytes, expected at most {}; is it the right file?", path, size,
                   max_bytes);
  std::string text(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t n = ::read(fd.get(), text.data() + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(path + ": cannot read", errno);
    if (n == 0) break;  // the file shrank under us: what is there is what there is
    done += static_cast<size_t>(n);
  }
  text.resize(done);
  LH_RETURN_IF_ERROR(check_no_lfs_pointer(text, path));
  return text;
}

}  // namespace longhaul
