#include "base/notice.h"

#include <utility>

namespace longhaul {

static thread_local NoticeHandler handler_of_thread;

NoticeScope::NoticeScope(NoticeHandler handler) : before_(handler_of_thread) {
  if (handler) handler_of_thread = std::move(handler);
}

NoticeScope::~NoticeScope() { handler_of_thread = std::move(before_); }

void give_notice(const std::string& line) {
  if (handler_of_thread) handler_of_thread(line);
}

}  // namespace longhaul
