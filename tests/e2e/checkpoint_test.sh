#!/usr/bin/env bash
# What checkpoints bring as files: notices are one line and stop nothing, paths that are no model say what to give instead, and a file that becomes
# shorter while the program runs ends it with one line.
#   checkpoint_test.sh PROGRAM DEMO_FOLDER
# shellcheck source=tests/e2e/prelude.sh
source "$(dirname "$0")/prelude.sh"
needs_demo

# folder NAME: a fresh copy of the demo model.
folder() {
  rm -rf "${work:?}/$1"
  cp -r "$demo" "$work/$1"
  chmod -R u+w "$work/$1"
  printf '%s' "$work/$1"
}

one_line() { # one_line FRAGMENT: what standard error holds
  expect_lines_of_error 1
  says "$1"
}

# runs NAME NOTICE ARGUMENTS...: exit status 0, the demo's text, and on standard error the notice, or nothing if it is empty.
runs() {
  local notice=$2
  test_name=$1
  shift 2
  timeout 120 "$program" "$@" >"$work/out" 2>"$work/err"
  status=$?
  [[ $status == 0 ]] || fail "exit status $status, expected 0"
  cmp -s "$work/out" "$work/expected" || fail "another text than the demo's"
  if [[ -n $notice ]]; then one_line "$notice"; elif [[ -s $work/err ]]; then fail "writes to standard error"; fi
}

refused() { # refused NAME FRAGMENT ARGUMENTS...
  local fragment=$2
  test_name=$1
  shift 2
  timeout 120 "$program" "$@" >"$work/out" 2>"$work/err"
  status=$?
  [[ $status == 2 ]] || fail "exit status $status, expected 2"
  one_line "$fragment"
}

# --- the files of a folder --------------------------------------------------------------------------------------------

greedy=(-p "In the beginning" -n 8 --temp 0)
if ! "$program" run "$demo" "${greedy[@]}" >"$work/expected"; then
  echo "the demo does not run"
  exit 1
