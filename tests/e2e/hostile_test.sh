#!/usr/bin/env bash
# Malformed folders, files and flags, end to end: each is exit status 2, one message on standard error, nothing on standard output and no
# file left behind.
#   hostile_test.sh PROGRAM DEMO_MODEL
# The model files are made here by `synth`; cases that need a tokenizer run where the demo model is checked out.
# shellcheck source=tests/e2e/prelude.sh
source "$(dirname "$0")/prelude.sh"

# refused NAME FRAGMENT ARGUMENTS...: standard input is what the caller gives.
refused() {
  local fragment=$2
  test_name=$1
  shift 2
  timeout 60 "$program" "$@" >"$work/out" 2>"$work/err"
  status=$?
  [[ $status == 2 ]] || fail "exit status $status, expected 2"
  [[ $(head -c 10 "$work/err") == "longhaul: " ]] || fail "the message does not begin with 'longhaul: '"
  [[ $(grep -c '^longhaul: ' "$work/err") == 1 ]] || fail "not exactly one message"
  grep -qF -- "$fragment" "$work/err" || fail "the message does not say '$fragment'"
  [[ ! -s $work/out ]] || fail "an error that writes to standard output"
  [[ $(wc -c <"$work/err") -lt 12000 ]] || fail "a message of $(wc -c <"$work/err") bytes"
  ! LC_ALL=C grep -q '[[:cntrl:]]' <(tr -d '\n' <"$work/err") || fail "control characters in the message"
  local left
  left=$(find "$work" -name '*.partial')
  [[ -z $left ]] || fail "left behind: $left"
}

# folder NAME: a fresh copy of the small checkpoint.
folder() {
  rm -rf "${work:?}/$1"
  cp -r "$work/tiny" "$work/$1"
  printf '%s' "$work/$1"
}

cat >"$work/tiny.json" <<'JSON'
{"model_type": "gemma4_text", "vocab_size": 2560, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
 "num_key_value_heads": 1, "head_dim": 8, "global_head_dim": 16, "sliding_window": 8, "hidden_size_per_layer_input": 0,
 "max_position_embeddings": 512}
JSON
if ! "$program" synth "$work/tiny.json" --out "$work/tiny"; then
  echo "cannot write the small checkpoint"
  exit 1
fi
printf '[1, 2, 3]' >"$work/tokens.json"
model=$work/tiny
out=$work/logits.safetensors
logits() { # logits NAME FRAGMENT MODEL [ARGUMENTS...]
  local name=$1 fragment=$2 m=$3
  shift 3
  refused "$name" "$fragment" logits "$m" --tokens-file "$work/tokens.json" --output "$out" "$@"
  [[ ! -e $out ]] || fail "an output file is there"
}

# --- folders --------------------------------------------------------------------------------------------------------

logits "no folder" "nowhere/config.json" "$work/nowhere"
mkdir "$work/empty"
logits "empty folder" "empty/config.json" "$work/empty"
logits "a file in place of a folder" "tiny.json/config.json" "$work/tiny.json"
f=$(folder config_folder); rm "$f/config.json"; mkdir "$f/config.json"
logits "config.json is a folder" "config.json" "$f"
f=$(folder config_pipe); rm "$f/config.json"; mkfifo "$f/config.json"
logits "config.json is a pipe" "not a regular file" "$f"
f=$(folder config_empty); : >"$f/config.json"
logits "config.json is empty" "config.json: not valid JSON" "$f"
f=$(folder config_binary); head -c 100000 /dev/urandom >"$f/config.json"
logits "config.json is noise" "config.json" "$f"
f=$(folder config_large); head -c 20000000 /dev/zero | tr '\0' ' ' >"$f/config.json"
logits "config.json is too large" "expected at most" "$f"
f=$(folder weights_missing); rm "$f/model.safetensors"
logits "no weights" "model.safetensors" "$f"
f=$(folder weights_cut); truncate -s -1000 "$f/model.safetensors"
logits "weights cut short" "incomplete download?" "$f"
f=$(folder weights_empty); : >"$f/model.safetensors"
logits "weights empty" "too short" "$f"
f=$(folder weights_folder); rm "$f/model.safetensors"; mkdir "$f/model.safetensors"
logits "weights are a folder" "model.safetensors" "$f"
f=$(folder index_escape); mv "$f/model.safetensors" "$work/outside.safetensors"
printf '{"weight_map": {"a": "../outside.safetensors"}}' >"$f/model.safetensors.index.json"
logits "an index that leaves its folder" "../outside.safetensors" "$f"
f=$(folder other_config); sed -i 's/"intermediate_size": [0-9]*/"intermediate_size": 32/' "$f/config.json"
logits "weights of another config" "does not fit its config" "$f"
f=$(folder generation_broken); printf '{"temperature": "hot"}' >"$f/generation_config.json"
logits "generation_config.json of wrong types" "temperature" "$f"
f=$(folder tokenizer_broken); printf '{"model": {' >"$f/tokenizer.json"
logits "tokenizer.json cut short" "tokenizer.json" "$f"
f=$(folder tokenizer_folder); mkdir "$f/tokenizer.json"
logits "tokenizer.json is a folder" "tokenizer.json" "$f"
f=$(folder tokenizer_config_broken); printf '[' >"$f/tokenizer_config.json"
logits "tokenizer_config.json cut short" "tokenizer_config.json" "$f"
f=$(folder template_broken); printf '{%% for x in y %%}' >"$f/chat_template.jinja"
logits "chat_template.jinja without its end" "chat_template.jinja" "$f"

