#!/usr/bin/env bash
# What the program makes of its arguments: misspelt ones, numbers that do not fit, zeros, and a
# context that fills up.
#   arguments_test.sh PROGRAM DEMO_MODEL
# shellcheck source=tests/e2e/prelude.sh
source "$(dirname "$0")/prelude.sh"
needs_demo

# refused WORDS ARGUMENTS...: one line that says the words and ends in what to do.
refused() {
  local words=$1
  shift
  begin "${*//$demo/MODEL}"
  longhaul "$@"
  expect_one_clear_error
  says "$words"
  # shellcheck disable=SC2016
  grep -qE '`longhaul [a-z -]*`\)$|; |: expected |give |use |at least|from .* to ' "$work/err" || fail "the message does not say what to do"
}
run() { local words=$1; shift; refused "$words" run "$demo" -p x "$@"; }

# --- misspelt options, commands and words ---------------------------------------------------------------------------

# llama.cpp #6191 (--ctx_size), llamafile #202, CLI11 #90, picocli #149, cxxopts #136: what follows
# was taken for something else.
run "unknown option '--topk' of run; did you mean '--top-k'?" --topk 5
run "unknown option '--max-token' of run; did you mean '--max-tokens'?" --max-token 5
run "did you mean '--max-tokens'?" --max_tokens 5
run "did you mean '--max-tokens'?" --max-token=5
run "did you mean '--temperature'?" --temprature 0.5
run "did you mean '--context'?" --contxt 20
run "did you mean '--context'?" --ctx_size 20
run "did you mean '--context'?" -c 20
run "did you mean '--max-tokens'?" --n-predict 20
run "did you mean '--threads'?" -t 2
run "did you mean '--repetition-penalty'?" --repeat-penalty 1.1
run "did you mean '--stats'?" --stat
run "did you mean '--json'?" --JSON
run "unknown option '-temp' of run; did you mean '--temp'?" -temp 0.5
run "unknown option '-top-k' of run; did you mean '--top-k'?" -top-k 5
run "did you mean '--temp'?" –temp 0.5
run "did you mean '--temp'?" —temp 0.5
run "unknown option '--n-gpu-layers' of run (see \`longhaul run --help\`)" --n-gpu-layers 99
refused "unknown option '-prompt' of run; did you mean '--prompt'?" run "$demo" -prompt hello
refused "unknown option '-z'" run "$demo" -z
refused "did you mean '--what-if'?" plan gemma-4-E2B --whatif no-ple
refused "did you mean '--output'?" logits "$demo" --tokens-file x -o y
refused "unknown option '--temp' of inspect" inspect "$demo" --temp 1
refused "unknown subcommand 'rum', expected one of run, chat, logits, score, inspect, plan, synth, quantize, bench, doctor; did you mean 'run'?" rum "$demo"
refused "did you mean 'quantize'?" quantise "$demo" --out x
refused "did you mean 'chat'?" Chat "$demo"
refused "unknown subcommand '$demo'" "$demo" -p x
refused "a subcommand is required, one of run, chat," --
refused "a subcommand is required"
refused "'--threads' stands before the subcommand; options go behind it: longhaul run ... --threads" --threads 2 run "$demo" -p x
refused "unknown option '--versoin'; did you mean '--version'?" --versoin
run "did you mean 'q8' or 'q4'?" --weights q5
run "use one of auto, f32, bf16, q8, q4, released" --weights q5
run "did you mean 'bf16'?" --weights BF16
run "use one of f32, bf16, q8, released; did you mean 'bf16'?" --kv f16
run "'sideways' is none of auto, off, on, max" --chat --thinking sideways
run "did you mean 'max'?" --chat --thinking maxx
refused "did you mean 'gemma-4-E2B'?" plan gemma-4-e2
refused "did you mean 'laguna-xs.2'?" plan laguna
refused "did you mean 'no-window'?" plan gemma-4-E2B --what-if no-windo
refused "use one of q4, q8, bf16, released" quantize "$demo" --weights q5 --out "$work/x"
refused "use one of f32, bf16, released; did you mean 'f32'?" synth "$demo" --dtype fp32 --out "$work/x"

# --- what is missing, too much, or twice ----------------------------------------------------------------------------

