// Lines for the user about what was decided without failing. They go to the handler of the thread
// that decides: what a program gave as on_notice of the options (longhaul/options.h).
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>

namespace longhaul {

using NoticeHandler = std::function<void(std::string_view line)>;

// While it lives, this thread's notices go to the handler; an empty one leaves them where they went
// before. Without any they go nowhere.
class NoticeScope {
 public:
  explicit NoticeScope(NoticeHandler handler);
  ~NoticeScope();
  NoticeScope(const NoticeScope&) = delete;

 private:
  NoticeHandler before_;
};

void give_notice(const std::string& line);

template <class... Args>
void notice(fmt::format_string<Args...> format, Args&&... args) {
  give_notice(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace longhaul
