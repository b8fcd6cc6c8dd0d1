// What public objects hold, for the other files of this layer.
#pragma once

#include <memory>
#include <utility>

#include "longhaul/session.h"

namespace longhaul {

struct Access {
  static ModelParts& of(const Model& model) { return *model.parts_; }
  static Timeline& of(Session& session) { return *session.timeline_; }
  static const Timeline& of(const Session& session) { return *session.timeline_; }
  static const std::shared_ptr<const Past>& of(const Snapshot& snapshot) { return snapshot.past_; }
  static Snapshot snapshot(std::shared_ptr<const Past> past) { return Snapshot(std::move(past)); }
  static std::shared_ptr<const Model> model(std::unique_ptr<ModelParts> parts);
  static ReplyReader reader(std::unique_ptr<ReplyParser> parser);
};

}  // namespace longhaul
