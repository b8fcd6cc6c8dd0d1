#include "cli/standard_streams.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>

namespace longhaul::cli {
namespace {

// Runs a function in a process of its own; its exit status, or 1000 and the signal that ended it.
int in_child(const std::function<int()>& run) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(run());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// rust-lang/rust #57728, att/ast #1125, libfuse #1167, MMseqs2 #974: a file opened later takes the
// number of a closed stream.
TEST(StandardStreams, ClosedOnesLendTheirNumbersToNoFile) {
  EXPECT_EQ(
      0, in_child([] {
        for (int fd = 0; fd < 3; ++fd) ::close(fd);
        claim_standard_streams();
        if (::open("/dev/null", O_RDWR) < 3) return 1;
        char byte;
        if (::read(0, &byte, 1) != -1 || errno != EBADF) return 2;
        write_standard_error("lost");
        const Status written = write_standard_output("lost");
        return written.ok() || written.error().text().find("it is closed") == std::string::npos ? 3
                                                                                                : 0;
      }));
}

TEST(StandardStreams, OpenOnesStay) {
  EXPECT_EQ(
      0, in_child([] {
        int ends[2];
        if (::pipe(ends) != 0 || ::dup2(ends[1], 1) != 1) return 1;
        claim_standard_streams();
        if (!write_standard_output("text").ok() || !close_standard_output().ok()) return 2;
        char text[8] = {};
        return ::read(ends[0], text, sizeof text) == 4 && std::string_view(text) == "text" ? 0 : 3;
      }));
}

TEST(StandardStreams, AFullDeviceIsAnErrorWithARemedy) {
  EXPECT_EQ(0, in_child([] {
              if (::dup2(::open("/dev/full", O_WRONLY), 1) != 1) return 1;
              const Status written = write_standard_output("text");
              return written.ok() || written.error().text().find(
                                         "No space left on device; free some space") != 0
                         ? 2
                         : 0;
            }));
}

TEST(StandardStreams, AFileThatMayNotGrowIsAnErrorWithARemedy) {
  EXPECT_EQ(0, in_child([] {
              std::FILE* file = std::tmpfile();
              const rlimit small{1, 1};
              if (file == nullptr || ::dup2(::fileno(file), 1) != 1) return 1;
              if (::setrlimit(RLIMIT_FSIZE, &small) != 0) return 1;
              ::signal(SIGXFSZ, SIG_DFL);
              claim_standard_streams();
              const Status written = write_standard_output("text");
              return written.ok() || written.error().text().find("File too large; ") != 0 ? 2 : 0;
            }));
}

// ripgrep #22, #1966, vcpkg-tool #2059: a reader that went away is no crash, and one of standard
// error is nothing at all.
TEST(StandardStreams, ReadersThatGoAway) {
  const auto without_reader = [](int fd) {
    int ends[2];
    if (::pipe(ends) != 0 || ::dup2(ends[1], fd) != fd) ::_exit(1);
    ::close(ends[0]);
    ::close(ends[1]);
    ::signal(SIGPIPE, SIG_IGN);  // as some parents leave it
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    ::sigprocmask(SIG_BLOCK, &pipe, nullptr);
    claim_standard_streams();
  };
  EXPECT_EQ(1000 + SIGPIPE, in_child([&] {
              without_reader(1);
              return write_standard_output("text").ok() ? 2 : 3;
            }));
  EXPECT_EQ(0, in_child([&] {
              without_reader(2);
              write_standard_error("lost");
              write_standard_error("lost");
              return 0;
            }));
}

}  // namespace
}  // namespace longhaul::cli
