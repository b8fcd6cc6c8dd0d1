// A diagnosis for people and for programs.
#include <algorithm>
#include <iterator>

#include "base/json.h"
#include "cost/fit_report.h"
#include "cost/report_text.h"
#include "longhaul/doctor.h"
#include "longhaul/units.h"

namespace longhaul {
namespace {

using Out = std::back_insert_iterator<std::string>;

const char* sentence(Verdict verdict) {
  switch (verdict) {
    case Verdict::kRuns: return "runs here";
    case Verdict::kRunsDamaged: return "loads, and is damaged: do not trust what it writes";
    case Verdict::kTooLarge: return "sound, and too large for this memory";
    case Verdict::kDoesNotLoad: return "does not run";
  }
  return "";
}

void add_identity(Out out, const Diagnosis& d) {
  fmt::format_to(out, "{}: {}\n\n{}", d.path, sentence(d.verdict), d.container);
  if (!d.family.empty()) fmt::format_to(out, ": {}", d.family);
  if (d.parameters > 0)
    fmt::format_to(out, "{}{} parameters", d.family.empty() ? ": " : ", ",
                   format_count(static_cast<double>(d.parameters)));
  if (d.max_positions > 0)
    fmt::format_to(out, ", made for {} positions", format_tokens(d.max_positions));
  fmt::format_to(out, "\n");
  if (!d.like.empty()) fmt::format_to(out, "the shapes are those of {}\n", d.like);
  for (const auto& [key, value] : d.says) fmt::format_to(out, "  {:<28} {}\n", key, value);
}

void add_findings(Out out, const Diagnosis& d) {
  if (d.findings.empty()) return;
  constexpr size_t kIndent = 11;
  fmt::format_to(out, "\nfound\n");
  for (const Finding& f : d.findings) {
    fmt::format_to(out, "  {:<9}{}\n", to_string(f.severity), wrapped(f.what, kIndent));
    if (f.remedy.empty()) continue;
    fmt::format_to(out, "{:>{}}{}\n", "-> ", kIndent, wrapped(f.remedy, kIndent));
  }
}

struct Columns {
  size_t format = 8, name = 16;
};

void add_row(Out out, const TensorRow& t, const Columns& columns) {
  fmt::format_to(out, "  {:<{}} {:<{}} {:>6} {:>9} {:>6.2f} {:>10}\n", t.format, columns.format,
                 t.name, columns.name, t.tensors, format_count(static_cast<double>(t.elements)),
                 t.bits_per_element(), format_bytes(t.bytes));
}

// Kinds of which all together are next to nothing, norms most of all, as one row a format.
std::vector<TensorRow> without_small_kinds(const std::vector<TensorRow>& kinds, uint64_t bytes) {
  std::vector<TensorRow> rows, others;
  for (const TensorRow& kind : kinds) {
    if (kind.bytes >= bytes / 200) {
      rows.push_back(kind);
      continue;
    }
    auto it = std::find_if(others.begin(), others.end(),
                           [&](const TensorRow& row) { return row.format == kind.format; });
    if (it == others.end())
      it = others.insert(it, {.name = "(others, small)", .format = kind.format, .tensors = 0});
    it->tensors += kind.tensors;
    it->elements += kind.elements;
    it->bytes += kind.bytes;
  }
  rows.insert(rows.end(), others.begin(), others.end());
  return rows;
}

void add_tensors(Out out, const Diagnosis& d, bool all) {
  if (d.tensors.empty()) return;
  TensorRow sum{.name = "all", .format = "", .tensors = 0};
  for (const TensorRow& t : d.tensors) {
    sum.tensors += t.tensors;
    sum.elements += t.elements;
    sum.bytes += t.bytes;
  }
  const std::vector<TensorRow> rows = all ? d.tensors : without_small_kinds(d.formats, sum.bytes);
  Columns columns;
  for (const TensorRow& t : rows) {
    columns.format = std::max(columns.format, t.format.size());
    columns.name = std::max(columns.name, t.name.size());
  }
  fmt::format_to(out, "\n{:<{}} {:<{}} {:>6} {:>9} {:>6} {:>10}\n", "format", columns.format + 2,
                 "tensors", columns.name, "number", "elements", "bits", "bytes");
  for (const TensorRow& t : rows) add_row(out, t, columns);
  add_row(out, sum, columns);
}

void add_text(Out out, const char* label, const TextSource& text) {
  fmt::format_to(out, "  {:<21} {}\n", label,
                 text.is_there ? fmt::format("{} ({})", text.words, text.where) : "not there");
}

void add_texts(Out out, const Diagnosis& d) {
  if (d.family.empty()) return;
  fmt::format_to(out, "\ntexts\n");
  add_text(out, "tokenizer", d.tokenizer);
  add_text(out, "chat template", d.chat_template);
  add_text(out, "generation defaults", d.generation_defaults);
  if (!d.stop_tokens.empty())
    fmt::format_to(out, "  {:<21} {}\n", "an answer ends at", fmt::join(d.stop_tokens, ", "));
}

void add_files(Out out, const Diagnosis& d) {
  if (d.verdict != Verdict::kDoesNotLoad || d.files.empty()) return;
  fmt::format_to(out, "\nfiles\n");
  for (const DownloadFile& f : d.files)
    fmt::format_to(out, "  {:<45} {:>10}   {}\n", f.name, format_bytes(f.bytes), f.what);
}

void add_fits(Out out, const Diagnosis& d) {
  if (d.fits.empty()) return;
  fmt::format_to(out, "\nhere: {} of memory", format_bytes(d.memory));
  if (d.memory_bytes_per_second > 0)
    fmt::format_to(out, ", read at {:.1f} GB/s", d.memory_bytes_per_second / 1e9);
  fmt::format_to(out, "; weights {}, cache {}\n", d.fits.front().weights, d.fits.front().kv);
  fmt::format_to(out, "  {:<12}{:>11}  {:<10}{:>10}{:>14}{:>13}\n", "context", "memory", "",
                 "tokens/s", "first token", "prompt t/s");
  for (size_t i = 0; i < d.fits.size(); ++i) {
    const FitRow& row = d.fits[i];
    fmt::format_to(out, "{} {:<12}{:>11}  {}", i == d.asked ? ">" : " ", format_tokens(row.context),
                   format_bytes(row.total_bytes), row.fits ? "fits" : "too much");
    if (row.speed)
      fmt::format_to(out, "{:>{}.1f}{:>14}{:>13.1f}", row.speed->decode_tokens_per_second,
                     row.fits ? 16 : 12, duration_text(row.speed->first_token_seconds),
                     row.speed->prefill_tokens_per_second);
    fmt::format_to(out, "\n");
  }
  if (d.memory_bytes_per_second > 0)
    fmt::format_to(out,
                   "  speeds are predicted: decoding at the end of the context, and a prompt "
                   "that fills it\n");
}

Json finding_json(const Finding& f) {
  return Json::object({{"severity", to_string(f.severity)},
                       {"fault", to_string(f.fault)},
                       {"what", f.what},
                       {"remedy", f.remedy}});
}

Json tensor_json(const TensorRow& t, bool is_one) {
  Json row = Json::object({{"name", t.name},
                           {"format", t.format},
                           {"elements", t.elements},
                           {"bytes", t.bytes},
                           {"bits_per_element", t.bits_per_element()}});
  if (is_one)
    row.set("shape", Json::Array(t.shape.begin(), t.shape.end()));
  else
    row.set("tensors", t.tensors);
  return row;
}

Json text_json(const TextSource& text) {
  if (!text.is_there) return Json();
  return Json::object({{"where", text.where}, {"words", text.words}});
}

Json row_json(const FitRow& r) {
  Json row = Json::object({{"context", r.context}});
  add_price(row, r);
  return row;
}

Json fits_json(const Diagnosis& d) {
  if (d.fits.empty()) return Json();
  Json::Array rows;
  for (const FitRow& r : d.fits) rows.push_back(row_json(r));
  return Json::object({{"memory", d.memory},
                       {"memory_bytes_per_second",
                        d.memory_bytes_per_second > 0 ? Json(d.memory_bytes_per_second) : Json()},
                       {"weights", d.fits.front().weights},
                       {"kv", d.fits.front().kv},
                       {"largest_context", d.largest_context},
                       {"asked", row_json(d.fits[d.asked])},
                       {"contexts", std::move(rows)}});
}

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

}  // namespace

std::string to_text(const Diagnosis& d, const DiagnosisText& options) {
  std::string text;
  const Out out(text);
  add_identity(out, d);
  add_findings(out, d);
  add_files(out, d);
  add_tensors(out, d, options.all_tensors);
  add_texts(out, d);
  add_fits(out, d);
  text.pop_back();  // the last line's end
  return text;
}

std::string to_json(const Diagnosis& d) {
  Json::Array files, findings, formats, tensors, stops(d.stop_tokens.begin(), d.stop_tokens.end());
  for (const DownloadFile& f : d.files)
    files.push_back(Json::object({{"name", f.name}, {"what", f.what}, {"bytes", f.bytes}}));
  for (const Finding& f : d.findings) findings.push_back(finding_json(f));
  for (const TensorRow& t : d.formats) formats.push_back(tensor_json(t, false));
  for (const TensorRow& t : d.tensors) tensors.push_back(tensor_json(t, true));
  Json says = Json::object({});
  for (const auto& [key, value] : d.says) says.set(key, value);
  return Json::object({{"path", d.path},
                       {"verdict", to_string(d.verdict)},
                       {"container", d.container},
                       {"family", text_or_null(d.family)},
                       {"name", text_or_null(d.name)},
                       {"like", text_or_null(d.like)},
                       {"says", std::move(says)},
                       {"parameters", d.parameters},
                       {"max_positions", d.max_positions},
                       {"findings", std::move(findings)},
                       {"files", std::move(files)},
                       {"formats", std::move(formats)},
                       {"tokenizer", text_json(d.tokenizer)},
                       {"chat_template", text_json(d.chat_template)},
                       {"generation_defaults", text_json(d.generation_defaults)},
                       {"stop_tokens", std::move(stops)},
                       {"here", fits_json(d)},
                       {"tensors", std::move(tensors)}})
      .dump(2);
}

}  // namespace longhaul