# --- token files and outputs ----------------------------------------------------------------------------------------

tokens() { # tokens NAME FRAGMENT TEXT
  printf '%s' "$3" >"$work/bad.json"
  refused "$1" "$2" logits "$model" --tokens-file "$work/bad.json" --output "$out"
  [[ ! -e $out ]] || fail "an output file is there"
}
tokens "an id beyond the vocabulary" "2560" "[1, 2560]"
tokens "a negative id" "entry 1" "[1, -1]"
tokens "an id beyond 32 bits" "entry 0" "[4294967297]"
tokens "an id that is a fraction" "entry 0" "[1.5]"
tokens "an id that is text" "entry 0" '["1"]'
tokens "an id that is an endless list" "entry 0" "[[$(seq -s, 1 20000)]]"
tokens "no array" "expected a JSON array" '{"tokens": [1]}'
tokens "an empty array" "no tokens" "[]"
tokens "no JSON" "not valid JSON" "1, 2"
tokens "deep nesting" "nested deeper" "$(head -c 100000 /dev/zero | tr '\0' '[')"
yes 1, | head -n 3000000 | tr -d '\n' | sed 's/^/[/; s/,$/]/' >"$work/long.json"
refused "more tokens than memory" "--context" logits "$model" --tokens-file "$work/long.json" --output "$out" --memory 64MiB
refused "no token file" "nowhere.json" logits "$model" --tokens-file "$work/nowhere.json" --output "$out"
refused "an output folder that is not there" "nowhere/out" logits "$model" --tokens-file "$work/tokens.json" --output "$work/nowhere/out"
refused "an output that is a folder" "$work/empty" logits "$model" --tokens-file "$work/tokens.json" --output "$work/empty"
refused "synth over a checkpoint" "holds a model.safetensors already" synth "$work/tiny.json" --out "$model"
refused "synth below a file" "cannot make the folder" synth "$work/tiny.json" --out "$work/tiny.json/x"

# --- flags ----------------------------------------------------------------------------------------------------------

for context in 0 -5 99999999999999999999 1e9 2G 9223372036854775807; do
  logits "--context $context" "context" "$model" --context "$context"
  refused "plan --context $context" "context" plan "$model" --context "$context"
done
logits "a context shorter than the tokens" "--context" "$model" --context 2
logits "--chunk 0" "chunk" "$model" --chunk 0
logits "--threads -1" "threads" "$model" --threads -1
logits "--weights int3" "int3" "$model" --weights int3
logits "--kv f16" "f16" "$model" --kv f16
refused "plan --against nothing" "no-such-model" plan "$model" --against no-such-model
refused "synth of what is only planned" "described for the planner only" synth deepseek-v3.2 --out "$work/x"
mkdir "$work/v32"
printf '{"model_type": "deepseek_v32", "num_hidden_layers": 4}' >"$work/v32/config.json"
for what in "$work/v32" deepseek-v3.2; do
  refused "run $what" "described for the planner only" run "$what" -p Hi
  refused "bench $what" "described for the planner only" bench "$what"
