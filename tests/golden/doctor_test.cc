// Downloads that went wrong, each made here from a sound one: doctor names what is wrong and how to
// mend it, and says that a model runs where Model::load loads it, and nowhere else.
#include "longhaul/doctor.h"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

#include "api/loaded_model.h"
#include "base/json.h"
#include "formats/formats_testing.h"
#include "formats/gguf_testing.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "longhaul/checkpoint.h"
#include "longhaul/model.h"
#include "testing/gguf_checkpoint.h"

namespace longhaul::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

constexpr int64_t kContext = 256;

std::string demo() { return LH_SOURCE_DIR "/models/demo"; }

LoadOptions load_options() { return {.threads = 1, .context = kContext}; }
DoctorOptions doctor_options() { return {.load = load_options(), .measure = false}; }

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A folder for one sick download, and the ways to make one.
class Ward {
 public:
  std::string at(const std::string& name) const { return folder_.path() + "/" + name; }
  void write(const std::string& name, std::string_view text) const {
    fs::create_directories(fs::path(at(name)).parent_path());
    std::ofstream(at(name), std::ios::binary) << text;
  }
  void remove(const std::string& name) const { fs::remove(at(name)); }
  void rename(const std::string& from, const std::string& to) const {
    fs::rename(at(from), at(to));
  }
  void cut(const std::string& name, uint64_t bytes) const { fs::resize_file(at(name), bytes); }
  uint64_t size(const std::string& name) const { return fs::file_size(at(name)); }

  // The demo model, whole, as the folder "m".
  std::string folder() const {
    fs::create_directories(at("m"));
    for (const char* name :
         {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
          "generation_config.json", "chat_template.jinja"})
      fs::copy_file(demo() + "/" + name, at("m/") + name);
    return at("m");
  }
  // The same in two files with an index.
  std::string shards() const {
    folder();
    const std::string whole = contents(at("m/model.safetensors"));
    const auto header = parse_safetensors_header(std::as_bytes(std::span(whole)), "demo");
    EXPECT_TRUE(header.ok());
    Json map = Json::object({});
    for (const bool second : {false, true}) {
      const std::string name =
          second ? "model-00002-of-00002.safetensors" : "model-00001-of-00002.safetensors";
      std::vector<TensorDecl> decls;
      const auto is_in = [&](const TensorInfo& t) {
        return (t.name.find("layers.") != t.name.npos) == second;
      };
      for (const TensorInfo& t : header->tensors) {
        if (is_in(t)) decls.push_back({t.name, t.dtype, t.shape});
      }
      auto writer = SafetensorsWriter::create(at("m/" + name), decls);
      EXPECT_TRUE(writer.ok());
      for (const TensorInfo& t : header->tensors) {
        if (!is_in(t)) continue;
        map.set(t.name, name);
        EXPECT_TRUE(writer->write(t.name, t.bytes).ok());
      }
      EXPECT_TRUE(writer->finish().ok());
    }
    remove("m/model.safetensors");
    write("m/model.safetensors.index.json", Json::object({{"weight_map", map}}).dump());
    return at("m");
  }
  // Bytes of a tensor of the folder's file, changed.
  void edit(const std::string& tensor, const std::function<void(std::span<char>)>& change) const {
    std::string whole = contents(at("m/model.safetensors"));
    const auto header = parse_safetensors_header(std::as_bytes(std::span(whole)), "demo");
    ASSERT_TRUE(header.ok());
    for (const TensorInfo& t : header->tensors) {
      if (t.name != tensor) continue;
      auto* begin = const_cast<char*>(reinterpret_cast<const char*>(t.bytes.data()));
      change({begin, t.bytes.size()});
      return write("m/model.safetensors", whole);
    }
    FAIL() << "no tensor " << tensor;
  }
  void set_config(const char* field, Json value) const {
    auto json = parse_json(contents(at("m/config.json")), "config.json");
    json->set(field, std::move(value));
    write("m/config.json", json->dump(2));
  }

