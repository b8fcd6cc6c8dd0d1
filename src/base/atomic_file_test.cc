#include "base/atomic_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/descriptor_io.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Root may write anywhere: what a write protection does is seen by another user.
class Unprivileged {
 public:
  Unprivileged() { is_changed_ = ::geteuid() == 0 && ::seteuid(65534) == 0; }
  ~Unprivileged() {
    if (is_changed_) {
      EXPECT_EQ(::seteuid(0), 0);
    }
  }

 private:
  bool is_changed_ = false;
};

class AtomicFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "longhaul-test-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    fs::permissions(folder_, fs::perms::all);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  std::string put(const std::string& name, const std::string& text) const {
    std::ofstream(at(name)) << text;
    return at(name);
  }
  static std::string text(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Creates, writes, commits: the message of the first error, or nothing.
  static std::string write(const std::string& path, std::string_view text) {
    auto file = AtomicFile::create(path);
    if (!file.ok()) return file.error().text();
    if (auto s = file->write(text); !s.ok()) return s.error().text();
    auto s = file->commit();
    return s.ok() ? "" : s.error().text();
  }
  int n_files() const {
    return static_cast<int>(std::distance(fs::directory_iterator(folder_), {}));
  }

  fs::path folder_;
};

TEST_F(AtomicFiles, AppearsWholeOrNotAtAll) {
  put("file", "old");
  {
    auto file = AtomicFile::create(at("file"));
    ASSERT_TRUE(file.ok());
    AtomicFile moved = std::move(*file);
    ASSERT_TRUE(moved.write("half").ok());
    EXPECT_EQ(text(at("file")), "old");
    EXPECT_EQ(n_files(), 2);
  }
  EXPECT_EQ(text(at("file")), "old");
  EXPECT_EQ(n_files(), 1);
  EXPECT_EQ(write(at("file"), "new"), "");
  EXPECT_EQ(text(at("file")), "new");
  EXPECT_EQ(write(at("another"), "text"), "");
  EXPECT_EQ(text(at("another")), "text");
  EXPECT_EQ(n_files(), 2);
}

// labelme #2485, patchloom #1062, imbue-ai/mngr #1238: mode and owner are lost by a rename that
// does not look.
TEST_F(AtomicFiles, KeepsTheModeOfAnOldFileAndFollowsTheUmaskOtherwise) {
  ASSERT_EQ(::chmod(put("file", "old").c_str(), 0640), 0);
  EXPECT_EQ(write(at("file"), "new"), "");
  EXPECT_EQ(fs::status(at("file")).permissions(), fs::perms(0640));
  const mode_t before = ::umask(002);
  EXPECT_EQ(write(at("fresh"), "new"), "");
  ::umask(before);
  EXPECT_EQ(fs::status(at("fresh")).permissions(), fs::perms(0664));
}

// microsoft/terminal #10787, PortOS #1893, cliamp #494, oh-my-pi #4452: links turned into files.
TEST_F(AtomicFiles, WritesBehindSymbolicLinks) {
  fs::create_directory(at("below"));
  put("below/file", "old");
  fs::create_symlink("below/second", at("first"));
  fs::create_symlink("file", at("below/second"));
  EXPECT_EQ(write(at("first"), "new"), "");
  EXPECT_TRUE(fs::is_symlink(at("first")));
  EXPECT_TRUE(fs::is_symlink(at("below/second")));
  EXPECT_EQ(text(at("below/file")), "new");

  fs::create_symlink(at("below/later"), at("dangling"));
  EXPECT_EQ(write(at("dangling"), "made"), "");
  EXPECT_TRUE(fs::is_symlink(at("dangling")));
  EXPECT_EQ(text(at("below/later")), "made");

  fs::create_symlink("nowhere/file", at("lost"));
  EXPECT_THAT(write(at("lost"), "x"),
              HasSubstr("lost: cannot create: No such file or directory; "));
  fs::create_symlink("loop", at("loop"));
  EXPECT_THAT(write(at("loop"), "x"), HasSubstr("loop: cannot follow its links"));
}

