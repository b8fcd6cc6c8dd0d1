// A session in a file: tokens, logits of the last, the program's note, and the sequence's state.
#pragma once

#include <memory>
#include <string>

#include "api/timeline.h"

namespace longhaul {

Status write_session_file(const Timeline& timeline, const std::string& path);
// max_tokens: that the timeline may hold; 0: the model's context.
Result<std::unique_ptr<Timeline>> read_session_file(std::shared_ptr<const Model> model,
                                                    const std::string& path, int64_t max_tokens);
// What stands in front of the sequence's state, in a file that is whole that far.
struct SessionFront {
  uint64_t fingerprint = 0;  // of the model
  std::vector<int32_t> tokens;
  std::vector<float> logits;
  std::vector<char> note;
  std::span<const std::byte> sequence;  // behind it, not looked at
};
Result<SessionFront> parse_session_front(std::span<const std::byte> bytes, std::string_view where);
// A session from a file's bytes.
Result<std::unique_ptr<Timeline>> parse_session(std::shared_ptr<const Model> model,
                                                std::span<const std::byte> bytes,
                                                std::string_view where, int64_t max_tokens);

}  // namespace longhaul
