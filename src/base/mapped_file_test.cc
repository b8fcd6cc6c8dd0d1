#include "base/mapped_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <vector>

namespace longhaul {
namespace {

class MappedFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "longhaul-test-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
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
  const std::pair<size_t, size_t> ranges[] = {{0, kBytes}, {0, 0}, {0, 1}, {kBytes - 1, 1}, {kBytes, 0}, {4095, 4098}};
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
  EXPECT_NE(status.error().message.find("ends at byte 5000, it had 12293"), std::string::npos) << status.error().message;
}

}  // namespace
}  // namespace longhaul
