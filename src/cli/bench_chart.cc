#include "cli/bench_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "longhaul/units.h"

namespace longhaul::cli {
namespace {

constexpr double kWidth = 720, kPanelHeight = 220, kLeft = 90, kRight = 30, kTop = 46, kGap = 40;

// Depths stand a doubling apart at equal distances; what is below the first power of two shown
// stands at the left edge.
class DepthAxis {
 public:
  explicit DepthAxis(const std::vector<FrontierResult>& frontiers) {
    for (const FrontierResult& f : frontiers) {
      if (f.depth > 0) low_ = std::min(low_, std::log2(static_cast<double>(f.depth)) - 1);
      high_ = std::max(high_, std::log2(std::max(2.0, static_cast<double>(f.depth))));
    }
    low_ = std::min(low_, high_ - 1);
  }
  double x(int64_t depth) const {
    const double at = depth <= 0 ? low_ : std::max(low_, std::log2(static_cast<double>(depth)));
    return kLeft + (at - low_) / (high_ - low_) * (kWidth - kLeft - kRight);
  }

 private:
  double low_ = 62, high_ = 1;
};

struct Series {
  const char* name;
  const char* style;  // SVG attributes of its line
  double (*value)(const FrontierResult&);
};

std::string decimal(double v) {
  return v >= 100 ? fmt::format("{:.0f}", v) : fmt::format("{:.3g}", v);
}
std::string bytes(double v) { return format_bytes(static_cast<uint64_t>(v)); }

// As the command line takes it: 4k is 4096.
std::string depth_label(int64_t depth) {
  constexpr int64_t kK = 1024, kM = kK * kK;
  if (depth >= kM && depth % kM == 0) return fmt::format("{}M", depth / kM);
  return depth >= kK && depth % kK == 0 ? fmt::format("{}k", depth / kK) : fmt::format("{}", depth);
}

// The names come from a checkpoint's folder.
std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

struct Panel {
  const char* title;
  std::vector<Series> series;
  std::string (*label)(double);
};

double largest(const Panel& panel, const std::vector<FrontierResult>& frontiers) {
  double most = 0;
  for (const Series& s : panel.series) {
    for (const FrontierResult& f : frontiers) most = std::max(most, s.value(f));
  }
  return most > 0 ? most : 1;
}

std::string line(const Series& s, const std::vector<FrontierResult>& frontiers,
                 const DepthAxis& axis, double top, double most) {
  std::string points, dots;
  for (const FrontierResult& f : frontiers) {
    const double value = s.value(f);
    if (value <= 0) continue;
    const double x = axis.x(f.depth), y = top + kPanelHeight * (1 - value / most / 1.08);
    points += fmt::format("{:.1f},{:.1f} ", x, y);
    dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" {}/>\n", x, y, s.style);
  }
  return fmt::format("<polyline fill=\"none\" points=\"{}\" {}/>\n", points, s.style) + dots;
}

std::string draw(const Panel& panel, const std::vector<FrontierResult>& frontiers,
                 const DepthAxis& axis, double top) {
  const double most = largest(panel, frontiers), bottom = top + kPanelHeight;
  std::string out = fmt::format("<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text>\n", kLeft,
                                top - 10, panel.title);
  for (int i = 0; i <= 4; ++i) {
    const double value = most * i / 4, y = top + kPanelHeight * (1 - value / most / 1.08);
    out += fmt::format("<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n",
                       kLeft, kWidth - kRight, y, y);
    out += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", kLeft - 8,
                       y + 4, panel.label(value));
  }
  for (const FrontierResult& f : frontiers) {
    out += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                       axis.x(f.depth), bottom + 16, depth_label(f.depth));
  }
  double x = kLeft + 260;
  for (const Series& s : panel.series) {
    out += line(s, frontiers, axis, top, most);
    if (panel.series.size() < 2) continue;
    out += fmt::format("<line x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\" {}/>", x, x + 24, top - 14,
                       top - 14, s.style);
    out += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", x + 30, top - 10, s.name);
    x += 190;
  }
  return out;
}

}  // namespace

std::string bench_chart(const BenchResults& r) {
  if (r.frontiers.empty()) return "";
  constexpr const char* kMeasured = "stroke=\"#1456a0\" stroke-width=\"2\"";
  constexpr const char* kBound = "stroke=\"#999\" stroke-width=\"2\" stroke-dasharray=\"6 4\"";
  const std::vector<Panel> panels = {
      {"decode, tokens/s",
       {{"bound of the bandwidth", kBound,
         [](const FrontierResult& f) { return f.bound_tokens_per_second(); }},
        {"measured", kMeasured,
         [](const FrontierResult& f) { return f.decode_tokens_per_second; }}},
       decimal},
      {"prefill of the last tokens, tokens/s",
       {{"", kMeasured, [](const FrontierResult& f) { return f.prefill_tokens_per_second(); }}},
       decimal},
      {"state",
       {{"", kMeasured,
         [](const FrontierResult& f) { return static_cast<double>(f.state_bytes); }}},
       bytes}};
  const DepthAxis axis(r.frontiers);
  const double height = 70 + static_cast<double>(panels.size()) * (kPanelHeight + kTop + kGap);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n",
      kWidth, height);
  out += "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  out += fmt::format("<text x=\"{}\" y=\"28\" font-size=\"16\" font-weight=\"bold\">{}</text>\n",
                     kLeft, escaped(r.model));
  out += fmt::format(
      "<text x=\"{}\" y=\"48\">{} threads, kernels {}, weights {}, state {}; over tokens of "
      "context</text>\n",
      kLeft, r.threads, r.kernels, r.weights, r.kv);
  double top = 60 + kTop;
  for (const Panel& panel : panels) {
    out += draw(panel, r.frontiers, axis, top);
    top += kPanelHeight + kTop + kGap;
  }
  return out + "</svg>\n";
}

}  // namespace longhaul::cli
