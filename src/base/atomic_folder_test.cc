#include "base/atomic_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <set>

namespace longhaul {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AtomicFolders : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "longhaul-test-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  std::set<std::string> names(const std::string& name = ".") const {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(at(name)))
      found.insert(entry.path().filename().string());
    return found;
  }
  // Creates, puts two files into it, commits: the message of the first error, or nothing.
  static std::string fill(const std::string& path) {
    auto folder = AtomicFolder::create(path);
    if (!folder.ok()) return folder.error().text();
    std::ofstream(folder->path() / "config.json") << "new";
    std::ofstream(folder->path() / "weights") << "new";
    auto s = folder->commit();
    return s.ok() ? "" : s.error().text();
  }

  fs::path folder_;
};

TEST_F(AtomicFolders, AppearsWholeOrNotAtAll) {
  {
    auto folder = AtomicFolder::create(at("a/b/"));
    ASSERT_TRUE(folder.ok());
    std::ofstream(folder->path() / "weights") << "half";
    EXPECT_THAT(names("a"), ElementsAre(HasSubstr(".partial")));
  }
  EXPECT_THAT(names("a"), ElementsAre());
  EXPECT_EQ(fill(at("a/b")), "");
  EXPECT_THAT(names("a/b"), ElementsAre("config.json", "weights"));
}

// A container's mounted folder is there before the program and cannot be renamed over.
TEST_F(AtomicFolders, FillsAFolderThatIsThere) {
  fs::create_directory(at("there"));
  ASSERT_EQ(::chmod(at("there").c_str(), 0750), 0);
  std::ofstream(at("there/tokenizer.json")) << "mine";
  struct stat before{}, after{};
  ASSERT_EQ(::stat(at("there").c_str(), &before), 0);
  {
    auto folder = AtomicFolder::create(at("there"));
    ASSERT_TRUE(folder.ok());
    std::ofstream(folder->path() / "weights") << "half";
  }
  EXPECT_THAT(names("there"), ElementsAre("tokenizer.json"));
  EXPECT_EQ(fill(at("there")), "");
  EXPECT_THAT(names("there"), ElementsAre("config.json", "tokenizer.json", "weights"));
  ASSERT_EQ(::stat(at("there").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(before.st_mode, after.st_mode);
}

TEST_F(AtomicFolders, FollowsSymbolicLinks) {
  fs::create_directory(at("there"));
  fs::create_symlink("there", at("link"));
  EXPECT_EQ(fill(at("link")), "");
  EXPECT_EQ(fill(at("link/")), "");
  EXPECT_TRUE(fs::is_symlink(at("link")));
  EXPECT_THAT(names("there"), ElementsAre("config.json", "weights"));
  fs::create_symlink("disk/later", at("dangling"));
  EXPECT_EQ(fill(at("dangling")), "");
  EXPECT_TRUE(fs::is_symlink(at("dangling")));
  EXPECT_THAT(names("disk/later"), ElementsAre("config.json", "weights"));
}

TEST_F(AtomicFolders, TellsEarlyWhatCannotBeMade) {
  std::ofstream(at("file")) << "old";
  EXPECT_THAT(fill(at("file")), HasSubstr("file: cannot make the folder: Not a directory; "));
  EXPECT_THAT(fill(at("file/below")), HasSubstr("cannot make the folder"));
  EXPECT_THAT(fill(""), HasSubstr("is empty"));
  EXPECT_FALSE(refuse_used_folder(at("file")).ok());
  EXPECT_FALSE(refuse_used_folder(folder_.string()).ok());
  fs::create_directory(at("empty"));
  EXPECT_TRUE(refuse_used_folder(at("empty")).ok());
  EXPECT_TRUE(refuse_used_folder(at("none")).ok());
}

TEST_F(AtomicFolders, IsNotStoppedByWhatAKilledProcessLeft) {
  fs::create_directory(at("out." + std::to_string(::getpid()) + ".partial"));
  EXPECT_EQ(fill(at("out")), "");
  EXPECT_THAT(names("out"), ElementsAre("config.json", "weights"));
}

}  // namespace
}  // namespace longhaul