  // A GGUF file of a small Gemma 3, changed by keys.
  std::string gguf(const std::vector<std::string>& values = {}, int parts = 1) const {
    HfCheckpoint checkpoint = read_golden("gemma/gemma3");
    checkpoint.set("query_pre_attn_scalar", *checkpoint.text_config().find("head_dim"));
    return write_gguf(checkpoint, at(parts == 1 ? "model.gguf" : "model"), parts, values);
  }
  // One that holds keys and nothing else.
  std::string keys_alone(std::vector<std::string> values) const {
    GgufTestFile file;
    file.values = std::move(values);
    write("other.gguf", file.text());
    return at("other.gguf");
  }
  std::string edited_gguf(const std::function<void(std::string&)>& change) const {
    gguf();
    std::string whole = contents(at("model.gguf"));
    change(whole);
    write("model.gguf", whole);
    return at("model.gguf");
  }

 private:
  TemporaryFolder folder_;
};

constexpr const char* kLfs =
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f"
    "32b1258daaa5e2ca24d17e2393\nsize 4976698672\n";
constexpr const char* kPage =
    "\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>...</body></html>";

// Of the demo model.
constexpr const char* kNorm = "model.layers.1.input_layernorm.weight";
constexpr const char* kMatrix = "model.layers.2.mlp.down_proj.weight";

void no_number(std::span<char> bf16) {
  bf16[8] = '\xc0';
  bf16[9] = '\x7f';
}
void infinite(std::span<char> bf16) {
  bf16[0] = '\x80';
  bf16[1] = '\x7f';
}

struct Sick {
  const char* name;
  std::string (*make)(const Ward&);
  Fault fault;
  const char* what;    // in the finding
  const char* remedy;  // likewise
  bool loads = false;
};

void PrintTo(const Sick& sick, std::ostream* out) { *out << sick.name; }

