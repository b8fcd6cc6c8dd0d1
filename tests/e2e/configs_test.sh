#!/usr/bin/env bash
# Configs as people bring them, end to end: leftovers of tools pass in every command, a field that could change results is an error that
# says what to do, and the switch, --set null, contexts that are too long and generation_config.json do what the documents say.
#   configs_test.sh PROGRAM DEMO_MODEL
# shellcheck source=tests/e2e/prelude.sh
source "$(dirname "$0")/prelude.sh"
needs_demo

# Standard error is lines that begin with the program's name, so many.
expect_lines() { [[ $(grep -c '^longhaul: ' "$work/err") == "$1" && $(wc -l <"$work/err") == "$1" ]] || fail "not exactly $1 lines on standard error"; }
# The demo model with fields added to the end of its config.json.
with_fields() {
  mkdir -p "$work/$1"
  cp "$demo"/* "$work/$1"
  sed '$ d' "$demo/config.json" >"$work/$1/config.json"
  printf ', %s}\n' "$2" >>"$work/$1/config.json"
}
in_every_command() {
  printf '[2, 5, 9]' >"$work/tokens.json"
  rm -rf "$work/packed" "$work/synth"
  "$1" run "$2" -p "In the beginning" -n 4 --temp 0
  "$1" logits "$2" --tokens-file "$work/tokens.json" --output "$work/logits.safetensors"
  "$1" score "$2" -f "$work/text"
  "$1" plan "$2"
  "$1" inspect "$2"
  "$1" bench "$2" --prompt 8 --gen 4 --repeats 1
  "$1" quantize "$2" --out "$work/packed"
  "$1" synth "$2/config.json" --out "$work/synth"
}
printf 'In the beginning God created the heaven and the earth.' >"$work/text"

test_name="leftovers of tools pass everywhere"
with_fields leftovers '"unsloth_fixed": true, "unsloth_version": "2026.9.1", "quantization_config": null, "mlp_bias": false, "pruned_heads": {},
  "transformers.js_config": {"dtype": "q4"}, "tokenizer_class": "GemmaTokenizer", "temperature": 1.0, "_attn_implementation_autoset": true'
expect_silence() {
  longhaul "$@"
  expect_status 0
  [[ ! -s $work/err ]] || fail "$1: something on standard error"
}
in_every_command expect_silence "$work/leftovers"
printf 'In the beginning\n' | timeout 300 "$program" chat "$work/leftovers" -n 4 >"$work/out" 2>"$work/err" || fail "chat does not run"

test_name="a field that could change results is an error everywhere"
with_fields unknown '"residual_multiplier": 0.22'
expect_refusal() {
  longhaul "$@"
  expect_status 2
  expect_lines 1
  says "residual_multiplier: not known to this family"
  says "--set residual_multiplier=null"
  says "--ignore-unknown-fields"
}
in_every_command expect_refusal "$work/unknown"

test_name="the switch goes on everywhere and says so in one line"
expect_risk() {
  longhaul "$@" --ignore-unknown-fields
  expect_status 0
  expect_lines 1
  says "at your own risk: residual_multiplier"
}
in_every_command expect_risk "$work/unknown"
printf 'In the beginning\n' | timeout 300 "$program" chat "$work/unknown" -n 4 --ignore-unknown-fields >"$work/out" 2>"$work/err"
expect_lines 1

test_name="the switch lets no value of a known field through"
longhaul inspect "$work/unknown" --ignore-unknown-fields --set attention_bias=true
expect_status 2
says "attention_bias: biased projections are not supported"
longhaul inspect "$work/unknown" --ignore-unknown-fields --set 'quantization_config={"quant_method": "quark"}'
expect_status 2
says "weights quantised by 'quark' are not supported"

test_name="--set null takes a field away everywhere"
expect_removed() {
  longhaul "$@" --set residual_multiplier=null --set never.there=null
  expect_status 0
  [[ ! -s $work/err ]] || fail "$1: something on standard error"
}
in_every_command expect_removed "$work/unknown"
longhaul inspect "$work/packed"
expect_status 0
grep -q residual_multiplier "$work/packed/config.json" && fail "quantize writes a field that was taken away"

test_name="a context beyond the model's positions runs with one line"
printf '[' >"$work/long.json"
for _ in $(seq 2100); do printf '7, '; done >>"$work/long.json"
printf '7]' >>"$work/long.json"
for arguments in "run $demo -p In -n 2 --context 4k" "score $demo -f $work/text --context 4k" "bench $demo --prompt 8 --gen 2 --repeats 1 --context 4k" \
  "logits $demo --tokens-file $work/long.json --output $work/logits.safetensors"; do
  # shellcheck disable=SC2086
  longhaul $arguments
  expect_status 0
  expect_lines 1
  says "beyond the 2,048 positions the model was made for"
done
printf 'In the beginning\nAnd God said\n' | timeout 300 "$program" chat "$demo" -n 4 --context 4k >"$work/out" 2>"$work/err"
expect_lines 1
longhaul run "$demo" -p In -n 2 --context 2k
[[ ! -s $work/err ]] || fail "a context within the positions is warned of"

test_name="generation_config.json is done or named"
generation() {
  mkdir -p "$work/generation"
  cp "$demo"/* "$work/generation"
  printf '{"bos_token_id": 2, "eos_token_id": [1, 5], %s}' "$1" >"$work/generation/generation_config.json"
}
tokens() { grep '^"tokens"' "$work/out"; }
generation '"begin_suppress_tokens": [370]'
longhaul run "$work/generation" -p 'In the beginning' -n 3 --temp 0 --json
[[ $(tokens) == '"tokens": [617, 274, 539],' && ! -s $work/err ]] || fail "begin_suppress_tokens: $(tokens)"
generation '"max_new_tokens": 5, "num_beams": 4, "new_rule": 1'
longhaul run "$work/generation" -p 'In the beginning' --temp 0 --json
grep -q '"generated_tokens": 5,' "$work/out" || fail "max_new_tokens is no default of -n"
expect_lines 1
says "generation_config.json: not done here: num_beams, new_rule"
longhaul run "$work/generation" -p 'In the beginning' --temp 0 --json -n 7
grep -q '"generated_tokens": 7,' "$work/out" || fail "-n does not go over max_new_tokens"
longhaul logits "$work/generation" --tokens-file "$work/tokens.json" --output "$work/logits.safetensors"
[[ ! -s $work/err ]] || fail "a command that generates nothing tells of generation"
generation '"max_length": 9'
longhaul run "$work/generation" -p 'In the beginning' --temp 0 --json
grep -q '"generated_tokens": 4,' "$work/out" || fail "max_length does not count the prompt"
generation '"stop_strings": ["the"]'
longhaul run "$work/generation" -p 'In the beginning' --temp 0 --json -n 40
grep -q '"stop_reason": "stop_string"' "$work/out" || fail "stop_strings are not heeded"
generation '"bad_words_ids": "none"'
longhaul run "$work/generation" -p 'In the beginning'
expect_status 2
says "bad_words_ids: expected an array of arrays of token ids"

finish