fi
f=$(folder shards); mv "$f/model.safetensors" "$f/model-00001-of-00001.safetensors"
runs "a shard without an index" "" run "$f" "${greedy[@]}"
runs "a folder with a slash behind it" "" run "$f/" "${greedy[@]}"
printf '{"weight_map": {"x": "model-00001-of-00007.safetensors"}}' >"$f/model.safetensors.index.json"
runs "an index that was left behind" "is not followed" run "$f" "${greedy[@]}"
f=$(folder adapter); : >"$f/adapter_model.safetensors"
runs "an adapter beside the model" "a LoRA adapter, which is not applied" run "$f" "${greedy[@]}"
rm "$f/model.safetensors"
refused "an adapter alone" "and this folder with --lora" run "$f" "${greedy[@]}"
rm "$f/config.json"
refused "an adapter without config.json" "and this folder with --lora" run "$f" "${greedy[@]}"
refused "plan of an adapter" "and this folder with --lora" plan "$f"
f=$(folder pickled); mv "$f/model.safetensors" "$f/pytorch_model.bin"
refused "weights in PyTorch's format" "save_pretrained() it as safetensors" run "$f" "${greedy[@]}"
f=$(folder gguf); rm "$f"/*.safetensors "$f/config.json"; : >"$f/demo-Q4_K_M.gguf"
refused "a folder of an empty GGUF file" "not a GGUF file?" run "$f" "${greedy[@]}"
f=$(folder pointer); printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' >"$f/model.safetensors"
refused "a git-lfs pointer for weights" "model.safetensors: a git-lfs pointer, not the file itself; run 'git lfs pull'" run "$f" "${greedy[@]}"
f=$(folder pointer); printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' >"$f/tokenizer.json"
refused "a git-lfs pointer for the tokenizer" "tokenizer.json: a git-lfs pointer" run "$f" "${greedy[@]}"
refused "a file in place of its folder" "'$demo/model.safetensors' is a file; give the folder that it is in" run "$demo/model.safetensors" "${greedy[@]}"
refused "a config.json in place of its folder" "is a file; give the folder" run "$demo/config.json" "${greedy[@]}"
refused "no such folder" "there is no such folder" run "$work/nowhere" "${greedy[@]}"
mkdir -p "$work/models--x--demo/snapshots"; cp -r "$demo" "$work/models--x--demo/snapshots/c0ffee"
refused "an entry of a cache" "give its snapshot, $work/models--x--demo/snapshots/c0ffee" run "$work/models--x--demo" "${greedy[@]}"
runs "a snapshot of a cache" "" run "$work/models--x--demo/snapshots/c0ffee" "${greedy[@]}"

# --- named templates --------------------------------------------------------------------------------------------------

f=$(folder named); rm "$f/chat_template.jinja"
cat >"$f/tokenizer_config.json" <<'JSON'
{"chat_template": [{"name": "rag", "template": "{% no template"},
                   {"name": "default", "template": "{{ messages[0].content }}"},
                   {"name": "tool_use", "template": "{% if tools %}In the {{ messages[0].content }}{% endif %}"}]}
JSON
runs "the default of named templates" "" run "$f" --chat "${greedy[@]}"
printf '[{"name": "f", "description": "", "parameters": {"type": "object", "properties": {}}}]' >"$work/tools.json"
runs "the template for tools" "" run "$f" --chat --tools "$work/tools.json" -p "beginning" -n 8 --temp 0
printf '{"chat_template": [{"name": "rag", "template": "x"}]}' >"$f/tokenizer_config.json"
refused "named templates without a default" "give one with --chat-template FILE (there are rag)" run "$f" --chat "${greedy[@]}"

# --- files that become shorter ----------------------------------------------------------------------------------------

# shrinks NAME BYTES COMMAND ARGUMENTS...: cuts the weights' file once the command has it in memory; $f is the model's folder.
shrinks() {
  local bytes=$2 tries=0
  test_name="$1, cut to $2 bytes"
  shift 2
  "$program" "$@" >"$work/out" 2>"$work/err" &
  local process=$!
  until grep -q "$f/model.safetensors" "/proc/$process/maps" 2>/dev/null || ((++tries > 500)); do sleep 0.02; done
  sleep 0.3
  kill -0 "$process" 2>/dev/null || fail "was done before the file was cut"
  truncate -s "$bytes" "$f/model.safetensors"
  wait "$process"
  status=$?
  [[ $status == 2 ]] || fail "exit status $status, expected 2"
  sed -i "/positions the model was made for/d" "$work/err" # a long answer is meant
  one_line "model.safetensors: "
  grep -q "made shorter while in use" "$work/err" || fail "does not say what happened"
  left=$(find "$work" -name '*.partial')
  [[ -z $left ]] || fail "left behind: $left"
}

for _ in {1..100}; do cat "$demo/heldout.txt"; done >"$work/long.txt"
{ printf '[1'; yes ', 7, 300, 41, 1900' | head -n 20000 | tr -d '\n'; printf ']'; } >"$work/tokens.json"
size=$(stat -c %s "$demo/model.safetensors")
for bytes in 0 100000 $((size - 1)); do
  f=$(folder shrinking)
  shrinks "run" "$bytes" run "$f" -p x --context 100k -n 60000 --ignore-eos
  f=$(folder shrinking)
  shrinks "score" "$bytes" score "$f" -f "$work/long.txt"
  f=$(folder shrinking)
  shrinks "logits" "$bytes" logits "$f" --tokens-file "$work/tokens.json" --output "$work/logits.safetensors"
  [[ ! -e $work/logits.safetensors ]] || fail "an output file is there"
done
"$program" quantize "$demo" --weights q4 --out "$work/packed" >"$work/out" 2>"$work/err" || fail "cannot quantize"
f=$work/packed
shrinks "run of packed weights" 100000 run "$f" -p x --context 100k -n 60000 --ignore-eos
# A file that takes the other's name leaves the one in use as it was.
test_name="a file renamed over"
f=$(folder replaced)
"$program" run "$f" -p "In the beginning" -n 2000 --temp 0 --ignore-eos >"$work/out" 2>"$work/err" &
process=$!
sleep 0.3
: >"$work/other"
mv "$work/other" "$f/model.safetensors"
wait "$process" || fail "ended with $?"
[[ ! -s $work/err ]] || fail "writes to standard error"

finish