TEST_F(AtomicFiles, LeavesOtherHardLinksAsTheyAre) {
  put("file", "old");
  fs::create_hard_link(at("file"), at("other"));
  EXPECT_EQ(write(at("file"), "new"), "");
  EXPECT_EQ(text(at("other")), "old");
}

// curl #6882, rmlint #763, bazel #31038: pipes and devices became regular files.
TEST_F(AtomicFiles, WritesThroughAPipe) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  std::string seen;
  std::thread reader([&] { seen = text(at("pipe")); });
  EXPECT_EQ(write(at("pipe"), "through"), "");
  reader.join();
  EXPECT_EQ(seen, "through");
  EXPECT_TRUE(fs::is_fifo(at("pipe")));
  EXPECT_EQ(n_files(), 1);
}

TEST_F(AtomicFiles, WritesThroughADevice) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(::grantpt(terminal), 0);
  ASSERT_EQ(::unlockpt(terminal), 0);
  fs::create_symlink(::ptsname(terminal), at("link"));
  EXPECT_EQ(write(at("link"), "through\n"), "");
  char seen[16] = {};
  EXPECT_EQ(::read(terminal, seen, sizeof seen), 9);
  EXPECT_STREQ(seen, "through\r\n");
  ::close(terminal);
  EXPECT_TRUE(fs::is_symlink(at("link")));
  EXPECT_THAT(write("/dev/full", "x"),
              HasSubstr("/dev/full: cannot write: No space left on device; free some space"));
}

// A redirected file goes on where it stands: neither begun anew nor renamed away from under the
// shell.
TEST_F(AtomicFiles, WritesToOwnDescriptors) {
  const int fd = ::open(put("file", "before ").c_str(), O_WRONLY | O_APPEND);
  ASSERT_GE(fd, 0);
  fs::create_symlink("/dev/fd/" + std::to_string(fd), at("link"));
  EXPECT_EQ(write(at("link"), "now "), "");
  EXPECT_EQ(write("/proc/self/fd/" + std::to_string(fd), "then "), "");
  ASSERT_EQ(::write(fd, "after", 5), 5);
  EXPECT_EQ(text(at("file")), "before now then after");
  ::close(fd);
  EXPECT_THAT(write(at("link"), "x"), HasSubstr("link: cannot write: it is closed"));
  const int readable = ::open(at("file").c_str(), O_RDONLY);
  EXPECT_THAT(write("/dev/fd/" + std::to_string(readable), "x"), HasSubstr("cannot write"));
  ::close(readable);
}

TEST_F(AtomicFiles, TellsEarlyWhatCannotBeWritten) {
  fs::create_directory(at("folder"));
  EXPECT_THAT(write(at("folder"), "x"),
              HasSubstr("folder: cannot write: Is a directory; give the name of a file"));
  EXPECT_THAT(write(at("folder/"), "x"), HasSubstr("Is a directory"));
  EXPECT_THAT(write(at("no/file"), "x"),
              HasSubstr("file: cannot create: No such file or directory; check the path"));
  EXPECT_THAT(write(put("plain", "") + "/file", "x"), HasSubstr("Not a directory"));
  EXPECT_THAT(write(at(std::string(300, 'n')), "x"), HasSubstr("choose a shorter name"));
  EXPECT_THAT(write("", "x"), HasSubstr("is empty"));
  sockaddr_un address{AF_UNIX, {}};
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  std::strncpy(address.sun_path, at("socket").c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_THAT(write(at("socket"), "x"), HasSubstr("sockets cannot be opened"));
  ::close(socket);
}

// labelme #2485: a rename needs no permission of the file's own, so that a write protection meant
// nothing.
TEST_F(AtomicFiles, HeedsAWriteProtection) {
  put("file", "old");
  fs::permissions(at("file"), fs::perms(0444));
  fs::create_directory(at("closed"));
  fs::permissions(at("closed"), fs::perms(0555));
  {
    const Unprivileged user;
    EXPECT_THAT(write(at("file"), "x"),
                HasSubstr("file: cannot write: Permission denied; check its permissions"));
    EXPECT_THAT(write(at("closed/file"), "x"), HasSubstr("file: cannot create: Permission denied"));
  }
  EXPECT_EQ(text(at("file")), "old");
}

TEST_F(AtomicFiles, WritesInPlaceWhereTheFolderTakesNoFile) {
  fs::create_directory(at("closed"));
  put("closed/file", "a longer text");
  fs::permissions(at("closed/file"), fs::perms(0666));
  fs::permissions(at("closed"), fs::perms(0555));
  {
    const Unprivileged user;
    EXPECT_EQ(write(at("closed/file"), "new"), "");
    EXPECT_EQ(text(at("closed/file")), "new");
    auto file = AtomicFile::create(at("closed/file"));
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->write("half").ok());
  }
  EXPECT_EQ(text(at("closed/file")), "");  // half of a file does not pass for a whole one
}

