// What stands between a model's tool-call markers, read in whichever of the known notations it is written:
//
//   <｜DSML｜invoke name="f"> <｜DSML｜parameter name="k" string="true">v</｜DSML｜parameter> ... </｜DSML｜invoke> ...
//   call:f{k:<|"|>v<|"|>,n:[1,true]}
//   <function=f> <parameter=k> v </parameter> ... </function>
//   {"name": "f", "arguments": {"k": "v"}}
//   f <arg_key>k</arg_key> <arg_value>v</arg_value> ...
//
// Untyped values take the type that the function's schema gives the parameter; without a schema, JSON that is no string is JSON.
#pragma once

#include <string_view>
#include <vector>

#include "longhaul/chat.h"
#include "text/chat/tools.h"

namespace longhaul {

struct ReadCalls {
  std::vector<ToolCall> calls;
  std::string_view rest;  // of the body: what is no call
};

struct CallReading {
  bool closed = true;      // the closing marker has come; without it only calls that end by themselves count: others may have been cut off
  bool bare_names = true;  // the last notation, in which any word is a call, is among the model's
};
ReadCalls read_tool_calls(std::string_view body, const CallReading& how, const Tools& tools);

}  // namespace longhaul