refused "MODEL is required" run
refused "MODEL is required" run -p x
refused "--tokens-file is required" logits "$demo" --output x
refused "no prompt" run "$demo"
refused "'-p' needs a value" run "$demo" -p
refused "'--top-k' needs a value" run "$demo" -p x --top-k
refused "'beginning' is not expected here; a text of several words goes in quotes" run "$demo" -p In the beginning
refused "the prompt is given twice, by -p 'In' and as the file 'the'" run "$demo" -p In the
refused "is given twice" run "$demo" -p a -p b
refused "is given twice" run "$demo" -f a b
run "is given twice" -n 5 --max-tokens 6
run "'--json': takes no value" --json=yes
refused "an argument is empty; is a variable of the shell not set?" run "" -p x
run "--think means --thinking on" --chat --think --thinking off
refused "'demo2' is not expected here" inspect "$demo" demo2

begin "long arguments are cut in messages"
long=$(head -c 100000 /dev/zero | tr '\0' 9)
for arguments in "--$long" "-n $long" "--temp $long" "--temp x$long" "--seed $long" "--thinking $long" "--weights $long" "a $long" "-f $long"; do
  read -ra words <<<"$arguments"
  longhaul run "$demo" -p x "${words[@]}"
  expect_one_clear_error
  [[ $(wc -c <"$work/err") -lt 1000 ]] || fail "${arguments:0:20}: a message of $(wc -c <"$work/err") bytes"
done
refused "'\\x1b[2J' is not expected here" run "$demo" -p x y $'\e[2J'

# --- values that look like something else ---------------------------------------------------------------------------

takes() { # takes ARGUMENTS...
  begin "takes ${*//$demo/MODEL}"
  longhaul run -n 1 --json "$@"
  expect_status 0
  expect_json
}
takes "$demo" -p -x
takes "$demo" -p --top-k
takes "$demo" -p -5
takes "$demo" -p=
takes "$demo" --prompt=
takes "$demo" --prompt=--json
takes "$demo" -p --
takes --stop a "$demo" -p x
takes "$demo" --stop a --stop=b -p "[x]"
takes "$demo" --stop= -p x
takes "$demo" -pIn --top-k=5
takes -p x -- "$demo"
takes "$demo" - < <(printf 'In the beginning')
takes "$demo" -- - < <(printf 'In the beginning')
begin "an empty text is no missing one"
longhaul run "$demo" --prompt= -n 1 --json
[[ $(number "$work/out" prompt_tokens) == 1 ]] || fail "$(number "$work/out" prompt_tokens) tokens of an empty prompt, expected <bos>"
begin "bench takes its numbers apart by commas, and the model behind them"
longhaul bench --prompt 1,2 --depth 0 --gen 1 --repeats 1 "$demo" --json
expect_status 0
[[ $(grep -c '"share_of_peak"' "$work/out") == 2 ]] || fail "not two prompts"

# --- numbers ----------------------------------------------------------------------------------------------------------

# CLI11 #801, cligen #35: what does not fit was taken for the largest number that does.
huge=99999999999999999999
for option in --context --chunk --top-k -n; do
  run "'$huge' is too large: expected at most 9223372036854775807" $option $huge
  run "'9223372036854775808' is too large" $option 9223372036854775808
  run "is not a count: expected a number such as" $option 1e30
  run "is not a count" $option 0x10
  run "is not a count" $option 1_000
  run "is not a count" $option 1,000
  run "is not a count" $option +3
  run "is not a count" $option ""
  run "is not a count" $option nan
  run "given -1" $option -1
  run "is not a whole number" $option 1.3
