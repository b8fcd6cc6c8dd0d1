#!/usr/bin/env bash
# The command line's contract, end to end: what scripts rely on, run on the small trained model that ships with the repository.
#   command_line_test.sh PROGRAM DEMO_MODEL
# Needs bash and the tools every Debian has; where python3 is there, JSON is parsed as a whole too.
# shellcheck source=tests/e2e/prelude.sh
source "$(dirname "$0")/prelude.sh"
needs_demo

begin "run writes text"
longhaul run "$demo" -p "In the beginning" -n 40 --seed 7
expect_status 0
expect_text
cp "$work/out" "$work/first"

begin "the same seed gives the same text"
longhaul run "$demo" -p "In the beginning" -n 40 --seed 7
expect_status 0
cmp -s "$work/first" "$work/out" || fail "two runs with --seed 7 differ"

begin "the number of threads does not change the text"
longhaul run "$demo" -p "In the beginning" -n 40 --seed 7 --threads 1
cmp -s "$work/first" "$work/out" || fail "one thread gives another text"

begin "run reads its prompt from a file and from standard input"
printf 'In the beginning' >"$work/prompt"
longhaul run "$demo" -f "$work/prompt" -n 40 --seed 7
expect_status 0
cmp -s "$work/first" "$work/out" || fail "-f gives another text than -p"
longhaul run "$demo" - -n 40 --seed 7 <"$work/prompt"
expect_status 0
cmp -s "$work/first" "$work/out" || fail "standard input gives another text than -p"

begin "run --json"
longhaul run "$demo" -p "In the beginning" -n 8 --seed 7 --json
expect_status 0
expect_json

# The string under a key of the JSON on standard output, as it is written there.
string() { grep -oE "^\"$1\": \"([^\"\\\\]|\\\\.)*\"" "$work/out" | sed 's/^"[a-z_]*": //'; }

begin "run --chat --json tells reasoning, content and calls apart"
longhaul run "$demo" -p "In the beginning" -n 8 --seed 7 --chat --json
expect_status 0
expect_json
[[ $(string reasoning) == '""' && -n $(string content) && $(string content) == "$(string text)" ]] || fail "the answer is not content alone"
grep -qx '"tool_calls": \[\],' "$work/out" || fail "no list of tool calls"
[[ $(number "$work/out" prompt_tokens) == 16 ]] || fail "$(number "$work/out" prompt_tokens) tokens of prompt, expected 16 with one <bos>"
printf '{{ bos_token }}{{ messages[0].content }}{%% if enable_thinking %%}<think>{%% else %%}</think>{%% endif %%}' >"$work/thinking.jinja"
longhaul run "$demo" -p "In the beginning" -n 8 --seed 7 --chat --chat-template "$work/thinking.jinja" --thinking on --json
expect_status 0
expect_json
[[ $(string reasoning) == "$(string text)" && $(string content) == '""' ]] || fail "what follows <think> is not reasoning"
grep -q 'reasoning was cut off' "$work/err" && fail "a message about text in --json"
longhaul run "$demo" -p "In the beginning" -n 8 --seed 7 --chat --chat-template "$work/thinking.jinja" --think
expect_status 0
[[ $(tr -d '[:space:]' <"$work/out") == "" ]] || fail "reasoning on a standard output that is no terminal"
grep -q 'reasoning was cut off' "$work/err" || fail "not told that there is only reasoning"
longhaul run "$demo" -p "In the beginning" -n 8 --seed 7 --chat --chat-template "$work/thinking.jinja" --thinking off
expect_status 0
expect_text

begin "chat reads lines and answers each"
printf 'The LORD is my\nIn the beginning\n' | timeout 300 "$program" chat "$demo" -n 8 --seed 7 >"$work/out" 2>"$work/err"
status=$?
expect_status 0
expect_text

begin "a checkpoint without a template is prompted by its tokens"
mkdir "$work/dsml"
cp "$demo"/{config.json,generation_config.json,model.safetensors} "$work/dsml/"
sed 's/<bos>/<｜begin▁of▁sentence｜>/g; s/<eos>/<｜end▁of▁sentence｜>/g; s/<|turn>/<｜User｜>/g; s/<turn|>/<｜Assistant｜>/g; s/<pad>/｜DSML｜/g' \
  "$demo/tokenizer.json" >"$work/dsml/tokenizer.json"