const Sick kDownloads[] = {
    // --- a folder's weights
    {"WeightsCut",
     [](const Ward& w) {
       w.folder();
       w.cut("m/model.safetensors", 1000000);
       return w.at("m");
     },
     Fault::kTruncated, "model.safetensors: tensor", "fetch it again"},
    {"WeightsCutInTheHeader",
     [](const Ward& w) {
       w.folder();
       w.cut("m/model.safetensors", 500);
       return w.at("m");
     },
     Fault::kTruncated, "header ends at byte", "fetch it again"},
    {"WeightsEmpty",
     [](const Ward& w) {
       w.folder();
       w.cut("m/model.safetensors", 0);
       return w.at("m");
     },
     Fault::kTruncated, "an empty file, 0 bytes, in the place of safetensors", "download it again"},
    {"WeightsLonger",
     [](const Ward& w) {
       w.folder();
       w.write("m/model.safetensors",
               contents(demo() + "/model.safetensors") + std::string(77, 'x'));
       return w.at("m");
     },
     Fault::kDamaged, "77 bytes behind the last tensor", "again"},
    {"WeightsAreALfsPointer",
     [](const Ward& w) {
       w.folder();
       w.write("m/model.safetensors", kLfs);
       return w.at("m");
     },
     Fault::kLfsPointer, "model.safetensors: a git-lfs pointer", "git lfs pull"},
    {"WeightsAreAWebPage",
     [](const Ward& w) {
       w.folder();
       w.write("m/model.safetensors", kPage);
       return w.at("m");
     },
     Fault::kWrongFile, "model.safetensors: a web page", "licence"},
    {"WeightsAreAnErrorMessage",
     [](const Ward& w) {
       w.folder();
       w.write("m/model.safetensors",
               "Access to model google/gemma is restricted. You must have access to it and be "
               "authenticated.");
       return w.at("m");
     },
     Fault::kWrongFile, "a server's error message", "download the file itself"},
    {"WeightsAreAZip",
     [](const Ward& w) {
       w.folder();
       w.write("m/model.safetensors",
               std::string("PK\x03\x04\x14\0\0\0", 8) + std::string(100, 'z'));
       return w.at("m");
     },
     Fault::kWrongFile, "an archive", "unpack it"},
    {"WeightsAreAPickle",
     [](const Ward& w) {
       w.folder();
       w.write("m/model.safetensors", std::string("PK\x03\x04\x14\0\0\0archive/data.pkl", 24));
       return w.at("m");
     },
     Fault::kWrongFile, "PyTorch's own format", "save_pretrained()"},
    {"PickleAlone",
     [](const Ward& w) {
       w.folder();
       w.rename("m/model.safetensors", "m/pytorch_model.bin");
       return w.at("m");
     },
     Fault::kMissing, "neither model.safetensors", "PyTorch's own format"},
    {"AdapterAlone",
     [](const Ward& w) {
       w.folder();
       w.rename("m/model.safetensors", "m/adapter_model.safetensors");
       return w.at("m");
     },
     Fault::kNotAModel, "neither model.safetensors", "LoRA adapter"},
    {"WeightsUnfinished",
     [](const Ward& w) {
       w.folder();
       w.rename("m/model.safetensors", "m/model.safetensors.part");
       return w.at("m");
     },
     Fault::kUnfinished, "model.safetensors.part: an unfinished download",
     "let the download finish"},
    {"UnfinishedInTheCacheBesideIt",
     [](const Ward& w) {
       w.folder();
       w.remove("m/model.safetensors");
       w.write("m/.cache/huggingface/download/x.abc.incomplete", "{");
       return w.at("m");
     },
     Fault::kUnfinished, "x.abc.incomplete: an unfinished download", "let the download finish"},
    {"LinkToAMissingBlob",
     [](const Ward& w) {
       w.folder();
       w.remove("m/model.safetensors");
       fs::create_symlink("../../blobs/0123", w.at("m/model.safetensors"));
       return w.at("m");
     },
     Fault::kMissing, "model.safetensors: a link to ../../blobs/0123, which is not there",
     "download the file again"},
    {"AShardIsMissing",
     [](const Ward& w) {
       w.shards();
       w.remove("m/model-00002-of-00002.safetensors");
       return w.at("m");
     },
     Fault::kMissing, "model-00002-of-00002.safetensors (", "fetch the rest"},
    {"AShardIsMissingWithoutAnIndex",
     [](const Ward& w) {
       w.shards();
       w.remove("m/model-00002-of-00002.safetensors");
       w.remove("m/model.safetensors.index.json");
       return w.at("m");
     },
     Fault::kMissing, "1 of 2 shards are there", "fetch the rest"},
    {"AShardIsCut",
     [](const Ward& w) {
       w.shards();
       w.cut("m/model-00001-of-00002.safetensors", 70000);
       return w.at("m");
     },
     Fault::kTruncated, "model-00001-of-00002.safetensors: tensor", "fetch it again"},
    {"TheIndexNamesAnotherTensor",
     [](const Ward& w) {
       w.shards();
       std::string index = contents(w.at("m/model.safetensors.index.json"));
       index.insert(index.find("{\"model") + 1,
                    "\"model.extra.weight\":\"model-00001-of-00002.safetensors\",");
       w.write("m/model.safetensors.index.json", index);
       return w.at("m");
     },
     Fault::kDamaged, "no tensor 'model.extra.weight'", "download both again"},
    {"TheIndexIsAWebPage",
     [](const Ward& w) {
       w.shards();
       w.write("m/model.safetensors.index.json", kPage);
       return w.at("m");
     },
     Fault::kWrongFile, "index.json: a web page, ", "licence"},
    {"AWrongDtypeInTheHeader",
     [](const Ward& w) {
       w.folder();
       std::string whole = contents(w.at("m/model.safetensors"));
       whole.replace(whole.find("\"BF16\""), 6, "\"F64\" ");
       w.write("m/model.safetensors", whole);
       return w.at("m");
     },
     Fault::kDamaged, "F64 needs", "again"},
    {"AWrongDtypeOfTheSameSize",
     [](const Ward& w) {
       w.folder();
       std::string whole = contents(w.at("m/model.safetensors"));
       whole.replace(whole.find("\"BF16\""), 6, "\"I16\" ");
       w.write("m/model.safetensors", whole);
       return w.at("m");
     },
     Fault::kMismatch, "has dtype I16, expected F32, F16 or BF16", "of one model"},
    {"ANormIsNoNumber",
     [](const Ward& w) {
       w.folder();
       w.edit(kNorm, no_number);
       return w.at("m");
     },
     Fault::kNotANumber,
     "tensor 'model.layers.1.input_layernorm.weight': element 4 is infinite or no number",
     "download the file again"},
    {"AMatrixIsNoNumber",
     [](const Ward& w) {
       w.folder();
       w.edit(kMatrix, no_number);
       return w.at("m");
     },
     Fault::kNotANumber, "down_proj.weight': element 4 is infinite", "download the file again"},
    {"AMatrixIsInfinite",
     [](const Ward& w) {
       w.folder();
       w.edit(kMatrix, infinite);
       return w.at("m");
     },
     Fault::kNotANumber, "down_proj.weight': element 0 is infinite", "download the file again"},
    {"ATableIsNoNumber",
     [](const Ward& w) {
       w.folder();
       w.edit("model.embed_tokens_per_layer.weight", no_number);
       return w.at("m");
     },
     Fault::kNotANumber, "in row 0", "download the file again", true},
    {"TheEndIsZeros",
     [](const Ward& w) {
       w.folder();
       const uint64_t bytes = w.size("m/model.safetensors");
       w.cut("m/model.safetensors", bytes - 200000);
       w.cut("m/model.safetensors", bytes);
       return w.at("m");
     },
     Fault::kZeros, "bytes of its tensors are zeros", "fetch the file again", true},
    {"AMatrixIsZeros",
     [](const Ward& w) {
       w.folder();
       w.edit(kMatrix, [](std::span<char> bytes) { std::fill(bytes.begin(), bytes.end(), '\0'); });
       return w.at("m");
     },
     Fault::kZeros, "down_proj.weight' is all zeros", "download the file again", true},
    // --- its texts
    {"NoConfig",
     [](const Ward& w) {
       w.folder();
       w.remove("m/config.json");
       return w.at("m");
     },
     Fault::kMissing, "config.json: not there", "download the model's config.json"},
    {"NothingAtAll",
     [](const Ward& w) {
       fs::create_directories(w.at("m"));
       return w.at("m");
     },
     Fault::kMissing, "config.json: not there", "download"},
    {"TheConfigIsAWebPage",
     [](const Ward& w) {
       w.folder();
       w.write("m/config.json", kPage);
       return w.at("m");
     },
     Fault::kWrongFile, "config.json: a web page", "licence"},
    {"TheConfigIsAnError",
     [](const Ward& w) {
       w.folder();
       w.write("m/config.json", "{\"error\":\"Repository not found\"}");
       return w.at("m");
     },
     Fault::kWrongFile, "config.json: a server's error message", "download the file itself"},
    {"TheConfigIsCut",
     [](const Ward& w) {
       w.folder();
       w.cut("m/config.json", 400);
       return w.at("m");
     },
     Fault::kDamaged, "config.json", "again"},
    {"AnotherArchitecture",
     [](const Ward& w) {
       w.folder();
       w.set_config("model_type", "llama");
       return w.at("m");
     },
     Fault::kUnsupported, "model_type 'llama' is not supported", "use a model of one of these"},
    {"TheConfigOfALargerModel",
     [](const Ward& w) {
       w.folder();
       w.set_config("hidden_size", 256);
       return w.at("m");
     },
     Fault::kMismatch, "the checkpoint does not fit its config",
     "config.json and the weights are of one model"},
    {"AnUnknownQuantisation",
     [](const Ward& w) {
       w.folder();
       w.set_config("quantization_config", Json::object({{"quant_method", "exl3"}}));
       return w.at("m");
     },
     Fault::kUnsupported, "exl3", ""},
    {"NoTokenizer",
     [](const Ward& w) {
       w.folder();
       w.remove("m/tokenizer.json");
       return w.at("m");
     },
     Fault::kNoText, "tokenizer.json: no tokenizer", "tokenizer.json", true},
    {"TheTokenizerIsCut",
     [](const Ward& w) {
       w.folder();
       w.cut("m/tokenizer.json", 20000);
       return w.at("m");
     },
     Fault::kDamaged, "tokenizer.json", "again"},
    {"TheTokenizerIsALfsPointer",
     [](const Ward& w) {
       w.folder();
       w.write("m/tokenizer.json", kLfs);
       return w.at("m");
     },
     Fault::kLfsPointer, "tokenizer.json: a git-lfs pointer", "git lfs pull"},
    {"TheTokenizerOfAnotherModel",
     [](const Ward& w) {
       w.folder();
       fs::copy_file(LH_SOURCE_DIR "/tests/golden/text/small_byte_level.tokenizer.json",
                     w.at("m/tokenizer.json"), fs::copy_options::overwrite_existing);
       return w.at("m");
     },
     Fault::kMismatch, "the model's vocabulary 2560", "the tokenizer that belongs to the model",
     true},
    {"TheTemplateIsCut",
     [](const Ward& w) {
       w.folder();
       w.write("m/chat_template.jinja", "{% for message in messages %}{{ message");
       return w.at("m");
     },
     Fault::kDamaged, "chat_template.jinja", "--chat-template"},
    {"NoTemplate",
     [](const Ward& w) {
       w.folder();
       w.remove("m/chat_template.jinja");
       return w.at("m");
     },
     Fault::kNoText, "no chat template", "--chat-template FILE", true},
    {"TheGenerationConfigIsCut",
     [](const Ward& w) {
       w.folder();
       w.cut("m/generation_config.json", 60);
       return w.at("m");
     },
     Fault::kDamaged, "generation_config.json", "again"},
    // --- one file
    {"AFileOfAFolder",
     [](const Ward& w) {
       w.folder();
       return w.at("m/model.safetensors");
     },
     Fault::kMissing, "config.json: not there", "give the folder that it is in"},
    {"AnUnfinishedFile",
     [](const Ward& w) {
       w.gguf();
       w.cut("model.gguf", 9000);
       w.rename("model.gguf", "model.gguf.crdownload");
       return w.at("model.gguf.crdownload");
     },
     Fault::kUnfinished, "model.gguf.crdownload: an unfinished download", "do not rename it"},
    {"GgufCut",
     [](const Ward& w) {
       w.gguf();
       w.cut("model.gguf", w.size("model.gguf") - 5000);
       return w.at("model.gguf");
     },
     Fault::kTruncated, "model.gguf: tensor", "fetch it again"},
    {"GgufCutInTheHeader",
     [](const Ward& w) {
       w.gguf();
       w.cut("model.gguf", 300);
       return w.at("model.gguf");
     },
     Fault::kTruncated, "but the file ends after", "fetch it again"},
    {"GgufIsAWebPage",
     [](const Ward& w) {
       w.write("model.gguf", kPage);
       return w.at("model.gguf");
     },
     Fault::kWrongFile, "model.gguf: a web page", "licence"},
    {"GgufIsALfsPointer",
     [](const Ward& w) {
       w.write("model.gguf", kLfs);
       return w.at("model.gguf");
     },
     Fault::kLfsPointer, "model.gguf: a git-lfs pointer", "git lfs pull"},
    {"GgufIsOfBeforeGguf",
     [](const Ward& w) {
       w.write("model.gguf", "tjgg" + std::string(60, '\1'));
       return w.at("model.gguf");
     },
     Fault::kWrongFile, "of before GGUF", "get a GGUF file of the model"},
    {"GgufIsSafetensors",
     [](const Ward& w) {
       fs::copy_file(demo() + "/model.safetensors", w.at("model.gguf"));
       return w.at("model.gguf");
     },
     Fault::kDamaged, "holds safetensors, not GGUF", ".safetensors"},
    {"GgufVersion1", [](const Ward& w) { return w.edited_gguf([](std::string& f) { f[4] = 1; }); },
     Fault::kUnsupported, "GGUF version 1", "get a newer file"},
    {"GgufBigEndian",
     [](const Ward& w) {
       return w.edited_gguf([](std::string& f) {
         f[4] = 0;
         f[7] = 3;
       });
     },
     Fault::kUnsupported, "a big-endian file", "get the little-endian one"},
    {"APartIsMissing",
     [](const Ward& w) {
       w.gguf({}, 3);
       w.remove("model-00002-of-00003.gguf");
       return w.at("model-00001-of-00003.gguf");
     },
     Fault::kMissing, "1 of 3 parts are missing: model-00002-of-00003.gguf", "fetch the rest"},
    {"APartIsCut",
     [](const Ward& w) {
       w.gguf({}, 3);
       w.cut("model-00002-of-00003.gguf", 2000);
       return w.at("model-00001-of-00003.gguf");
     },
     Fault::kTruncated, "model-00002-of-00003.gguf", "fetch it again"},
    {"ATowerAlone",
     [](const Ward& w) { return w.keys_alone({gguf_text("general.architecture", "clip")}); },
     Fault::kNotAModel, "a tower for images or sound", "give the model's file"},
    {"AnAdapterAlone",
     [](const Ward& w) {
       return w.keys_alone(
           {gguf_text("general.architecture", "gemma3"), gguf_text("general.type", "adapter")});
     },
     Fault::kNotAModel, "general.type 'adapter'", "give the model's file"},
    {"AnImportanceMatrix",
     [](const Ward& w) { return w.keys_alone({gguf_text("general.type", "imatrix")}); },
     Fault::kNotAModel, "general.type 'imatrix'", "give the model's file"},
    {"AnotherArchitectureInGguf",
     [](const Ward& w) { return w.keys_alone({gguf_text("general.architecture", "llama")}); },
     Fault::kUnsupported, "general.architecture 'llama' is not supported",
     "use a file of one of these"},
    {"AKeyIsMissing", [](const Ward& w) { return w.gguf({raw_string("gemma3.embedding_length")}); },
     Fault::kDamaged, "gemma3.embedding_length", ""},
    {"GgufEndsInZeros",
     [](const Ward& w) {
       w.gguf();
       const uint64_t bytes = w.size("model.gguf");
       w.cut("model.gguf", bytes - 30000);
       w.cut("model.gguf", bytes);
       return w.at("model.gguf");
     },
     Fault::kZeros, "bytes of its tensors are zeros", "fetch the file again", true},
    {"SeveralModels",
     [](const Ward& w) {
       w.gguf();
       fs::create_directories(w.at("g"));
       w.rename("model.gguf", "g/a.gguf");
       fs::copy_file(w.at("g/a.gguf"), w.at("g/b.gguf"));
       return w.at("g");
     },
     Fault::kDamaged, "holds several models", "a.gguf, b.gguf"},
    {"NormsWithoutTheirOne",
     [](const Ward& w) {
       HfCheckpoint c = read_golden("gemma/gemma3");
       c.set("query_pre_attn_scalar", *c.text_config().find("head_dim"));
       for (auto& [name, tensor] : c.tensors) {
         if (name.find("input_layernorm") == name.npos) continue;
         for (size_t i = 0; i < tensor.bytes.size(); i += 4) {
           const float less = -0.9f;
           std::memcpy(tensor.bytes.data() + i, &less, 4);
         }
       }
       return write_gguf(c, w.at("model.gguf"));
     },
     Fault::kDamaged, "attn_norm", ""},
};

