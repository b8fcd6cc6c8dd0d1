// What stands between a model's tool-call markers, read in whichever of the known notations it is
// written:
//
//   <｜DSML｜invoke name="f"> <｜DSML｜parameter name="k" string="true">v</｜DSML｜parameter> ...
//   </｜DSML｜invoke> ... call:f{k:<|"|>v<|"|>,n:[1,true]} <function=f> <parameter=k> v
//   </parameter> ... </function>
//   {"name": "f", "arguments": {"k": "v"}}
//   f <arg_key>k</arg_key> <arg_value>v</arg_value> ...
//
// Slips are mended by the readers of values (loose_values.h) and of tags (tag_calls.h); here are
// those of a call as a whole.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "longhaul/chat.h"
#include "text/chat/call_text.h"
#include "text/chat/tool_list.h"

namespace longhaul {

// The calls behind an opening marker, up to the marker that closes them.
struct CallBlock {
  // kMore: the text ends before the block does, or inside of a string that holds a closing marker.
  // kNone: where a call began without its marker, it is none.
  Reading reading = Reading::kRead;
  std::vector<ToolCall> calls;
  std::vector<ReplyNote> notes;
  std::string content;  // what is no call, as it is written
  size_t length = 0;    // of the text that the block takes, its closing marker included
};

struct BlockRules {
  bool bare_names = true;  // the last notation, in which any word is a call, is among the model's
  // the text begins with a call whose opening marker is missing: one call, of a function that there
  // is
  bool unmarked = false;
};

// Reads the block that begins at the text's beginning.
CallBlock read_call_block(const CallText& text, const BlockRules& rules, const Tools& tools);

}  // namespace longhaul
