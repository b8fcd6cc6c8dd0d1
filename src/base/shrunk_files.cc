#include "base/shrunk_files.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>
#include <set>
#include <string_view>

#include "base/errors.h"
#include "longhaul/process.h"

namespace longhaul {
namespace {

// Held by a thread that changes the lists, and by the handler. Those who change them touch no
// mapped file, so the thread that faults never holds it, and the handler waits for others at most.
class SpinLock {
 public:
  void lock() {
    while (flag_.test_and_set(std::memory_order_acquire)) {
    }
  }
  void unlock() { flag_.clear(std::memory_order_release); }

 private:
  std::atomic_flag flag_ = ATOMIC_FLAG_INIT;
};

struct Mapping {
  size_t size = 0;
  std::string path;
};

struct Lists {
  SpinLock lock;
  std::map<const std::byte*, Mapping> mappings;  // by first byte
  std::set<std::string> temporary_files;
};

// Never destroyed: a fault may come while the process ends.
Lists& lists() {
  static auto* all = new Lists;
  return *all;
}

struct Guard {
  explicit Guard(SpinLock& lock) : lock_(lock) { lock_.lock(); }
  ~Guard() { lock_.unlock(); }
  Guard(const Guard&) = delete;

 private:
  SpinLock& lock_;
};

// A line put together without the heap; what does not fit is cut.
class Line {
 public:
  Line& operator<<(std::string_view text) {
    const size_t n = std::min(text.size(), text_.size() - 1 - size_);
    std::memcpy(text_.data() + size_, text.data(), n);
    size_ += n;
    return *this;
  }
  Line& operator<<(size_t number) {
    std::array<char, 24> digits{};
    size_t first = digits.size();
    do {
      digits[--first] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number > 0);
    return *this << std::string_view(digits.data() + first, digits.size() - first);
  }
  void write_to(int fd) {
    text_[size_++] = '\n';
    for (size_t done = 0; done < size_;) {
      const ssize_t n = ::write(fd, text_.data() + done, size_ - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return;
      done += static_cast<size_t>(n);
    }
  }

 private:
  std::array<char, 6000> text_{};
  size_t size_ = 0;
};

bool is_caught = false;
int exit_status_when_shrunk = 0;
struct sigaction action_before;

// Waits for no heap and calls only what a signal handler may.
void on_bus_error(int signal_number, siginfo_t* info, void*) {
  const auto* at = static_cast<const std::byte*>(info->si_addr);
  if (info->si_code == BUS_ADRERR) {
    Lists& all = lists();
    // Held to the end where the fault is ours: another thread that faults waits here until then.
    all.lock.lock();
    auto it = all.mappings.upper_bound(at);
    if (it != all.mappings.begin() && at < std::prev(it)->first + std::prev(it)->second.size) {
      --it;
      for (const std::string& file : all.temporary_files) ::unlink(file.c_str());
      (Line() << "longhaul: " << it->second.path << ": byte " << static_cast<size_t>(at - it->first)
              << " cannot be read any more, the file had " << it->second.size
              << " bytes when it was opened; it was made shorter while in use, or its disk fails: "
                 "restore the file, then start again")
          .write_to(STDERR_FILENO);
      ::_exit(exit_status_when_shrunk);
    }
    all.lock.unlock();
  }
  // Not ours: as if this handler had never been there. A fault comes again when the instruction is
  // repeated; a signal sent does not.
  ::sigaction(signal_number, &action_before, nullptr);
  if (info->si_code <= 0) ::raise(signal_number);
}

}  // namespace

void note_mapping(std::span<const std::byte> bytes, const std::string& path) {
  const Guard guard(lists().lock);
  lists().mappings[bytes.data()] = {bytes.size(), path};
}

void forget_mapping(std::span<const std::byte> bytes) {
  const Guard guard(lists().lock);
  lists().mappings.erase(bytes.data());
}

void note_temporary_file(const std::string& path) {
  const Guard guard(lists().lock);
  lists().temporary_files.insert(path);
}

void forget_temporary_file(const std::string& path) {
  const Guard guard(lists().lock);
  lists().temporary_files.erase(path);
}

Status end_when_files_shrink(int exit_status) {
  lists();  // made before it can be needed in a handler
  exit_status_when_shrunk = exit_status;
  if (is_caught) return {};
  struct sigaction action{};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigemptyset(&action.sa_mask);
  is_caught = ::sigaction(SIGBUS, &action, &action_before) == 0;
  if (is_caught) return {};
  return make_error(ErrorCode::kIo, "cannot catch SIGBUS: {}", std::strerror(errno));
}

}  // namespace longhaul