class Doctor : public ::testing::TestWithParam<Sick> {
 protected:
  Ward ward_;
};

TEST_P(Doctor, NamesWhatIsWrongAndWhetherItLoads) {
  const Sick& sick = GetParam();
  const std::string path = sick.make(ward_);
  const auto found = diagnose(path, doctor_options());
  ASSERT_TRUE(found.ok()) << found.error().text();
  SCOPED_TRACE(to_text(*found));
  const bool is_named =
      std::any_of(found->findings.begin(), found->findings.end(), [&](const Finding& f) {
        return f.fault == sick.fault && f.what.find(sick.what) != f.what.npos &&
               f.remedy.find(sick.remedy) != f.remedy.npos && !f.remedy.empty();
      });
  EXPECT_TRUE(is_named) << sick.what;
  const auto loaded = Model::load(path, load_options());
  EXPECT_EQ(loaded.ok(), sick.loads) << (loaded.ok() ? "" : loaded.error().text());
  EXPECT_EQ(found->verdict != Verdict::kDoesNotLoad, loaded.ok());
  const bool has_error =
      !found->findings.empty() && found->findings.front().severity == Severity::kError;
  EXPECT_EQ(has_error, !loaded.ok());
  EXPECT_TRUE(parse_json(to_json(*found), "json").ok());
}

