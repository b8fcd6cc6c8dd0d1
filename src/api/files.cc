#include "longhaul/files.h"

#include "base/atomic_file.h"
#include "base/descriptor_io.h"

namespace longhaul {

Result<std::string> read_file_of_any_kind(const std::string& path, uint64_t max_bytes) {
  return read_any_file(path, max_bytes);
}

Result<std::string> read_descriptor(int descriptor, std::string_view name, uint64_t max_bytes) {
  std::string text;
  LH_RETURN_IF_ERROR(read_all(descriptor, name, max_bytes, text));
  return text;
}

Status write_descriptor(int descriptor, std::string_view text) {
  const int error = write_all(descriptor, std::as_bytes(std::span(text)));
  if (error != 0) return io_error("", error);
  return {};
}

Error system_error(const std::string& what, int error) { return io_error(what, error); }

OutputFile::OutputFile(std::unique_ptr<AtomicFile> file) : file_(std::move(file)) {}
OutputFile::OutputFile(OutputFile&&) noexcept = default;
OutputFile& OutputFile::operator=(OutputFile&&) noexcept = default;
OutputFile::~OutputFile() = default;

Result<OutputFile> OutputFile::create(const std::string& path) {
  LH_TRY(AtomicFile file, AtomicFile::create(path));
  return OutputFile(std::make_unique<AtomicFile>(std::move(file)));
}

Status OutputFile::write(std::span<const std::byte> bytes) { return file_->write(bytes); }
Status OutputFile::commit() { return file_->commit(); }

}  // namespace longhaul
