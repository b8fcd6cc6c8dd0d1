// What was mended so that a call could be read: each kind once, in words.
#pragma once

#include <cstdint>
#include <string>

namespace longhaul {

enum class Repair {
  kComma,       // missing, doubled or trailing
  kSeparator,   // '=' for ':'
  kBrackets,    // missing, superfluous or of the wrong kind
  kLostQuote,   // one quotation mark of two
  kQuotes,      // other quotation marks than the notation's
  kNoQuotes,    // text without any
  kInnerQuote,  // quotation marks inside of text, not escaped
  kEscape,      // an unknown escape, or a control character as it is
  kPython,      // True, False, None
  kRepeated,    // a parameter given twice; the later value counts
  kPrefix,      // what stands before the function's name
  kTag,         // a tag that is missing or misspelt
  kFence,       // a code fence around the call
  kMarker,      // a call's marker that is missing or repeated
  kNesting,     // arguments inside of a parameter 'arguments'
  kReasoning,   // reasoning that was not closed before the call
};

class Repairs {
 public:
  void add(Repair repair) { bits_ |= uint32_t{1} << static_cast<int>(repair); }
  void add(const Repairs& others) { bits_ |= others.bits_; }
  bool has(Repair repair) const { return (bits_ >> static_cast<int>(repair) & 1) != 0; }
  bool empty() const { return bits_ == 0; }
  std::string words() const;

 private:
  uint32_t bits_ = 0;
};

}  // namespace longhaul
