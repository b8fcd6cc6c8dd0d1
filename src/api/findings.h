// The list of what is found about a download: each thing once, errors first.
#pragma once

#include <span>
#include <vector>

#include "base/errors.h"
#include "checkpoint/download.h"
#include "longhaul/doctor.h"

namespace longhaul {

class Findings {
 public:
  // Problems of single files. What is said of them later by who opens them is the same thing.
  void add_files(std::span<const SurveyedFile> files);
  // Something that loading fails of.
  void add_error(const Error& error) { add_error(error, fault_of(error)); }
  void add_error(const Error& error, Fault fault);
  void add_warning(const Error& error, Fault fault) { add(Severity::kWarning, fault, error); }
  void add_note(std::string what, std::string remedy = {}, Fault fault = Fault::kNotice) {
    add(Severity::kNote, fault, Error{ErrorCode::kNotFound, std::move(what), std::move(remedy)});
  }

  bool has_errors() const;
  bool has(Severity severity, Fault fault) const;
  // loads: then files with problems are none that the model is read from.
  std::vector<Finding> take(bool loads);

 private:
  static Fault fault_of(const Error& error);
  void add(Severity severity, Fault fault, const Error& error);
  bool is_of_known_file(const Error& error) const;

  std::vector<Finding> found_;
  std::vector<Finding> of_files_;
  std::vector<std::string> damaged_paths_;
  bool is_file_needed_ = false;  // one of those: loading fails of it
};

}  // namespace longhaul
