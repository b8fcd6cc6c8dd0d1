// The files of a download, each looked at by itself. Opening a model stops at the first problem;
// this goes on, and knows what other things lie under the names of models.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "formats/file_nature.h"

namespace longhaul {

// A tensor as its file has it.
struct ListedTensor {
  std::string name;
  const char* format = "";  // "Q4_K"
  std::vector<int64_t> shape;
  uint64_t bytes = 0;

  uint64_t elements() const;
};

struct SurveyedFile {
  std::string name;  // without the folder
  std::string path;
  FileNature nature = FileNature::kOther;
  uint64_t bytes = 0;
  std::optional<Error> problem = {};
  std::vector<ListedTensor> tensors = {};  // of weights whose header is whole
  // Texts of a GGUF file's general.* keys.
  std::vector<std::pair<std::string, std::string>> says = {};
};

// A folder's files, or one file with the other parts of a split one; by name. What downloaders keep
// of unfinished files elsewhere (a Hugging Face cache) is listed too. Empty where there is nothing.
std::vector<SurveyedFile> survey_download(const std::string& path);

}  // namespace longhaul
