#include "text/chat/python_json.h"

#include "text/template/objects.h"
#include "text/template/printing.h"
#include "text/template/rendering.h"

namespace longhaul {

Result<std::string> python_json(const Json& value) {
  jinja::Run run({}, nullptr);
  LH_TRY(const jinja::Value converted, jinja::from_json(value));
  return jinja::to_json_text(run, converted, {});
}

}  // namespace longhaul
