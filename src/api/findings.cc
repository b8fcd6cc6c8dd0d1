#include "api/findings.h"

#include <algorithm>

#include "base/printable.h"

namespace longhaul {
namespace {

Fault fault_of(FileNature nature, Fault otherwise) {
  switch (nature) {
    case FileNature::kEmpty: return Fault::kTruncated;
    case FileNature::kUnfinished: return Fault::kUnfinished;
    case FileNature::kLfsPointer: return Fault::kLfsPointer;
    case FileNature::kWebPage:
    case FileNature::kErrorMessage:
    case FileNature::kOldGgml:
    case FileNature::kPickle:
    case FileNature::kArchive: return Fault::kWrongFile;
    default: return otherwise;
  }
}

// Names in a download come from strangers, and these texts end up on terminals.
std::string visible(const std::string& text) {
  std::string out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    out += (at == 0 ? "" : "\n") + printable(text.substr(at, end - at), text.size());
    at = end + 1;
  }
  return out;
}

}  // namespace

const char* to_string(Fault fault) {
  switch (fault) {
    case Fault::kMissing: return "missing";
    case Fault::kTruncated: return "truncated";
    case Fault::kUnfinished: return "unfinished-download";
    case Fault::kLfsPointer: return "git-lfs-pointer";
    case Fault::kWrongFile: return "wrong-file";
    case Fault::kNotAModel: return "not-a-model";
    case Fault::kUnsupported: return "unsupported";
    case Fault::kDamaged: return "damaged";
    case Fault::kMismatch: return "mismatch";
    case Fault::kNotANumber: return "not-a-number";
    case Fault::kZeros: return "zeros";
    case Fault::kNoText: return "no-text";
    case Fault::kTooLarge: return "too-large";
    case Fault::kNotice: return "notice";
  }
  return "unknown";
}

const char* to_string(Severity severity) {
  switch (severity) {
    case Severity::kNote: return "note";
    case Severity::kWarning: return "warning";
    case Severity::kError: return "error";
  }
  return "unknown";
}

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kRuns: return "runs";
    case Verdict::kRunsDamaged: return "runs-damaged";
    case Verdict::kTooLarge: return "too-large";
    case Verdict::kDoesNotLoad: return "does-not-load";
  }
  return "unknown";
}

Fault Findings::fault_of(const Error& error) {
  // Readers guess so where a file ends too early.
  if (error.text().find("incomplete download?") != std::string::npos &&
      error.code == ErrorCode::kCorruptFile)
    return Fault::kTruncated;
  switch (error.code) {
    case ErrorCode::kNotFound: return Fault::kMissing;
    case ErrorCode::kUnsupported: return Fault::kUnsupported;
    case ErrorCode::kOverBudget: return Fault::kTooLarge;
    default: return Fault::kDamaged;
  }
}

void Findings::add_files(std::span<const SurveyedFile> files) {
  for (const SurveyedFile& file : files) {
    if (!file.problem) continue;
    damaged_paths_.push_back(file.path);
    of_files_.push_back({Severity::kError, longhaul::fault_of(file.nature, fault_of(*file.problem)),
                         visible(file.problem->message), visible(file.problem->remedy)});
  }
}

bool Findings::is_of_known_file(const Error& error) const {
  return std::any_of(damaged_paths_.begin(), damaged_paths_.end(),
                     [&](const std::string& path) { return error.message.starts_with(path); });
}

void Findings::add_error(const Error& error, Fault fault) {
  if (is_of_known_file(error))
    is_file_needed_ = true;
  else
    add(Severity::kError, fault, error);
}

void Findings::add(Severity severity, Fault fault, const Error& error) {
  const std::string what = visible(error.message);
  const bool is_known = std::any_of(found_.begin(), found_.end(), [&](const Finding& f) {
    return f.what == what && f.severity >= severity;
  });
  if (!is_known) found_.push_back({severity, fault, what, visible(error.remedy)});
}

bool Findings::has_errors() const {
  return is_file_needed_ || std::any_of(found_.begin(), found_.end(), [](const Finding& f) {
           return f.severity == Severity::kError;
         });
}

bool Findings::has(Severity severity, Fault fault) const {
  return std::any_of(found_.begin(), found_.end(),
                     [&](const Finding& f) { return f.severity == severity && f.fault == fault; });
}

std::vector<Finding> Findings::take(bool loads) {
  for (Finding& f : of_files_) {
    if (loads) f.severity = Severity::kNote;
    found_.push_back(std::move(f));
  }
  std::stable_sort(found_.begin(), found_.end(),
                   [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  return std::move(found_);
}

}  // namespace longhaul
