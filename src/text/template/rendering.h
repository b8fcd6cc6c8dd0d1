// One rendering's budget and the makers of its values: whatever a template asks for is paid here.
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "text/template/limits.h"
#include "text/template/value.h"

namespace longhaul::jinja {

using Clock = std::function<std::tm()>;

class Run {
 public:
  Run(const TemplateLimits& limits, Clock clock) : limits_(limits), clock_(std::move(clock)) {}
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // Pays for n units of work; also the place where too much live memory is noticed.
  Status work(uint64_t n = 1);
  // Asked before a string or list of that many bytes is built from smaller ones.
  Status check_size(uint64_t bytes) const;
  const TemplateLimits& limits() const { return limits_; }
  const Clock& clock() const { return clock_; }
  Account* account() { return &account_; }

  Value text(std::string s) { return Value(std::make_shared<const Text>(&account_, std::move(s))); }
  Result<Value> seq(SeqKind kind, std::vector<Value> items, std::string label = {});
  Result<Value> list(std::vector<Value> items) { return seq(SeqKind::kList, std::move(items)); }
  Result<Value> tuple(std::vector<Value> items) { return seq(SeqKind::kTuple, std::move(items)); }
  Result<Value> generator(std::vector<Value> items) {
    return seq(SeqKind::kGenerator, std::move(items));
  }
  Result<Value> dict(std::vector<Dict::Item> items);
  // An object that may come to hold itself. It lives as long as the Run.
  Value keep(std::shared_ptr<Object> object);

  // Nesting of statements, expressions and calls.
  class Depth {
   public:
    explicit Depth(Run& run) : run_(run) { ++run_.depth_; }
    ~Depth() { --run_.depth_; }
    Status check() const;

   private:
    Run& run_;
  };

 private:
  Account account_;  // first: every value made here refers to it until it goes
  TemplateLimits limits_;
  Clock clock_;
  uint64_t steps_ = 0;
  int depth_ = 0;
  std::vector<std::shared_ptr<Object>> kept_;
};

}  // namespace longhaul::jinja