done
refused "a bundled model's name where weights are wanted" "a description without weights" run gemma-4-E2B -p Hi
logits "logits of what is only planned" "described for the planner only" "$work/v32"
logits "--memory 1KiB" "largest context that fits" "$model" --context 512 --memory 1KiB
grep -q '^  total' "$work/err" || fail "the refusal does not show the plan"
refused "--batch 0" "batch" plan "$model" --batch 0
refused "--batch beyond all bounds" "batch" plan "$model" --batch 9999999999
refused "an unknown what-if" "no-such-edit" plan "$model" --what-if no-such-edit
refused "--layers -1" "layers" synth "$work/tiny.json" --out "$work/x" --layers -1
refused "--set without a value" "expected FIELD=VALUE" plan "$model" --set sliding_window
refused "--set of no JSON" "a text in double quotes" plan "$model" --set hidden_activation=silu
refused "--set with an empty name" "is empty" plan "$model" --set .sliding_window=1
refused "--set below what is not there" "the config has no object 'rope'" plan "$model" --set rope.full.theta=1
refused "--set below a number" "the config has no object 'text_config.head_dim'" plan "$model" --set text_config.head_dim.x=1
refused "--set of an unknown field" "no_such_field: not known to this family" inspect gemma-4-E2B --set no_such_field=1
refused "--set of a wrong type" 'sliding_window: is "4", expected an integer' plan "$model" --set 'text_config.sliding_window="4"'
refused "--set out of range" "sliding_window: is -1, expected an integer" plan "$model" --set text_config.sliding_window=-1
refused "--set nested deeply" "nested deeper" plan "$model" --set "text_config.sliding_window=$(head -c 5000 /dev/zero | tr '\0' '[')"
refused "--set for synth" "num_hidden_layers: is 0" synth "$work/tiny.json" --out "$work/x" --set num_hidden_layers=0
logits "--set that the weights do not fit" "does not fit its config" "$model" --set text_config.intermediate_size=32
refused "an unknown flag" "--no-such-flag" plan "$model" --no-such-flag
refused "no command" "subcommand" --
for flag in --depth --gen --prompt; do
  refused "bench $flag beyond all bounds" "" bench "$model" "$flag" 9223372036854775807
  refused "bench $flag -1" "" bench "$model" "$flag" -1
done
refused "bench --gen 0" "generate" bench "$model" --gen 0
refused "an unknown model" "give a folder, or one of" inspect gemma-9
refused "a run without a tokenizer" "tokenizer.json" run "$model" -p hello
refused "a run without a prompt" "no prompt" run "$model"

# --- prompts --------------------------------------------------------------------------------------------------------

# --- quantize -------------------------------------------------------------------------------------------------------

refused "quantize: no folder" "nowhere/config.json" quantize "$work/nowhere" --out "$work/packed"
refused "quantize: an unknown format" "q5" quantize "$model" --weights q5 --out "$work/packed"
refused "quantize: --out is a file" "tiny.json" quantize "$model" --out "$work/tiny.json"
refused "quantize: --out below a file" "cannot make the folder" quantize "$model" --out "$work/tiny.json/packed"
refused "quantize: --out holds a checkpoint" "is there already" quantize "$model" --out "$model"
[[ ! -e $work/packed ]] || fail "a folder is there"
# What is left must not load. The kill may come late where the machine is busy: then again.
test_name="quantize: killed half way"
sed 's/"vocab_size": 2560, "hidden_size": 16/"vocab_size": 65536, "hidden_size": 512/' \
  "$work/tiny.json" >"$work/large.json"
"$program" synth "$work/large.json" --out "$work/large" >"$work/out" 2>"$work/err" ||
  fail "cannot write the large checkpoint"
for ((attempt = 0; attempt < 10; ++attempt)); do
  rm -rf "$work/packed"
  "$program" quantize "$work/large" --out "$work/packed" >"$work/out" 2>"$work/err" &
  until compgen -G "$work/packed.*.partial/*" >"$work/found" || ! kill -0 $! 2>/dev/null; do :; done
  kill -KILL $! 2>/dev/null
  { wait $!; } 2>/dev/null
  status=$?
  [[ $status == 0 ]] || break