longhaul run "$work/dsml" -p "In the beginning" -n 8 --seed 7 --chat --json
expect_status 0
expect_json
plain=$(number "$work/out" prompt_tokens)
printf '[{"name": "look", "parameters": {"type": "object"}}]' >"$work/tools.json"
longhaul run "$work/dsml" -p "In the beginning" -n 8 --chat --tools "$work/tools.json"
expect_one_clear_error
grep -q 'dsml/encoding/encoding_dsv4.py' "$work/err" || fail "the message does not name the file that is wanted"
longhaul run "$work/dsml" -p "In the beginning" -n 8 --chat --thinking max
expect_one_clear_error
mkdir "$work/dsml/encoding"
cp "$(dirname "$0")/../golden/dsml/prose.py" "$work/dsml/encoding/encoding_dsv4.py"
longhaul run "$work/dsml" -p "In the beginning" -n 8 --seed 7 --chat --tools "$work/tools.json" --thinking max --json
expect_status 0
expect_json
(($(number "$work/out" prompt_tokens) > plain + 50)) || fail "the fixed texts are not in the prompt"

begin "inspect"
longhaul inspect "$demo"
expect_status 0
expect_text
longhaul inspect "$demo" --json
expect_status 0
expect_json
longhaul inspect gemma-4-26B-A4B --json
expect_status 0
expect_json

begin "plan gives the bytes of Gemma 4 E2B's state at 128k"
longhaul plan gemma-4-E2B --context 128k --json
expect_status 0
expect_json
# 3 full layers of 2048 bytes a token, 12 rings of 512 tokens at 1024 bytes.
[[ $(number "$work/out" state_bytes) == 811597824 ]] || fail "state_bytes is $(number "$work/out" state_bytes), expected 811597824"
longhaul plan gemma-4-E2B --context 128k
expect_status 0
expect_text

begin "plan sets DeepSeek V4 beside V3.2"
longhaul plan deepseek-v4-pro --context 1M --against deepseek-v3.2 --json
expect_status 0
expect_json
# 61 rows of 656 bytes a token and as many index keys of 132.
grep -A2 '"released_growing_state_bytes"' "$work/out" | grep -q '"against": 50402951168' || fail "V3.2's released cache is not 50402951168 bytes"
longhaul plan deepseek-v4-pro --context 1M --against deepseek-v3.2
expect_status 0
expect_text
for share in "26.55 %" "26.10 %" "10.47 %" "11.47 %"; do
  grep -qF "$share" "$work/out" || fail "no share of $share"
done
longhaul plan deepseek-v4-flash --context 1M --weights released --kv released
expect_status 0
grep -qF "grows by 3,514.25 bytes a token" "$work/out" || fail "the growth in released formats is not 3,514.25 bytes"

begin "synth writes a checkpoint that runs"
longhaul synth "$demo/config.json" --out "$work/synth" --layers 2 --seed 1
expect_status 0
[[ -s $work/synth/config.json && -s $work/synth/model.safetensors ]] || fail "no config.json or model.safetensors in the folder"
for file in tokenizer.json tokenizer_config.json; do
  [[ -f $work/synth/$file ]] || cp "$demo/$file" "$work/synth/"
done
longhaul run "$work/synth" -p "In the beginning" -n 8 --seed 1
expect_status 0

begin "synth makes up a packed folder that runs as it is"
longhaul synth "$demo/config.json" --out "$work/made_up" --layers 2 --weights q4
expect_status 0
cp "$demo/tokenizer.json" "$demo/tokenizer_config.json" "$work/made_up/"
longhaul run "$work/made_up" -p "In the beginning" -n 8 --seed 1
expect_status 0

begin "an expert cache smaller than the experts gives the same text"
longhaul synth "$demo/config.json" --out "$work/experts" --layers 3 --seed 2 --set enable_moe_block=true --set num_experts=16 \
  --set top_k_experts=2 --set moe_intermediate_size=64
expect_status 0
cp "$demo/tokenizer.json" "$demo/tokenizer_config.json" "$work/experts/"
longhaul run "$work/experts" -p "In the beginning" -n 24 --seed 3 --ignore-eos
expect_status 0
cp "$work/out" "$work/resident"
longhaul run "$work/experts" -p "In the beginning" -n 24 --seed 3 --ignore-eos --expert-cache 1MB
expect_status 0
cmp -s "$work/resident" "$work/out" || fail "experts read as they are chosen give another text"
longhaul run "$work/experts" -p "In the beginning" -n 24 --seed 3 --ignore-eos --expert-cache 1MB --json
expect_json
for key in hits misses hit_rate read_bytes; do
  awk -v n="$(number "$work/out" $key)" 'BEGIN { exit !(n > 0) }' || fail "$key is $(number "$work/out" $key), expected some"
