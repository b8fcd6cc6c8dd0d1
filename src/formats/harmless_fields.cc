#include "formats/harmless_fields.h"

#include <span>

namespace longhaul {
namespace {

// Words with spaces between.
using Words = std::string_view;

struct Rule {
  const char* reason;
  Words words;
};

// By the whole name.
constexpr Rule kByName[] = {
    {"says who saved it, and from what",
     "architectures author authors auto_map base_model base_model_name base_model_name_or_path "
     "base_model_revision created_at created_by creator custom_pipelines date description "
     "finetuned "
     "finetuned_from language languages library_name license license_link license_name model_id "
     "model_name model_version name_or_path organization parent_model pipeline_tag pretrained_path "
     "private push_to_hub quantized_by repo_id tags"},
    {"concerns training",
     "bf16 context_length fp16 fp32 gradient_accumulation_steps init_method_std init_std "
     "learning_rate "
     "max_model_len max_seq_len max_seq_length max_sequence_length max_steps model_max_length "
     "n_ctx "
     "n_positions num_train_epochs pretraining_tp random_state seed seq_aux seq_len seq_length "
     "sequence_len sequence_length task_specific_params tf32 tf_legacy_loss use_bfloat16 "
     "use_cpu_initialization weight_decay"},
    {"an interface of the reference",
     "cache_implementation chunk_size_feed_forward id2label is_decoder label2id num_labels "
     "output_attentions output_hidden_states output_router_logits prefix problem_type return_dict "
     "tie_last_hidden_states torchscript use_cache use_return_dict"},
    {"how a model is spread over machines changes no result",
     "base_model_ep_plan base_model_fsdp_plan base_model_pp_plan base_model_tp_plan device "
     "device_map "
     "distributed_config ep_size load_in_4bit load_in_8bit max_memory offload_folder pp_plan "
     "pp_size "
     "tensor_parallel_size tp_plan tp_size use_kernels"},
    {"generation_config.json says how to generate",
     "bad_words_ids begin_suppress_tokens diversity_penalty do_sample early_stopping "
     "encoder_no_repeat_ngram_size encoder_repetition_penalty epsilon_cutoff eta_cutoff "
     "exponential_decay_length_penalty generation_config guidance_scale length_penalty max_length "
     "max_new_tokens min_length min_new_tokens min_p no_repeat_ngram_size num_beam_groups "
     "num_beams "
     "num_return_sequences output_scores penalty_alpha remove_invalid_values repetition_penalty "
     "return_dict_in_generate sequence_bias suppress_tokens temperature top_k top_p typical_p"},
    {"the tokenizer's files say it",
     "added_tokens add_bos_token add_eos_token chat_template pad_to_multiple_of padding_idx "
     "padding_side "
     "special_tokens special_tokens_map truncation_side vocab_file"},
    {"a text has one position a token", "mrope_interleaved mrope_section"},
};

// By the name's first word.
constexpr Rule kByFirstWord[] = {
    {"a note of the tool that wrote it",
     "abliterated accelerate adapter axolotl bnb coreml deepspeed diffusers executorch gguf "
     "heretic "
     "huggingface liger litgpt llamafactory lora megatron merge mergekit mlc mlx modelopt nemo "
     "neuron "
     "onnx onnxruntime openvino optimum peft qlora sentence sglang swift tensorrt tgi torch "
     "torchtune "
     "transformers trl unsloth vllm wandb"},
    {"of a head that is not here", "classifier labels summary"},
    {"the tokenizer's files say it", "preprocessor processor tokenizer"},
    {"concerns training", "dataset datasets eval train trainer training"},
};

// By any word of the name.
constexpr Rule kByWord[] = {
    {"training only",
     "checkpointing dropout finetune finetuning initializer jitter layerdrop loss lr optimizer "
     "pdrop warmup"},
    {"text is the only input",
     "audio boa boi eoa eoi image img mm multimodal pixel projector siglip speech video vision "
     "vit"},
    {"draft layers are not run", "draft dspark eagle medusa mtp nextn speculative speculators"},
    {"which code computes a part changes no result",
     "autoset compile compiled eager flash fused fusion implementation sdpa triton"},
};

// Parts that every family has: a config that says one is missing tells of another model.
constexpr Words kAlwaysThere =
    "causal is_causal norm_topk_prob qk_layernorm qk_norm use_causal_mask use_qk_layernorm "
    "use_qk_norm "
    "use_rope use_rotary use_rotary_embeddings";

constexpr Words kQuantised = "compression_config quantization quantization_config";

bool is_among(std::string_view word, Words words) {
  if (word.empty() || word.find(' ') != word.npos) return false;
  for (size_t at = words.find(word); at != words.npos; at = words.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || words[at - 1] == ' ') && (end == words.size() || words[end] == ' '))
      return true;
  }
  return false;
}

template <class Matches>
const char* reason_among(std::span<const Rule> rules, const Matches& matches) {
  for (const Rule& rule : rules) {
    if (matches(rule.words)) return rule.reason;
  }
  return nullptr;
}

std::string_view first_word(std::string_view name) {
  return name.substr(0, name.find_first_of("_-."));
}

bool has_word(std::string_view name, Words words) {
  for (;;) {
    const std::string_view word = first_word(name);
    if (is_among(word, words)) return true;
    if (word.size() == name.size()) return false;
    name.remove_prefix(word.size() + 1);
  }
}

bool asks_for_nothing(const Json& value) {
  if (value.as_bool() != nullptr) return !*value.as_bool();
  if (value.as_string() != nullptr) return value.as_string()->empty();
  if (value.as_array() != nullptr) return value.as_array()->empty();
  if (value.as_object() != nullptr) return value.as_object()->empty();
  return value.is_null();
}

// "pad_token_id", "image_token_index", and "pad_token" with its text.
bool names_a_token(std::string_view key, const Json& value) {
  for (const char* end : {"_token_id", "_token_ids", "_token_index"}) {
    if (key.ends_with(end)) return true;
  }
  return key.ends_with("_token") && value.as_string() != nullptr;
}

}  // namespace

const char* harmless_because(std::string_view key, const Json& value) {
  if (asks_for_nothing(value)) {
    const bool denies_a_part = value.as_bool() != nullptr && is_among(key, kAlwaysThere);
    return denies_a_part ? nullptr : "asks for nothing";
  }
  if (tells_of_quantised_weights(key)) return nullptr;
  if (key.starts_with('_')) return "a note of the code that saved it";
  if (names_a_token(key, value)) return "names a token";
  if (key == "dtype" || key.ends_with("_dtype")) return "tensors state their own dtype";
  const auto is_name = [&](Words words) { return is_among(key, words); };
  if (const char* reason = reason_among(kByName, is_name)) return reason;
  const auto begins = [&](Words words) { return is_among(first_word(key), words); };
  if (const char* reason = reason_among(kByFirstWord, begins)) return reason;
  return reason_among(kByWord, [&](Words words) { return has_word(key, words); });
}

bool tells_of_quantised_weights(std::string_view key) { return is_among(key, kQuantised); }

}  // namespace longhaul
