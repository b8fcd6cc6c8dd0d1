#!/usr/bin/env bash
# doctor and plan --fit on the program as it is built.
# shellcheck source-path=SCRIPTDIR source=prelude.sh
source "$(dirname "$0")/prelude.sh"
needs_demo

# Standard output holds these words, on one line or on several.
tells() {
  local words
  for words in "$@"; do
    tr -s '[:space:]' ' ' <"$work/out" | grep -qF -- "$words" || fail "standard output does not say '$words'"
  done
}
within_100_columns() {
  [[ $(awk '{ if (length($0) > n) n = length($0) } END { print n + 0 }' "$work/out") -le 100 ]] ||
    fail "a line of more than 100 columns"
}

sick=$work/sick
new_sick() {
  rm -rf "$sick"
  mkdir "$sick"
  cp "$demo"/*.json "$demo"/*.jinja "$demo"/*.safetensors "$sick"
}

begin "a sound folder runs here"
longhaul doctor "$demo" --context 512
expect_status 0
expect_lines_of_error 0
tells "$demo: runs here" "a folder of safetensors: " "BF16" "tokenizer " "chat template " "> 512 " "tokens/s"

begin "every tensor, and no speed"
longhaul doctor "$demo" --tensors --no-speed --quick
expect_status 0
tells "model.layers.7.mlp.down_proj.weight"
grep -q "GB/s" "$work/out" && fail "measured, though it was told not to"

begin "the same as data"
longhaul doctor "$demo" --context 512 --json
expect_status 0
expect_json
tells '"verdict": "runs"' '"first_token_seconds"'

begin "the plan of what it says is that of run"
longhaul doctor "$demo" --context 512 --no-speed --json
planned=$(number "$work/out" total_bytes)
longhaul plan "$demo" --context 512 --json
[[ $(number "$work/out" total_bytes) == "$planned" ]] || fail "doctor says $planned bytes, plan another number"

begin "a truncated file does not load, and says why"
new_sick
truncate -s 1000000 "$sick/model.safetensors"
longhaul doctor "$sick"
expect_status 2
tells "does not run" "-> incomplete download? fetch it again" "model.safetensors"
longhaul run "$sick" -p x -n 1
expect_status 2

begin "several things at once"
new_sick
printf 'version https://git-lfs.github.com/spec/v1\n' >"$sick/model.safetensors"
truncate -s 1000 "$sick/tokenizer.json"
longhaul doctor "$sick"
expect_status 2
tells "a git-lfs pointer" "git lfs pull" "tokenizer.json"

begin "zeros at the end load, and are told"
new_sick
bytes=$(stat -c %s "$sick/model.safetensors")
truncate -s $((bytes - 300000)) "$sick/model.safetensors"
truncate -s "$bytes" "$sick/model.safetensors"
longhaul doctor "$sick" --no-speed
expect_status 4
tells "do not trust what it writes" "are zeros"
longhaul doctor "$sick" --no-speed --quick
expect_status 0

begin "too little memory"
longhaul doctor "$demo" --memory 1MiB --no-speed
expect_status 3
tells "too large for this memory" "too much" "longhaul plan"
longhaul run "$demo" --memory 1MiB -p x -n 1
expect_status 2

begin "one file that is none"
printf '<!DOCTYPE html><html>sign in</html>' >"$work/model.gguf"
longhaul doctor "$work/model.gguf"
expect_status 2
tells "model.gguf: a web page" "licence"

begin "nothing there"
longhaul doctor "$work/nowhere"
expect_one_clear_error
says "there is no such file or folder"

begin "a bundled name has no files"
longhaul doctor gemma-4-E2B
expect_one_clear_error
says "without weights"

begin "help says what the exit status means"
longhaul doctor --help
expect_status 0
tells "Exit status: 0 it runs here" "--quick"

begin "which form fits"
longhaul plan "$demo" --fit
expect_status 0
expect_lines_of_error 0
within_100_columns
tells "bf16*" "q8" "q4" "tok/s" "Take bf16 weights with a bf16 cache, as the model is, for 2K of context"

begin "which form of a bundled model fits 16 GB at 128K"
longhaul plan gemma-4-E2B --fit --memory 16GB --context 128k
expect_status 0
within_100_columns
tells "14.9 GiB of memory as asked" "4K" "32K" "128K" "Take "

begin "nothing fits"
longhaul plan deepseek-v4-pro --fit --memory 16GB --no-speed
expect_status 0
within_100_columns
tells "too much" "Nothing fits 14.9 GiB" "--expert-cache"

begin "the same as data"
longhaul plan "$demo" --fit --json
expect_status 0
expect_json
tells '"recommended"' '"rounding_error"' '"decode_tokens_per_second"'

begin "what has no place beside --fit"
longhaul plan "$demo" --fit --weights q4
expect_one_clear_error
says "--weights has no place beside --fit"

finish