done
longhaul plan "$work/experts" --context 1k --expert-cache 1MB --json
expect_json
[[ $(number "$work/out" experts) == 48 ]] || fail "$(number "$work/out" experts) experts, expected 48"
longhaul run "$work/experts" -p "In the beginning" --expert-cache 1000
expect_one_clear_error
grep -q "bytes are the least" "$work/err" || fail "does not tell the least"
longhaul run "$demo" -p "In the beginning" --expert-cache 1GiB
expect_one_clear_error

begin "an expert cache over packed weights gives the same text"
longhaul quantize "$work/experts" --weights q4 --out "$work/packed_experts"
expect_status 0
longhaul run "$work/packed_experts" -p "In the beginning" -n 24 --seed 3 --ignore-eos
expect_status 0
cp "$work/out" "$work/resident"
longhaul run "$work/packed_experts" -p "In the beginning" -n 24 --seed 3 --ignore-eos --expert-cache 200kB
expect_status 0
cmp -s "$work/resident" "$work/out" || fail "experts read as they are chosen give another text"
longhaul run "$work/packed_experts" -p "In the beginning" -n 24 --seed 3 --ignore-eos --expert-cache 200kB --context 1k --json
expect_json
cp "$work/out" "$work/ran"
for key in hits misses read_bytes; do
  awk -v n="$(number "$work/ran" $key)" 'BEGIN { exit !(n > 0) }' || fail "$key is $(number "$work/ran" $key), expected some"
done
longhaul plan "$work/packed_experts" --context 1k --expert-cache 200kB --json
expect_json
[[ $(number "$work/out" weight_bytes) == "$(number "$work/ran" weight_bytes_resident)" ]] ||
  fail "plan says $(number "$work/out" weight_bytes) bytes of weights, run allocated $(number "$work/ran" weight_bytes_resident)"

begin "quantize writes a folder that runs as weights quantised while loading"
longhaul quantize "$demo" --weights q4 --out "$work/q4"
expect_status 0
grep -q 'mlp.down_proj.weight' "$work/out" || fail "no line for a kind of weight"
[[ -s $work/q4/config.json && -s $work/q4/tokenizer.json && -s $work/q4/chat_template.jinja ]] || fail "not all files were copied"
longhaul run "$demo" -p "In the beginning" -n 40 --seed 7 --weights q4
expect_status 0
cp "$work/out" "$work/on_the_fly"
longhaul run "$work/q4" -p "In the beginning" -n 40 --seed 7
expect_status 0
cmp -s "$work/on_the_fly" "$work/out" || fail "another text than --weights q4 gives"
longhaul score "$work/q4" -f "$demo/heldout.txt" --json
expect_status 0
bound=$(number "$demo/card.json" heldout_perplexity)
awk -v e="$bound" -v f="$(number "$work/out" perplexity)" 'BEGIN { exit !(f > 0 && f < 1.02 * e) }' || fail "q4 costs more than 2 % of perplexity"
longhaul quantize "$demo" --weights q8 --out "$work/q8" --json
expect_status 0
expect_json
awk -v e="$(number "$work/out" relative_rms_error)" 'BEGIN { exit !(e > 0 && e < 0.01) }' || fail "the error of q8 is $(number "$work/out" relative_rms_error)"
longhaul run "$work/q4" -p "In the beginning" -n 4 --json
expect_status 0
cp "$work/out" "$work/ran"
longhaul plan "$work/q4" --json
expect_status 0
grep -q '"weights": "q4"' "$work/out" || fail "plan does not price the folder's format"
for key in weight_bytes scratch_bytes; do
  allocated=$(number "$work/ran" "${key/weight_bytes/weight_bytes_resident}")
  [[ $(number "$work/out" $key) == "$allocated" ]] || fail "plan says $(number "$work/out" $key) $key, run allocated $allocated"
