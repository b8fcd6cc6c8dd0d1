#include "text/chat/repairs.h"

#include <iterator>

namespace longhaul {

std::string Repairs::words() const {
  static constexpr const char* kWords[] = {
      "a comma missing or too many",
      "'=' for ':'",
      "brackets missing, too many or of another kind",
      "a lost quotation mark",
      "other quotation marks",
      "text without quotation marks",
      "quotation marks inside of text",
      "an unknown escape or a raw control character",
      "Python's True, False or None",
      "a parameter given twice",
      "a wrong beginning of the call",
      "a tag missing or misspelt",
      "a code fence around the call",
      "a call's marker missing or repeated",
      "arguments inside of 'arguments'",
      "reasoning that was not closed",
  };
  std::string out;
  for (size_t i = 0; i < std::size(kWords); ++i) {
    if (!has(static_cast<Repair>(i))) continue;
    if (!out.empty()) out += "; ";
    out += kWords[i];
  }
  return out;
}

}  // namespace longhaul
