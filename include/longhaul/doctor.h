// What a download is, what is wrong with it and how to mend it, whether it fits here, and how fast
// it should be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "longhaul/fit.h"
#include "longhaul/options.h"
#include "longhaul/result.h"

namespace longhaul {

// The kinds of things that are found.
enum class Fault {
  kMissing,      // a file or a part that should be there
  kTruncated,    // a file that ends too early
  kUnfinished,   // what a downloader has not finished
  kLfsPointer,   // git's stand-in for a large file
  kWrongFile,    // something else under a model's name: a web page, an error, an archive
  kNotAModel,    // a tower, an adapter, an importance matrix: of use beside a model only
  kUnsupported,  // understood, and not something that runs here
  kDamaged,      // bytes that contradict their format, or each other
  kMismatch,     // parts that are not of one model
  kNotANumber,   // weights that are infinite or no numbers
  kZeros,        // weights that are zeros where a download was cut or never written
  kNoText,       // no tokenizer, no chat template, nothing that ends an answer
  kTooLarge,     // sound, and more than the memory
  kNotice,       // what loading tells without failing
};
const char* to_string(Fault fault);  // "git-lfs-pointer": stable

enum class Severity {
  kNote,     // nothing is wrong with the model
  kWarning,  // it loads; something is missing, or what it writes may be wrong
  kError,    // it does not load
};
const char* to_string(Severity severity);  // "note", "warning", "error"

struct Finding {
  Severity severity = Severity::kNote;
  Fault fault = Fault::kNotice;
  std::string what;    // names the file; several lines where it lists
  std::string remedy;  // what to do; may be empty of a note
};

enum class Verdict {
  kRuns,         // loads and fits, and nothing speaks against what it will write
  kRunsDamaged,  // loads and fits, but weights were found that cannot be right
  kTooLarge,     // sound, and does not fit the memory with the context asked for
  kDoesNotLoad,
};
const char* to_string(Verdict verdict);  // "runs", "runs-damaged", "too-large", "does-not-load"

// Tensors of one format and kind, or one tensor.
struct TensorRow {
  std::string
      name;  // of a kind with '*' for layers and experts: "model.layers.*.mlp.down_proj.weight"
  std::string format;               // as the files store it: "BF16", "Q4_K", "4-bit integers"
  std::vector<int64_t> shape = {};  // of one tensor
  int64_t tensors = 1;
  uint64_t elements = 0, bytes = 0;  // scales and zeros that belong to codes included

  double bits_per_element() const {
    return elements == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(elements);
  }
};

// A text that a model should have, and where it came from.
struct TextSource {
  bool is_there = false;
  std::string where;  // a file, or a file and the place in it
  std::string words;  // what it is: "262,144 tokens"
};

struct DownloadFile {
  std::string name;  // without the folder
  std::string what;  // "safetensors", "a web page"
  uint64_t bytes = 0;
};

struct Diagnosis {
  std::string path;
  Verdict verdict = Verdict::kDoesNotLoad;

  std::string container;     // "a GGUF file", "a folder of safetensors", "a folder packed as q4"
  std::string family, name;  // empty where they are not known
  std::string like;          // the bundled model that has these shapes; empty where none has
  // What the files say of themselves: ("general.quantized_by", "...").
  std::vector<std::pair<std::string, std::string>> says;
  uint64_t parameters = 0;  // 0: not known
  int64_t max_positions = 0;
  std::vector<DownloadFile> files;  // by name
  std::vector<TensorRow> formats;   // by format and kind, most bytes first
  std::vector<TensorRow> tensors;   // all of them, in order of the files
  TextSource tokenizer, chat_template, generation_defaults;
  std::vector<int32_t> stop_tokens;

  std::vector<Finding> findings;  // errors first

  // Where it loads: the context that was asked for, or the usual one, and others beside it.
  std::vector<FitRow> fits;
  size_t asked = 0;                    // the row of `fits` that the verdict goes by
  uint64_t memory = 0;                 // bytes to fit in
  int64_t largest_context = 0;         // that fits with these formats; 0: none does
  double memory_bytes_per_second = 0;  // of this machine; 0: not measured
};

struct DoctorOptions {
  LoadOptions load;  // formats, context, memory and threads that it is to run with
  // Look at every weight, which reads all files once, as loading does. Else what stands in them is
  // not known, and the verdict goes by headers alone.
  bool read_weights = true;
  bool measure = true;  // this machine, to predict speeds
};

// Never fails for what is wrong with a download: that is what it tells. Its verdict on loading is
// Model::load()'s with the same options, by the same code. kNotFound where there is nothing at
// `path`. One at a time in a process, with nothing beside it, where it measures.
Result<Diagnosis> diagnose(const std::string& path, const DoctorOptions& options = {});

struct DiagnosisText {
  bool all_tensors = false;  // list each tensor, not kinds alone
};
std::string to_text(const Diagnosis& diagnosis, const DiagnosisText& options = {});
std::string to_json(const Diagnosis& diagnosis);  // keys are stable; has every tensor

}  // namespace longhaul