done
longhaul plan "$work/q4" --weights q4
expect_status 0
longhaul plan "$work/q4" --weights q8
expect_one_clear_error
longhaul quantize "$demo" --weights q4 --out "$work/q4"
expect_one_clear_error
longhaul quantize "$work/q4" --weights q8 --out "$work/again"
expect_one_clear_error
longhaul quantize "$demo" --weights q5 --out "$work/again"
expect_one_clear_error
[[ ! -e $work/again ]] || fail "something was written"
longhaul run "$work/q4" -p "In the beginning" --weights bf16
expect_one_clear_error

begin "logits of every position"
vocab=$(number "$demo/config.json" vocab_size)
printf '[2, 17, 300, 42, 17, 301, 5, 999, 1000, 1001]' >"$work/tokens.json"
longhaul logits "$work/synth" --tokens-file "$work/tokens.json" --output "$work/logits.safetensors"
expect_status 0
size=$(wc -c <"$work/logits.safetensors" 2>/dev/null || echo 0)
data=$((10 * vocab * 4))
((size > data && size < data + 1024)) || fail "$size bytes of logits, expected $data and a short header"
grep -aq '"logits"' "$work/logits.safetensors" || fail "no tensor named logits"
longhaul logits "$work/synth" --tokens-file "$work/tokens.json" --output "$work/chunked.safetensors" --chunk 3 --decode-from 7
expect_status 0
[[ $(wc -c <"$work/chunked.safetensors") == "$size" ]] || fail "chunked logits have another size"

begin "score gives the perplexity of the model's card"
longhaul score "$demo" -f "$demo/heldout.txt" --json
expect_status 0
expect_json
expected=$(number "$demo/card.json" heldout_perplexity)
found=$(number "$work/out" perplexity)
awk -v e="$expected" -v f="$found" 'BEGIN { exit !(f > 0 && (f - e) / e < 0.005 && (e - f) / e < 0.005) }' ||
  fail "perplexity $found, the card says $expected"

begin "--set gives what the edited config.json gives"
cat >"$work/laguna.json" <<'JSON'
{"model_type": "laguna", "vocab_size": 1024, "hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
 "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"], "num_experts": 4,
 "num_experts_per_tok": 2, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8, "rope_parameters": {"full_attention":
 {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32, "attention_factor": 1.0}}}
JSON
longhaul synth "$work/laguna.json" --out "$work/laguna" --seed 1 --dtype f32
expect_status 0
cp -r "$work/laguna" "$work/edited"
sed -i 's/"attention_factor": 1.0/"attention_factor": 2.5/; s/"sliding_window": 8/"sliding_window": 4/' "$work/edited/config.json"
cmp -s "$work/laguna/config.json" "$work/edited/config.json" && fail "the config was not edited"
laguna_logits() { longhaul logits "$1" --tokens-file "$work/tokens.json" --output "$work/$2.safetensors" --weights f32 --kv f32 "${@:3}"; }
laguna_logits "$work/laguna" plain
expect_status 0
laguna_logits "$work/edited" edited
expect_status 0
laguna_logits "$work/laguna" set --set rope_parameters.full_attention.attention_factor=2.5 --set=sliding_window=4
expect_status 0
cmp -s "$work/edited.safetensors" "$work/set.safetensors" || fail "--set gives other logits than the edited config"
cmp -s "$work/plain.safetensors" "$work/set.safetensors" && fail "--set changes no logits"
answer_is_the_edited_configs() {
  longhaul "$@" --json "$work/edited"
  sed 's/"name": "edited"/"name": "laguna"/' "$work/out" >"$work/expected"
  longhaul "$@" --json --set sliding_window=4 "$work/laguna"
  expect_status 0
  cmp -s "$work/expected" "$work/out" || fail "$1: --set gives another answer than the edited config"
}
answer_is_the_edited_configs plan --context 64k --memory 1GiB
answer_is_the_edited_configs inspect
longhaul synth "$work/laguna.json" --out "$work/written" --dtype f32 --set rope_parameters.full_attention.attention_factor=2.5
expect_status 0
grep -q '"attention_factor": 2.5' "$work/written/config.json" || fail "synth does not write what was set"

begin "hyper-connections and compressed attention: synth, run, logits, inspect"
cat >"$work/compressed.json" <<JSON
{"model_type": "deepseek_v4", "vocab_size": $vocab, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "head_dim": 16,
 "qk_rope_head_dim": 4, "q_lora_rank": 16, "o_groups": 2, "o_lora_rank": 8, "sliding_window": 8, "index_n_heads": 2, "index_head_dim": 16,
 "index_topk": 3, "compress_ratios": [0, 4, 128, 4, 0], "num_hash_layers": 2, "n_routed_experts": 4, "num_experts_per_tok": 2,
 "moe_intermediate_size": 16, "max_position_embeddings": 4096}
