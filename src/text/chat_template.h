#pragma once
#include <memory>
#include <string>
#include "base/json.h"
#include "base/result.h"
namespace longhaul {
class ChatTemplate { public: static Result<ChatTemplate> parse(std::string, std::string) { return ChatTemplate(); } Result<std::string> render(const Json&) const { return std::string(); } };
}