// A container's first process has the same number each time.
TEST_F(AtomicFiles, IsNotStoppedByWhatAKilledProcessLeft) {
  const std::string left = put("file." + std::to_string(::getpid()) + ".partial", "left");
  EXPECT_EQ(write(at("file"), "new"), "");
  EXPECT_EQ(text(at("file")), "new");
  EXPECT_EQ(text(left), "left");
  auto first = AtomicFile::create(at("file")), second = AtomicFile::create(at("file"));
  EXPECT_TRUE(first.ok() && second.ok());
}

TEST_F(AtomicFiles, TakesTheLongestNames) {
  const std::string name = at(std::string(255, 'n'));
  EXPECT_EQ(write(name, "new"), "");
  EXPECT_EQ(text(name), "new");
}

TEST_F(AtomicFiles, LeavesNothingOfAFileThatGrewTooLarge) {
  put("file", "old");
  const auto before = ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small{1000, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string error = write(at("file"), std::string(5000, 'x'));
  ::setrlimit(RLIMIT_FSIZE, &limit);
  ::signal(SIGXFSZ, before);
  EXPECT_THAT(error, HasSubstr("file: cannot write: File too large; "));
  EXPECT_EQ(text(at("file")), "old");
  EXPECT_EQ(n_files(), 1);
}

TEST_F(AtomicFiles, AnyFileIsReadToItsEnd) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  std::thread writer([&] {
    std::ofstream out(at("pipe"));
    for (int i = 0; i < 3; ++i) out << std::string(50000, static_cast<char>('a' + i)) << std::flush;
  });
  const auto pipe = read_any_file(at("pipe"), 1 << 20);
  writer.join();
  ASSERT_TRUE(pipe.ok()) << pipe.error().text();
  EXPECT_EQ(*pipe, std::string(50000, 'a') + std::string(50000, 'b') + std::string(50000, 'c'));

  EXPECT_EQ(*read_any_file(put("file", "text\r\n"), 6), "text\r\n");
  EXPECT_EQ(*read_any_file(put("empty", ""), 0), "");
  EXPECT_EQ(*read_any_file("/dev/null", 0), "");
  EXPECT_FALSE(read_any_file("/proc/self/maps", 1 << 20)->empty());  // says that it has no bytes
  EXPECT_THAT(read_any_file(at("file"), 5).error().text(),
              HasSubstr("6 bytes, expected at most 5"));
  EXPECT_THAT(read_any_file("/dev/zero", 1 << 20).error().text(),
              HasSubstr("more than 1048576 bytes"));
  EXPECT_THAT(read_any_file(folder_.string(), 5).error().text(),
              HasSubstr("is a folder, not a regular file or a pipe"));
  EXPECT_EQ(read_any_file(at("none"), 5).error().code, ErrorCode::kNotFound);
}

TEST_F(AtomicFiles, WritingWaitsForABusyPipe) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK), 0);
  const std::string sent(1 << 20, 'x');  // more than a pipe holds
  std::string seen;
  std::thread reader([&] { EXPECT_TRUE(read_all(ends[0], "pipe", 1 << 21, seen).ok()); });
  EXPECT_EQ(write_all(ends[1], std::as_bytes(std::span(sent))), 0);
  ::close(ends[1]);
  reader.join();
  ::close(ends[0]);
  EXPECT_EQ(seen, sent);
}

}  // namespace
}  // namespace longhaul
