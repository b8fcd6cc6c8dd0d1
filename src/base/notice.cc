#include "base/notice.h"

#include <mutex>
#include <utility>

#include "longhaul/process.h"

namespace longhaul {
namespace {

struct Notices {
  std::mutex mutex;
  std::function<void(std::string_view)> handler;
};

Notices& notices() {
  static Notices all;
  return all;
}

}  // namespace

void set_notice_handler(std::function<void(std::string_view line)> handler) {
  const std::lock_guard lock(notices().mutex);
  notices().handler = std::move(handler);
}

void give_notice(const std::string& line) {
  const std::lock_guard lock(notices().mutex);
  if (notices().handler) notices().handler(line);
}

}  // namespace longhaul
