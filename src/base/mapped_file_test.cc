#include "base/mapped_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "base/atomic_file.h"
#include "base/thread_pool.h"
#include "longhaul/process.h"

namespace longhaul {
namespace {

class MappedFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "longhaul-test-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    write();
  }
  void write() const {
    std::ofstream file(path(), std::ios::binary);
    for (int i = 0; i < kBytes; ++i) file.put(static_cast<char>(i % 251));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path() const { return (folder_ / "file").string(); }

  static constexpr int kBytes = 3 * 4096 + 5;

 private:
  std::filesystem::path folder_;
};

TEST_F(MappedFiles, ReadCopiesWhatIsMapped) {
  auto opened = MappedFile::open(path());
  ASSERT_TRUE(opened.ok());
  const MappedFile file = std::move(*opened);  // reads after a move, too
  ASSERT_EQ(file.bytes().size(), size_t{kBytes});
  const std::pair<size_t, size_t> ranges[] = {{0, kBytes},     {0, 0},      {0, 1},
                                              {kBytes - 1, 1}, {kBytes, 0}, {4095, 4098}};
  for (const auto& [from, n] : ranges) {
    const auto range = file.bytes().subspan(from, n);
    std::vector<std::byte> out(n + 1, std::byte{0xee});
    ASSERT_TRUE(file.read(range, out.data()).ok());
    EXPECT_TRUE(std::equal(range.begin(), range.end(), out.begin())) << from;
    EXPECT_EQ(out.back(), std::byte{0xee}) << "nothing behind the range";
  }
}

TEST_F(MappedFiles, ReadingWhatIsNoLongerThereIsAnError) {
  const auto file = MappedFile::open(path());
  ASSERT_TRUE(file.ok());
  std::filesystem::resize_file(path(), 5000);
  std::vector<std::byte> out(kBytes);
  EXPECT_TRUE(file->read(file->bytes().first(5000), out.data()).ok());
  const Status status = file->read(file->bytes().subspan(4000, 2000), out.data());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kCorruptFile);
  EXPECT_NE(status.error().text().find("ends at byte 5000, it had 12293"), std::string::npos)
      << status.error().text();
}

TEST_F(MappedFiles, TellsAFileThatBecameShorter) {
  const auto file = MappedFile::open(path());
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(file->check_size().ok());
  std::filesystem::resize_file(path(), kBytes + 1);
  EXPECT_TRUE(file->check_size().ok());
  std::filesystem::resize_file(
      path(), kBytes - 1);  // within the last page: nothing faults, and a byte reads as 0
  EXPECT_EQ(file->bytes().back(), std::byte{0});
  const Status status = file->check_size();
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().text().find("has 12292 bytes, it had 12293 when it was opened"),
            std::string::npos)
      << status.error().text();
  std::filesystem::resize_file(path(), 4096);
  EXPECT_FALSE(file->populate(file->bytes()).ok());
}

// A file that takes the other's name leaves the one that is mapped as it was.
TEST_F(MappedFiles, AFileRenamedOverIsStillRead) {
  const auto file = MappedFile::open(path());
  ASSERT_TRUE(file.ok());
  std::ofstream(path() + ".new") << "x";
  std::filesystem::rename(path() + ".new", path());
  EXPECT_TRUE(file->check_size().ok());
  EXPECT_EQ(file->bytes()[12292], std::byte{12292 % 251});
}

TEST_F(MappedFiles, RefusesAGitLfsPointer) {
  std::ofstream(path()) << "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
  const auto file = MappedFile::open(path());
  ASSERT_FALSE(file.ok());
  EXPECT_NE(file.error().text().find("a git-lfs pointer"), std::string::npos);
  EXPECT_FALSE(read_file(path(), 1000).ok());
}

// --- where a mapped file becomes shorter: each test is a process of its own ----------------------

class ShrunkFiles : public MappedFiles {
 protected:
  static char touch(const MappedFile& file, size_t at) {
    return *reinterpret_cast<const volatile char*>(file.bytes().data() + at);
  }