JSON
longhaul synth "$work/compressed.json" --out "$work/compressed" --seed 1
expect_status 0
cp "$demo/tokenizer.json" "$demo/tokenizer_config.json" "$work/compressed/"
longhaul run "$work/compressed" -p "In the beginning" -n 150 --seed 1 --stats
expect_status 0
expect_text
longhaul logits "$work/compressed" --tokens-file "$work/tokens.json" --output "$work/compressed.safetensors"
expect_status 0
[[ $(wc -c <"$work/compressed.safetensors") == "$size" ]] || fail "logits of another size"
longhaul logits "$work/compressed" --tokens-file "$work/tokens.json" --output "$work/compressed.safetensors" --chunk 3 --decode-from 7
expect_status 0
begin "weights as released, packed: the logits of the checkpoint's own types"
released_sizes=(--set hidden_size=64 --set q_lora_rank=32 --set moe_intermediate_size=32 --set o_lora_rank=32)
longhaul synth "$work/compressed.json" --out "$work/released" --seed 1 --dtype released "${released_sizes[@]}"
expect_status 0
longhaul quantize "$work/released" --weights released --out "$work/packed_released"
expect_status 0
for folder in released packed_released; do
  longhaul logits "$work/$folder" --tokens-file "$work/tokens.json" --output "$work/$folder.safetensors"
  expect_status 0
done
cmp -s "$work/released.safetensors" "$work/packed_released.safetensors" || fail "other logits than those of the checkpoint"
longhaul plan "$work/released" --context 1k --json
cp "$work/out" "$work/planned"
longhaul plan "$work/packed_released" --context 1k --json
expect_status 0
grep -q '"weights": "released"' "$work/out" || fail "plan does not price the folder's format"
[[ $(number "$work/out" total_bytes) == "$(number "$work/planned" total_bytes)" ]] || fail "packed weights have another plan"
longhaul synth "$work/packed_released" --out "$work/plain_again" --seed 1
expect_status 0
longhaul logits "$work/plain_again" --tokens-file "$work/tokens.json" --output "$work/plain_again.safetensors"
expect_status 0

begin "inspect shows streams and entries"
longhaul inspect "$work/compressed"
expect_status 0
grep -q '4 residual streams joined by hyper-connections' "$work/out" || fail "no word about the streams"
grep -q 'a row every 128 tokens' "$work/out" || fail "no word about the entries"
longhaul inspect deepseek-v4-flash --json
expect_status 0
expect_json
[[ $(number "$work/out" n_streams) == 4 ]] || fail "n_streams is $(number "$work/out" n_streams), expected 4"
longhaul plan deepseek-v4-flash --context 1M --json
expect_status 0
# The cost tests hold it to an independent calculator.
[[ $(number "$work/out" state_bytes) == 7220284416 ]] || fail "state_bytes is $(number "$work/out" state_bytes), expected 7220284416"

begin "another architecture of a known name is refused with the reason"
printf '{"model_type": "deepseek_v41", "text_config": {"model_type": "deepseek_v41_text"}}' >"$work/v41.json"
longhaul inspect "$work/v41.json"
expect_one_clear_error
grep -q 'another architecture than V4' "$work/err" || fail "the message gives no reason"

begin "an unknown model is one clear error"
longhaul run "$work/nowhere" -p "In the beginning"
expect_one_clear_error
grep -q nowhere "$work/err" || fail "the message does not name the model"

begin "a damaged model is one clear error"
mkdir "$work/damaged"
cp "$demo"/*.json "$work/damaged/"
head -c 100000 "$demo/model.safetensors" >"$work/damaged/model.safetensors"
longhaul run "$work/damaged" -p "In the beginning"
expect_one_clear_error
grep -q model.safetensors "$work/err" || fail "the message does not name the file"

begin "an unknown flag, command or value is refused"
longhaul run "$demo" -p "In the beginning" --no-such-flag
expect_status 2
longhaul no-such-command
expect_status 2
longhaul plan gemma-4-E2B --context twelve
expect_status 2

begin "help"
longhaul --help
expect_status 0
expect_text

finish