done
run "--top-k: must be at least 0, given -1" --top-k -1
run "--context: must be at least 1, given 0" --context 0
run "--chunk: must be at least 1, given 0" --chunk 0
run "-n,--max-tokens: must be at least 0, given -1" -n -1
run "--threads: must be from 0 to 1024, given 99999999999" --threads 99999999999
run "--threads: '$huge' is too large" --threads $huge
run "--threads: must be from 0 to 1024, given -1" --threads -1
run "--seed: must be from 0 to 18446744073709551615, given 18446744073709551616" --seed 18446744073709551616
run "--seed: must be from 0 to 18446744073709551615, given -1" --seed -1
run "--seed: '1.5' is not a whole number: expected digits, such as 42" --seed 1.5
run "--seed: '0x10' is not a whole number" --seed 0x10
run "--memory: '99999999TiB' is too large: expected at most 9223372036854775807 bytes" --memory 99999999TiB
run "--memory: '-1GiB' is not a size" --memory -1GiB
run "--temp,--temperature: must be from 0 to 100, given nan" --temp nan
run "must be from 0 to 100, given inf" --temp inf
run "must be from 0 to 100, given 1e999" --temp 1e999
run "must be from 0 to 100, given -0.1" --temp -0.1
run "'0,7' is not a number: expected one such as 0.7" --temp 0,7
run "is not a number" --temp 0x1p-1
run "is not a number" --temp ""
run "--top-p: must be from 0 to 1, given 1.01" --top-p 1.01
run "--min-p: must be from 0 to 1, given -1" --min-p -1
run "--repetition-penalty: must be from 0.01 to 100, given 0" --repetition-penalty 0
run "--presence-penalty: must be from -100 to 100, given 1e5" --presence-penalty 1e5
refused "--window: must be at least 1, given 0" score "$demo" -f "$demo/README.md" --window 0
refused "--batch: must be at least 1, given 0" plan "$demo" --batch 0
refused "--layers: must be from 0 to 100000, given -1" synth "$demo" --out "$work/x" --layers -1
refused "--decode-from: must be at least 0, given -2" logits "$demo" --tokens-file x --output y --decode-from -2
refused "tokens to generate must be from 1 to 1073741824, given 0" bench "$demo" --gen 0
refused "--repeats: must be from 1 to 100, given 0" bench "$demo" --repeats 0
refused "--prompt: must be at least 1, given 0" bench "$demo" --prompt 0
refused "--prompt: '12x' is not a count" bench "$demo" --prompt 12x
refused "--depth: must be at least 0, given -1" bench "$demo" --depth -1
begin "the largest seed is one"
longhaul run "$demo" -p x -n 1 --seed 18446744073709551615
expect_status 0
begin "no help tells a range that nobody would write"
for command in run chat logits score inspect plan synth quantize bench; do
  longhaul $command --help
  expect_status 0
  ! grep -qE '[0-9]{8}|e\+[0-9]|NONNEGATIVE|FLOAT|UINT' "$work/out" || fail "$command: $(grep -m1 -E '[0-9]{8}|e\+[0-9]|NONNEGATIVE|FLOAT|UINT' "$work/out")"
done

# --- zeros ------------------------------------------------------------------------------------------------------------

# vmlx-swift #143, tabbyAPI #7, mlx-engine #92: speeds of nothing. No number of a report is
# negative, infinite or none.
sane() {
  expect_status 0
  ! grep -qwiE 'nan|inf|infx|-nan' "$work/out" "$work/err" || fail "not a number: $(grep -hwiE 'nan|inf|infx' "$work/out" "$work/err" | head -n 1)"
  ! grep -hv '"state_source": -1,' "$work/out" "$work/err" | grep -qE '(^|[^0-9a-zA-Z"_.])-[0-9]' || fail "negative: $(grep -hE -- '-[0-9]' "$work/out" "$work/err" | head -n 1)"
}
for n in 0 1 2; do
  begin "run -n $n"
  longhaul run "$demo" -p a -n $n --json
  sane
  expect_json
  [[ $(number "$work/out" generated_tokens) == "$n" ]] || fail "$(number "$work/out" generated_tokens) tokens"
  longhaul run "$demo" -p a -n $n --stats
  sane
done
begin "no speed is told of no tokens"
longhaul run "$demo" -p a -n 0 --json
[[ $(number "$work/out" decode_tokens_per_second) == 0.0 ]] || fail "decode at $(number "$work/out" decode_tokens_per_second)"
longhaul run "$demo" -p a -n 1 --stats
grep -qE '^decode +1 tokens +[0-9.]+ s$' "$work/err" || fail "$(grep '^decode' "$work/err")"
begin "an empty prompt"
longhaul run "$demo" -p "" -n 2 --json
sane
for n in 0 1; do
  begin "chat -n $n"
  longhaul chat "$demo" -n $n --stats < <(printf 'Hello\n')
  sane
