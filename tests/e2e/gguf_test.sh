#!/usr/bin/env bash
# GGUF files as models: plan, inspect, run, score and quantize take them, whole and split, and say what becomes of their weights.
#   gguf_test.sh PROGRAM DEMO_FOLDER
# shellcheck source=tests/e2e/prelude.sh
source "$(dirname "$0")/prelude.sh"
needs_demo
command -v python3 >"$work/python" || { echo "skipped: no python3 to write the files"; exit 77; }

tool="$(dirname "$0")/../../tools/demo_gguf.py"
greedy=(-p "In the beginning" -n 8 --temp 0)
{
  python3 "$tool" "$demo" "$work/demo.gguf" &&
    python3 "$tool" "$demo" "$work/q8_0.gguf" --type q8_0 &&
    mkdir "$work/split" && python3 "$tool" "$demo" "$work/split/demo" --parts 2
} || { echo "the files cannot be written"; exit 1; }
for weights in f32 bf16 q8; do
  "$program" run "$demo" "${greedy[@]}" --weights $weights >"$work/expected.$weights" || { echo "the demo does not run"; exit 1; }
done

# gives NAME FILE ARGUMENTS...: exit status 0 and what the file holds; standard error is kept for says().
gives() {
  local expected=$2
  begin "$1"
  shift 2
  timeout 120 "$program" "$@" >"$work/out" 2>"$work/err"
  status=$?
  [[ $status == 0 ]] || fail "exit status $status, expected 0"
  cmp -s "$work/out" "$expected" || fail "another text than the folder's"
}

refused() { # refused NAME FRAGMENT ARGUMENTS...
  local fragment=$2
  begin "$1"
  shift 2
  timeout 120 "$program" "$@" >"$work/out" 2>"$work/err"
  status=$?
  [[ $status == 2 ]] || fail "exit status $status, expected 2"
  says "$fragment"
}

# --- the demo's text ----------------------------------------------------------------------------------------------------

for weights in f32 bf16 q8; do
  gives "a file in $weights" "$work/expected.$weights" run "$work/demo.gguf" "${greedy[@]}" --weights $weights
done
gives "a part of a split file" "$work/expected.f32" run "$work/split/demo-00002-of-00002.gguf" "${greedy[@]}" --weights f32
gives "the folder of a split file" "$work/expected.f32" run "$work/split" "${greedy[@]}" --weights f32
gives "weights in blocks" "$work/expected.f32" run "$work/q8_0.gguf" "${greedy[@]}" --weights f32
[[ -s $work/err ]] && fail "writes to standard error"
[[ -s $work/err ]] && fail "writes to standard error"
"$program" run "$work/q8_0.gguf" "${greedy[@]}" --weights released >"$work/expected.blocks" 2>/dev/null
gives "weights in blocks as the program chooses" "$work/expected.blocks" run "$work/q8_0.gguf" "${greedy[@]}"
[[ -s $work/err ]] && fail "writes to standard error"
gives "weights in blocks in another format" "$work/expected.bf16" run "$work/q8_0.gguf" "${greedy[@]}" --weights bf16
says "its weights are Q8_0; they are unpacked and rounded to BF16"
cp "$demo/tokenizer.json" "$work"
gives "a tokenizer beside the file" "$work/expected.f32" run "$work/demo.gguf" "${greedy[@]}" --weights f32
says "tokenizer.json: read in place of the tokenizer"
rm "$work/tokenizer.json"

# --- what it costs ------------------------------------------------------------------------------------------------------

# field FILE NAME: a number of a report, however deep it stands.
field() {
  python3 -c 'import json, sys
def find(v):
    if isinstance(v, dict):
        yield from (v[k] for k in v if k == sys.argv[2])
        for inner in v.values(): yield from find(inner)
print(next(find(json.load(open(sys.argv[1])))))' "$work/$1" "$2"
}

begin "plan's bytes are those that were allocated"
for weights in f32 auto q4 released; do
  "$program" plan "$work/q8_0.gguf" --context 512 --weights $weights --json >"$work/plan" 2>"$work/err" || fail "plan fails"
  "$program" run "$work/q8_0.gguf" "${greedy[@]}" --context 512 --weights $weights --json >"$work/run" 2>>"$work/err" || fail "run fails"
  [[ $(field plan weight_bytes) == "$(field run weight_bytes_resident)" ]] || fail "weight bytes differ in $weights"
done
begin "inspect describes the file"
"$program" inspect "$work/q8_0.gguf" >"$work/out" 2>"$work/err" || fail "inspect fails"
grep -q "Gemma 4" "$work/out" || fail "names no family"

# --- packed folders -----------------------------------------------------------------------------------------------------

begin "a packed folder runs without the file"
"$program" quantize "$work/demo.gguf" --out "$work/packed" --weights q8 >"$work/out" 2>"$work/err" || fail "quantize fails"
[[ -f $work/packed/tokenizer.json ]] || fail "no tokenizer.json in the folder"
gives "a packed folder" "$work/expected.q8" run "$work/packed" "${greedy[@]}"
begin "tables in blocks stay as they are in a packed folder"
"$program" quantize "$work/q8_0.gguf" --out "$work/packed-bf16" --weights bf16 >"$work/out" 2>"$work/err" || fail "quantize fails"
says "its weights are Q8_0; they are unpacked and rounded to BF16"
gives "a packed folder with tables in blocks" "$work/expected.bf16" run "$work/packed-bf16" "${greedy[@]}"
begin "blocks are packed as they are"
"$program" quantize "$work/q8_0.gguf" --out "$work/packed-q8_0" --weights released >"$work/out" 2>"$work/err" || fail "quantize fails"
[[ -s $work/err ]] && fail "writes to standard error"
gives "a packed folder of blocks" "$work/expected.blocks" run "$work/packed-q8_0" "${greedy[@]}"

# --- what is no model ---------------------------------------------------------------------------------------------------

head -c 100000 "$work/demo.gguf" >"$work/cut.gguf"
refused "a file that was cut" "incomplete download" run "$work/cut.gguf" "${greedy[@]}"
rm "$work/cut.gguf" "$work/split/demo-00001-of-00002.gguf"
refused "a part that is missing" "1 of 2 parts are missing: demo-00001-of-00002.gguf" run "$work/split" "${greedy[@]}"
refused "a folder of several models" "holds several models" run "$work" "${greedy[@]}"

finish
