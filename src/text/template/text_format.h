// Text formatting: "%s" % x, "{}".format(x) and the format specification both lean on.
#pragma once

#include <string>
#include <string_view>

#include "text/template/value.h"

namespace longhaul::jinja {

Result<Value> percent_format(Run& run, const std::string& format, const Value& values);
Result<Value> brace_format(Run& run, const std::string& format, const Args& args);

}  // namespace longhaul::jinja