done
begin "a text without tokens has no perplexity"
longhaul score "$demo" -f /dev/null --json
expect_one_clear_error
says "nothing to score: the text has 0 tokens" "give a longer text"
longhaul score "$demo" -f - --json < <(printf 'a')
sane
expect_json
longhaul score "$demo" -f - --window 2 < <(printf 'a b')
sane
grep -q '2 tokens in windows of 2' "$work/out" || fail "$(cat "$work/out")"
longhaul score "$demo" -f - --context 16 < <(printf 'a b')
grep -q 'in windows of 16' "$work/out" || fail "a window wider than the context: $(cat "$work/out")"
refused "a window of 1 tokens has no room to score; use a larger" score "$demo" -f - --window 1 < <(printf 'a')
for arguments in "plan $demo --context 1" "plan $demo --context 1 --json" "plan $demo --memory 1" "plan $demo --threads 0 --batch 1" \
  "plan $demo --chunk 1" "plan $demo --expert-cache 0" "inspect $demo" "inspect $demo --json" \
  "bench $demo --prompt 1 --depth 0 --gen 1 --repeats 1" "bench $demo --prompt 1 --depth 1 --gen 1 --repeats 1 --json"; do
  begin "$arguments"
  read -ra words <<<"$arguments"
  longhaul "${words[@]}"
  if [[ $arguments == plan* && $arguments != *json ]]; then sed -i 's/ [-+][0-9.]* %//g; s/layers [0-9]*-[0-9]*//' "$work/out"; fi
  if [[ $arguments == inspect* ]]; then sed -i 's/[0-9]*-[0-9]*//g; s/1e-[0-9]*//g' "$work/out"; fi
  sane
done
for context in 1 4 128k; do
  begin "two models side by side at $context"
  longhaul plan deepseek-v4-pro --context $context --against "$demo"
  sane
  longhaul plan deepseek-v4-pro --context $context --against "$demo" --json
  expect_json
done

# --- a context that is full -------------------------------------------------------------------------------------------

# ollama #3839, llama.cpp #449, lemonade #346: the answer ended, and nobody said why.
begin "a context that fills up during an answer says so"
longhaul run "$demo" -p x -n 200 --context 20 --ignore-eos
expect_status 0
expect_text
expect_lines_of_error 1
says "the context of 20 tokens is full: the answer was cut off; give a larger --context"
longhaul run "$demo" -p x -n 200 --context 20 --ignore-eos --json
expect_status 0
expect_json
expect_lines_of_error 0
grep -q '"stop_reason": "context_full"' "$work/out" || fail "no stop_reason"
longhaul run "$demo" -p x -n 200 --context 20 --ignore-eos --chat
expect_status 0
expect_lines_of_error 1
says "the context of 20 tokens is full"
longhaul run "$demo" -p x -n 5 --context 2
expect_status 0
expect_lines_of_error 1
says "the context of 2 tokens is full"
longhaul run "$demo" -p x -n 5 --context 20 --ignore-eos
expect_lines_of_error 0
longhaul chat "$demo" -n 100 --context 24 < <(printf 'Hello\n')
expect_status 0
grep -q '"stop_reason"' "$work/out" && fail "JSON in a conversation"
expect_lines_of_error 1
says "the context of 24 tokens is full: the answer was cut off; give a larger --context, or begin anew with /reset"
refused "the prompt of 2 tokens does not fit the context of 1; use a larger --context" run "$demo" -p x --context 1
begin "reasoning that fills the context is told once"
printf '{{ bos_token }}{{ messages[0].content }}<think>' >"$work/thinking.jinja"
longhaul run "$demo" -p x -n 200 --context 30 --ignore-eos --chat --chat-template "$work/thinking.jinja"
expect_status 0
expect_lines_of_error 1
says "is full: the reasoning was cut off before the answer began; give a larger --context"
longhaul run "$demo" -p x -n 5 --ignore-eos --chat --chat-template "$work/thinking.jinja"
expect_lines_of_error 1
says "the reasoning was cut off before the answer began; allow more tokens with -n"

finish