INSTANTIATE_TEST_SUITE_P(Downloads, Doctor, ::testing::ValuesIn(kDownloads),
                         [](const auto& info) { return std::string(info.param.name); });

// --- sound ones ----------------------------------------------------------------------------------

TEST(DoctorOnSound, SaysWhatAFolderIs) {
  const auto d = diagnose(demo(), doctor_options());
  ASSERT_TRUE(d.ok()) << d.error().text();
  EXPECT_EQ(d->verdict, Verdict::kRuns);
  EXPECT_THAT(d->findings, IsEmpty());
  EXPECT_EQ(d->container, "a folder of safetensors");
  EXPECT_TRUE(d->tokenizer.is_there && d->chat_template.is_there &&
              d->generation_defaults.is_there);
  uint64_t bytes = 0, elements = 0;
  for (const TensorRow& t : d->tensors) {
    EXPECT_EQ(t.format, "BF16");
    bytes += t.bytes;
    elements += t.elements;
  }
  uint64_t of_kinds = 0;
  for (const TensorRow& t : d->formats) of_kinds += t.bytes;
  EXPECT_EQ(of_kinds, bytes);
  EXPECT_EQ(bytes, 2 * elements);
}

TEST(DoctorOnSound, PricesTheRequestAsRunDoes) {
  const auto model = Model::load(demo(), load_options());
  ASSERT_TRUE(model.ok());
  const uint64_t needed = (*model)->plan().total_bytes;
  for (const bool fits : {true, false}) {
    DoctorOptions options = doctor_options();
    options.load.memory_limit = fits ? needed : needed - 1;
    const auto d = diagnose(demo(), options);
    ASSERT_TRUE(d.ok());
    EXPECT_EQ(d->fits.at(d->asked).total_bytes, needed);
    EXPECT_EQ(d->fits.at(d->asked).fits, fits);
    EXPECT_EQ(d->verdict, fits ? Verdict::kRuns : Verdict::kTooLarge);
    EXPECT_EQ(Model::load(demo(), options.load).ok(), fits);
  }
}

