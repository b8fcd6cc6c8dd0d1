// Leftovers of trainers, mergers and exporters that real configs carry, and fields that must not be
// taken for such.

#include "formats/harmless_fields.h"

#include <gtest/gtest.h>

#include <string>

namespace longhaul {
namespace {

bool is_harmless(const char* key, const char* value) {
  const auto json = parse_json(value, key);
  EXPECT_TRUE(json.ok()) << key;
  return harmless_because(key, *json) != nullptr;
}

struct Field {
  const char *key, *value;
};

TEST(HarmlessFields, WhatToolsLeaveBehind) {
  const Field kFields[] = {
      // vllm-project/vllm #15836, eole-nlp/eole #254, modelscope/ms-swift #4844
      {"cache_implementation", R"("hybrid")"},
      {"_sliding_window_pattern", "6"},
      {"torch_dtype", R"("bfloat16")"},
      // unslothai/unsloth configs, in many repositories
      {"unsloth_fixed", "true"},
      {"unsloth_version", R"("2026.9.1")"},
      {"_unsloth_zoo_patched", "1"},
      // huggingface/optimum-neuron's list of what a config brings
      {"_attn_implementation_autoset", "true"},
      {"_commit_hash", R"("abc")"},
      {"_diffusers_version", R"("0.30")"},
      {"torchscript", "true"},
      // open-edge-platform/physical-ai-studio #939, #1076
      {"license", R"("gemma")"},
      {"push_to_hub", "true"},
      {"repo_id", R"("a/b")"},
      {"private", "true"},
      {"tags", R"(["x"])"},
      {"device", R"("cuda")"},
      // huggingface/transformers #25957
      {"finetuned", "true"},
      // exporters and other runtimes
      {"transformers.js_config", R"({"use_external_data_format": true})"},
      {"onnx_export_config", R"({"opset": 17})"},
      {"mlx_version", R"("0.31.2")"},
      {"optimum_version", R"("1.2")"},
      {"neuron", R"({"task": "text-generation"})"},
      // mergers and trainers
      {"mergekit_version", R"("0.1")"},
      {"merge_method", R"("slerp")"},
      {"lora_alpha", "32"},
      {"peft_type", R"("LORA")"},
      {"axolotl_version", R"("0.14")"},
      {"trl_version", R"("0.22.2")"},
      {"llamafactory_version", R"("0.9")"},
      {"use_liger_kernel", "false"},
      {"gradient_checkpointing", "true"},
      {"use_gradient_checkpointing", R"("unsloth")"},
      {"max_seq_length", "2048"},
      {"model_max_length", "8192"},
      {"pretraining_tp", "1"},
      {"router_z_loss_coef", "0.001"},
      {"moe_router_aux_loss", "0.01"},
      {"embd_pdrop", "0.1"},
      {"resid_pdrop", "0.0"},
      {"classifier_dropout", "0.1"},
      {"expert_dropout", "0.05"},
      {"initializer_factor", "1.0"},
      {"router_jitter_noise", "0.01"},
      {"model_name", R"("google/gemma-3-270m")"},
      {"_name_or_path", R"("./out")"},
      {"tokenizer_class", R"("GemmaTokenizer")"},
      {"pad_token", R"("<pad>")"},
      {"padding_side", R"("left")"},
      // PretrainedConfig of older versions
      {"use_bfloat16", "true"},
      {"tf_legacy_loss", "true"},
      {"is_decoder", "true"},
      {"finetuning_task", R"("sst-2")"},
      {"task_specific_params", R"({"a": {"max_length": 9}})"},
      {"num_labels", "2"},
      {"id2label", R"({"0": "LABEL_0"})"},
      {"sep_token_id", "102"},
      {"decoder_start_token_id", "0"},
      {"image_token_index", "262144"},
      {"top_k", "50"},
      {"temperature", "0.7"},
      {"num_beams", "4"},
      {"length_penalty", "1.0"},
      {"bad_words_ids", "[[1]]"},
      {"suppress_tokens", "[1, 2]"},
      {"exponential_decay_length_penalty", "[5, 1.1]"},
      {"attn_implementation", R"("flash_attention_2")"},
      {"use_flash_attn", "true"},
      {"vision_config", R"({"hidden_size": 1152})"},
      {"mm_tokens_per_image", "256"},
      {"num_nextn_predict_layers", "1"},
      {"mtp_num_hidden_layers", "1"},
      {"base_model_tp_plan", R"({"layers.*": "colwise"})"},
      {"expert_dtype", R"("fp4")"},
      {"mrope_section", "[11, 11, 10]"},
  };
  for (const Field& f : kFields)
    EXPECT_TRUE(is_harmless(f.key, f.value)) << f.key << ": " << f.value;
}

TEST(HarmlessFields, ValuesThatAskForNothing) {
  for (const char* key : {"new_trick", "quantization_config", "pruned_heads", "rope_scaling",
                          "attn_logit_softcapping", "mlp_bias", "cross_attention_hidden_size",
                          "tie_encoder_decoder", "is_encoder_decoder", "use_sliding_window"}) {
    for (const char* value : {"null", "false", "{}", "[]", "\"\""})
      EXPECT_TRUE(is_harmless(key, value)) << key << ": " << value;
  }
}

TEST(HarmlessFields, NotWhatCouldChangeResults) {
  const Field kFields[] = {
      {"attn_logit_softcapping", "50.0"},
      {"attention_bias", "true"},
      {"mlp_bias", "true"},
      {"logit_scale", "0.0625"},
      {"logits_scaling", "8.0"},
      {"residual_multiplier", "0.22"},
      {"embedding_multiplier", "12.0"},
      {"attention_multiplier", "0.0078125"},
      {"query_pre_attn_scalar", "168"},
      {"qk_norm", "true"},
      {"use_qk_norm", "true"},
      {"sliding_window_size", "4096"},
      {"use_sliding_window", "true"},
      {"max_window_layers", "28"},
      {"num_experts", "8"},
      {"num_experts_per_tok", "2"},
      {"num_experts_per_token", "2"},
      {"n_group", "8"},
      {"partial_rotary_factor", "0.5"},
      {"rope_scaling", R"({"rope_type": "linear", "factor": 2})"},
      {"attn_factor", "0.8782488562869419"},  // deepseek-ai/DeepSeek-R1 #684: a misspelt
                                              // attention_factor that others read
      {"position_embedding_type", R"("relative_key")"},
      {"alibi", "true"},
      {"parallel_residual", "true"},
      {"no_rope_layers", "[1, 1, 1, 0]"},
      {"attention_chunk_size", "8192"},
      {"hidden_act", R"("relu")"},
      {"norm_type", R"("layernorm")"},
      {"layer_norm_eps", "1e-5"},
      {"tie_word_embeddings", "true"},
      {"conv_kernel", "4"},
      {"pruned_heads", R"({"0": [1]})"},
      {"add_cross_attention", "true"},
      {"cross_attention_hidden_size", "64"},
      {"is_encoder_decoder", "true"},
      {"configuration_files", R"(["config.4.0.0.json"])"},
      {"author architectures", "1"},  // two names of a list in one
      {"", "1"},
      {"moe_layer_freq", "2"},
      {"first_k_dense_replace", "0"},
      {"new_token", "4"},  // a number is no text of a token
  };
  for (const Field& f : kFields)
    EXPECT_FALSE(is_harmless(f.key, f.value)) << f.key << ": " << f.value;
}

TEST(HarmlessFields, DenialsOfWhatEveryModelHas) {
  for (const char* key : {"is_causal", "use_qk_norm", "qk_norm", "use_rope", "norm_topk_prob"}) {
    EXPECT_FALSE(is_harmless(key, "false")) << key;
    EXPECT_TRUE(is_harmless(key, "null")) << key << ": nothing is said";
  }
}

TEST(HarmlessFields, QuantisedWeightsAreNamedAsSuch) {
  for (const char* key : {"quantization_config", "quantization", "compression_config"}) {
    EXPECT_TRUE(tells_of_quantised_weights(key));
    EXPECT_FALSE(is_harmless(key, R"({"quant_method": "bitsandbytes"})")) << key;
  }
  EXPECT_FALSE(tells_of_quantised_weights("quantized_by"));
}

}  // namespace
}  // namespace longhaul