  // Opens and shortens the file, then runs the rest.
  template <class Rest>
  void shrink_and(int exit_status, const Rest& rest) const {
    ::signal(SIGBUS, SIG_DFL);  // a sanitizer has a handler of its own
    write();                    // the test before cut it
    const auto file = MappedFile::open(path());
    if (!file.ok() || (exit_status != 0 && !end_when_files_shrink(exit_status).ok())) ::_exit(99);
    std::filesystem::resize_file(path(), 4096);
    rest(*file);
    ::_exit(98);
  }
};

TEST_F(ShrunkFiles, EndTheProcessWithOneLine) {
  EXPECT_EXIT(shrink_and(2, [](const MappedFile& file) { touch(file, 5000); }),
              ::testing::ExitedWithCode(2),
              "^longhaul: [^\n]*/file: byte 5000 cannot be read any more, the file had 12293 bytes "
              "when it was opened; [^\n]*restore the "
              "file[^\n]*\n$");
  EXPECT_EXIT(shrink_and(7, [](const MappedFile& file) { touch(file, 12292); }),
              ::testing::ExitedWithCode(7), "byte 12292 ");
}

TEST_F(ShrunkFiles, EndItFromAnyThreadOnce) {
  EXPECT_EXIT(shrink_and(2,
                         [](const MappedFile& file) {
                           ThreadPool pool(4);
                           pool.run(64, [&](int64_t i, int) {
                             touch(file, 4096 + static_cast<size_t>(i));
                           });
                         }),
              ::testing::ExitedWithCode(2), "^[^\n]*\n$");
  EXPECT_EXIT(
      shrink_and(2, [](const MappedFile& file) { std::thread([&] { touch(file, 8000); }).join(); }),
      ::testing::ExitedWithCode(2), "byte 8000 ");
}

TEST_F(ShrunkFiles, LeaveNoTemporaryFile) {
  const std::string out = path() + ".out";
  EXPECT_EXIT(shrink_and(2,
                         [&](const MappedFile& file) {
                           auto done = AtomicFile::create(out + "1"),
                                open = AtomicFile::create(out + "2");
                           if (!done.ok() || !open.ok() || !open->write("half").ok() ||
                               !done->commit().ok())
                             ::_exit(97);
                           touch(file, 5000);
                         }),
              ::testing::ExitedWithCode(2), "");
  std::vector<std::string> left;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(path()).parent_path()))
    left.push_back(entry.path().filename().string());
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"file", "file.out1"}));
}

TEST_F(ShrunkFiles, AreNobodysBusinessUnlessAskedFor) {
  EXPECT_EXIT(shrink_and(0, [](const MappedFile& file) { touch(file, 5000); }),
              ::testing::KilledBySignal(SIGBUS), "");
}

TEST_F(ShrunkFiles, OtherFaultsDoWhatTheyDid) {
  EXPECT_EXIT(shrink_and(2, [](const MappedFile&) { ::raise(SIGBUS); }),
              ::testing::KilledBySignal(SIGBUS), "");
  // A mapping that is none of ours.
  EXPECT_EXIT(shrink_and(2,
                         [&](const MappedFile&) {
                           std::FILE* file = std::fopen(path().c_str(), "r");
                           const void* data =
                               ::mmap(nullptr, 8192, PROT_READ, MAP_PRIVATE, ::fileno(file), 0);
                           *(static_cast<const volatile char*>(data) + 5000);
                         }),
              ::testing::KilledBySignal(SIGBUS), "");
  // A handler from before gets what is not ours, and a mapping that was given back is not ours.
  EXPECT_EXIT(
      {
        struct sigaction own{};
        own.sa_handler = [](int) { ::_exit(42); };
        ::sigaction(SIGBUS, &own, nullptr);
        const char* data = nullptr;
        {
          auto file = MappedFile::open(path());
          data = reinterpret_cast<const char*>(file->bytes().data());
        }
        if (!end_when_files_shrink(2).ok() || !end_when_files_shrink(3).ok()) ::_exit(99);
        ::raise(SIGBUS);
        (void)data;
      },
      ::testing::ExitedWithCode(42), "");
}

}  // namespace
}  // namespace longhaul
