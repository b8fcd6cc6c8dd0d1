#include "cli/standard_streams.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "longhaul/files.h"

namespace longhaul::cli {
namespace {

// Keeps a write to a pipe without a reader from ending the program: SIGPIPE is held back, and taken
// away if the write raised it.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~WithoutSigpipe() {
    const timespec at_once{};
    while (::sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  WithoutSigpipe(const WithoutSigpipe&) = delete;

 private:
  sigset_t pipe_, before_;
};

}  // namespace

bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) != 0; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) != 0; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) != 0; }

void claim_standard_streams() {
  // A descriptor that names a place alone answers EBADF to reading and writing, as a closed one
  // does. open() takes the lowest free number, and those below `fd` are taken.
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    const bool is_open = ::fcntl(fd, F_GETFD) >= 0 || errno != EBADF;
    if (!is_open && ::open("/", O_PATH) != fd) ::_exit(2);  // there is no stream to say it on
  }
  // A file that grows beyond RLIMIT_FSIZE, as a disk that is full: the write fails, and what was
  // begun is taken away.
  ::signal(SIGXFSZ, SIG_IGN);
  ::signal(SIGPIPE, SIG_DFL);
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_UNBLOCK, &pipe, nullptr);
}

Status write_standard_output(std::string_view text) {
  return write_descriptor(STDOUT_FILENO, text);
}

Status close_standard_output() {
  if (::close(STDOUT_FILENO) != 0 && errno != EINTR) return system_error("", errno);
  return {};
}

void write_standard_error(std::string_view text) {
  const WithoutSigpipe guard;
  (void)write_descriptor(STDERR_FILENO, text);
}

}  // namespace longhaul::cli