done
[[ $status == 137 ]] || fail "was not killed"
[[ ! -e $work/packed ]] || fail "a folder is there under its final name"
left=$(find "$work" -maxdepth 1 -name 'packed.*.partial')
[[ -d $left ]] || fail "no unfinished folder"
mv "$left" "$work/unfinished"
rm -f "$work/unfinished"/*.partial
logits "quantize: an unfinished folder" "unfinished/config.json" "$work/unfinished"
"$program" quantize "$model" --weights q4 --out "$work/packed" >"$work/out" 2>"$work/err" || fail "cannot quantize"
logits "packed weights in another format" "packed as q4" "$work/packed" --weights q8
truncate -s -64 "$work/packed/model.safetensors"
logits "packed weights cut short" "incomplete download?" "$work/packed"

if [[ -f $demo/tokenizer.json ]]; then
  cp "$demo"/tokenizer*.json "$model/"
  refused "a prompt longer than the context" "--context" run "$model" -p "$(seq -s ' ' 1 200)" --context 16
  refused "a prompt that is no UTF-8" "UTF-8" run "$model" -p $'caf\xe9 \xff\xfe'
  head -c 1000 "$program" >"$work/binary"
  refused "binary standard input" "UTF-8" run "$model" - <"$work/binary"
  refused "a prompt file that is not there" "nowhere" run "$model" -f "$work/nowhere"
  refused "a prompt file that is a folder" "not a regular file" run "$model" -f "$work/empty"
  printf '{{ messages[0].content.' >"$work/broken.jinja"
  refused "a chat template cut short" "--chat-template" run "$model" -p hello --chat --chat-template "$work/broken.jinja"
  printf '{%% for i in range(99999) %%}{%% for j in range(99999) %%}x{%% endfor %%}{%% endfor %%}' >"$work/endless.jinja"
  refused "a chat template without end" "--chat-template:1" run "$model" -p hello --chat --chat-template "$work/endless.jinja"
  refused "chat without a template" "no chat template" chat "$model" </dev/null
  refused "an unknown mode of thinking" "thinking" run "$model" -p hello --chat --thinking sideways
  refused "a mode of thinking for no chat" "--chat" run "$model" -p hello --thinking on
  printf '{{ messages[0].content }}' >"$work/plain.jinja"
  printf '[{"name": "f"}]' >"$work/function.json"
  chat=(run "$model" -p hello --chat --chat-template "$work/plain.jinja")
  refused "tools for a template without a place for them" "no place for tools" "${chat[@]}" --tools "$work/function.json"
  refused "an effort that the template does not know" "effort" "${chat[@]}" --thinking max
  printf '{"name": "f"}' >"$work/tools.json"
  refused "tools that are no array" "array" "${chat[@]}" --tools "$work/tools.json"
  printf '[{"name": "f"}, {"nam' >"$work/tools.json"
  refused "tools cut short" "not valid JSON" "${chat[@]}" --tools "$work/tools.json"
  refused "tools in a file that is not there" "nowhere" "${chat[@]}" --tools "$work/nowhere"
  f=$(folder dsml)
  sed 's/<bos>/<｜begin▁of▁sentence｜>/g; s/<eos>/<｜end▁of▁sentence｜>/g; s/<|turn>/<｜User｜>/g; s/<turn|>/<｜Assistant｜>/g; s/<pad>/｜DSML｜/g' \
    "$demo/tokenizer.json" >"$f/tokenizer.json"
  mkdir "$f/encoding"
  printf 'REASONING_EFFORT_MAX = open("/etc/passwd").read()\n' >"$f/encoding/encoding_dsv4.py"
  refused "a file of fixed texts that computes one" "plain string literals" run "$f" -p hello --chat --thinking max
  head -c 1000 "$program" >"$f/encoding/encoding_dsv4.py"
  refused "a file of fixed texts that is none" "encoding_dsv4.py: not UTF-8" run "$f" -p hello --chat --thinking max
  refused "--temp of no number" "temp" run "$model" -p hello --temp nan
  refused "--top-p above 1" "top-p" run "$model" -p hello --top-p 2
  refused "--min-p below 0" "min-p" run "$model" -p hello --min-p -1
  refused "a window of no tokens" "window" score "$model" -f "$work/tiny.json" --window 0
  f=$(folder weights_nan)
  header=$((8 + $(od -An -tu8 -N8 "$model/model.safetensors")))
  data=$(($(wc -c <"$model/model.safetensors") - header))
  { head -c "$header" "$model/model.safetensors"; head -c "$data" /dev/zero | tr '\0' '\377'; } >"$f/model.safetensors"
  refused "weights that are no numbers" "is infinite or no number" run "$f" -p hello
  refused "a score by weights that are no numbers" "is infinite or no number" score "$f" -f "$work/tiny.json"
  { head -c "$header" "$model/model.safetensors"; head -c "$data" /dev/zero | tr '\0' '\177'; } >"$f/model.safetensors"
  refused "weights that overflow" "damaged or overflow" run "$f" -p hello
  refused "a score that is no number" "damaged or overflow" score "$f" -f "$work/tiny.json"
  rm "$model"/tokenizer*.json
fi

finish