TEST(DoctorOnSound, ReadsHeadersAloneWhereAsked) {
  const Ward ward;
  ward.folder();
  ward.edit(kNorm, no_number);
  DoctorOptions options = doctor_options();
  options.read_weights = false;
  const auto d = diagnose(ward.at("m"), options);
  ASSERT_TRUE(d.ok());
  EXPECT_EQ(d->verdict, Verdict::kRuns);
}

TEST(DoctorOnSound, KnowsAPackedFolderAndAGgufFile) {
  const Ward ward;
  ASSERT_TRUE(quantize(demo(), ward.at("q8"), {.weights = WeightPrecision::kQ8}).ok());
  const auto packed = diagnose(ward.at("q8"), doctor_options());
  ASSERT_TRUE(packed.ok());
  EXPECT_EQ(packed->verdict, Verdict::kRuns);
  EXPECT_EQ(packed->container, "a folder packed as q8");
  const auto split = diagnose(ward.gguf({}, 3), doctor_options());
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->verdict, Verdict::kRuns) << to_text(*split);
  EXPECT_EQ(split->container, "a GGUF file in 3 parts");
}

TEST(DoctorOnSound, FindsSeveralProblemsAtOnce) {
  const Ward ward;
  ward.shards();
  ward.cut("m/model-00001-of-00002.safetensors", 70000);
  ward.write("m/model-00002-of-00002.safetensors", kLfs);
  ward.cut("m/tokenizer.json", 20000);
  ward.cut("m/generation_config.json", 60);
  const auto d = diagnose(ward.at("m"), doctor_options());
  ASSERT_TRUE(d.ok());
  std::vector<Fault> errors;
  for (const Finding& f : d->findings) {
    if (f.severity == Severity::kError) errors.push_back(f.fault);
  }
  EXPECT_THAT(errors, ::testing::UnorderedElementsAre(Fault::kTruncated, Fault::kLfsPointer,
                                                      Fault::kDamaged, Fault::kDamaged))
      << to_text(*d);
}

TEST(DoctorOnSound, RefusesWhatIsNotThereAndABundledName) {
  const auto nothing = diagnose("/nowhere/at/all", doctor_options());
  ASSERT_FALSE(nothing.ok());
  EXPECT_EQ(nothing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(diagnose("gemma-4-E2B").error().text(), HasSubstr("without weights"));
}

}  // namespace
}  // namespace longhaul::testing
