#!/usr/bin/env bash
# --session FILE: what was read stays read, through the end of the program, Ctrl-C and a crash.
#   session_test.sh PROGRAM DEMO_MODEL
# shellcheck source=tests/e2e/prelude.sh
source "$(dirname "$0")/prelude.sh"
needs_demo

# The tokens that the last run took from the session's file, by what it told.
kept() { sed -n 's/^longhaul: .*: \([0-9]*\) tokens are kept and need not be read again$/\1/p' "$work/err"; }

session=$work/state
run=(run "$demo" --temp 0 --ignore-eos)

begin "an answer in two runs is that of one"
longhaul "${run[@]}" -p "In the beginning" -n 30
cp "$work/out" "$work/whole"
longhaul "${run[@]}" -p "In the beginning" -n 12 --session "$session"
expect_status 0
expect_lines_of_error 0
head -c -1 "$work/out" >"$work/both" # without the line's end
longhaul "${run[@]}" -n 18 --session "$session" --stats
expect_status 0
cat "$work/out" >>"$work/both"
cmp -s "$work/whole" "$work/both" || fail "$(cat "$work/both") and not $(cat "$work/whole")"
[[ $(kept) -gt 12 ]] || fail "'$(kept)' tokens kept"

begin "a sampled answer too"
longhaul run "$demo" --seed 5 --temp 1 --ignore-eos -p "In the beginning" -n 30
cp "$work/out" "$work/whole"
rm -f "$session"
longhaul run "$demo" --seed 5 --temp 1 --ignore-eos -p "In the beginning" -n 10 --session "$session"
head -c -1 "$work/out" >"$work/both"
longhaul run "$demo" --seed 5 --temp 1 --ignore-eos -n 20 --session "$session"
cat "$work/out" >>"$work/both"
cmp -s "$work/whole" "$work/both" || fail "$(cat "$work/both") and not $(cat "$work/whole")"

begin "a book is read once, questions follow"
head -c 3000 "$demo/heldout.txt" >"$work/book"
rm -f "$session"
longhaul "${run[@]}" --session "$session" -f "$work/book" -n 0
expect_status 0
longhaul "${run[@]}" --session "$session" -f "$work/book" -n 0 --json
expect_json
[[ $(number "$work/out" prompt_tokens) == 0 ]] || fail "the book was read twice"
tokens=$(kept)
[[ $(number "$work/out" reused_tokens) == "$tokens" && $tokens -gt 100 ]] || fail "'$tokens' tokens kept"
longhaul "${run[@]}" --session "$session" -p " Who was it?" -n 8 --json
expect_json
[[ $(number "$work/out" reused_tokens) == "$tokens" ]] || fail "the book was read again"
[[ $(number "$work/out" prompt_tokens) -lt 20 ]] || fail "more than the question was read"

# Steps of one token take some seconds for this, on a fast machine too: a first part is kept after
# one.
cat "$demo/heldout.txt" "$demo/heldout.txt" >"$work/long"
slow=("${run[@]}" -f "$work/long" --context 32k --chunk 1 --threads 1)
longhaul "${run[@]}" -f "$work/long" --context 32k -n 5
cp "$work/out" "$work/whole"

# stopped SIGNAL: begins to read the long text and is stopped when a first part is in the file.
stopped() {
  rm -f "$session"
  "$program" "${slow[@]}" -n 5 --session "$session" >"$work/out" 2>"$work/err" &
  local process=$! before after i
  for ((i = 0; i < 3000; ++i)); do
    [[ -f $session ]] && break
    sleep 0.01
  done
  before=$(stat -c %Y%i "$session")
  for ((i = 0; i < 3000; ++i)); do
    after=$(stat -c %Y%i "$session")
    [[ $after != "$before" ]] && break
    sleep 0.01
  done
  kill "-$1" "$process"
  wait "$process"
  status=$?
}
resumed() {
  longhaul "${run[@]}" -f "$work/long" --context 32k -n 5 --session "$session"
  expect_status 0
  [[ $(kept) -gt 0 ]] || fail "'$(kept)' tokens kept"
  cmp -s "$work/whole" "$work/out" || fail "another text than without a stop"
}

begin "killed while it reads"
stopped KILL
expect_status 137
begin "and resumed"
resumed

begin "stopped by Ctrl-C while it reads"
stopped INT
expect_status 130
begin "half a prompt takes nothing behind it"
longhaul "${run[@]}" -p "Another text" --context 32k -n 5 --session "$session"
expect_one_clear_error_after_kept() {
  expect_status 2
  says "was stopped while it read a prompt"
}
expect_one_clear_error_after_kept
longhaul "${run[@]}" --context 32k -n 5 --session "$session"
expect_one_clear_error_after_kept
begin "and resumed behind Ctrl-C"
resumed

begin "a conversation goes on"
printf '{{ bos_token }}{%% for m in messages %%}{{ m.role }}: {{ m.content }}\n{%% endfor %%}' >"$work/plain.jinja"
rm -f "$session"
chat=(chat "$demo" --temp 0 -n 6 --chat-template "$work/plain.jinja" --stats)
printf 'Hello\nWho are you?\n' | timeout 300 "$program" "${chat[@]}" >"$work/whole" 2>"$work/err" || fail "no conversation"
printf 'Hello\n' | timeout 300 "$program" "${chat[@]}" --session "$session" >"$work/both" 2>"$work/err" || fail "no first half"
printf 'Who are you?\n' | timeout 300 "$program" "${chat[@]}" --session "$session" >>"$work/both" 2>"$work/err" || fail "no second half"
cmp -s "$work/whole" "$work/both" || fail "$(cat "$work/both") and not $(cat "$work/whole")"
[[ $(kept) -gt 0 ]] || fail "'$(kept)' tokens kept"

begin "a conversation is no text, and a text no conversation"
longhaul "${run[@]}" -p x -n 1 --session "$session"
expect_status 2
says "holds a conversation"
rm -f "$session"
longhaul "${run[@]}" -p x -n 1 --session "$session"
printf 'Hello\n' | timeout 300 "$program" "${chat[@]}" --session "$session" >"$work/out" 2>"$work/err"
status=$?
expect_status 2
says "holds a text and no conversation"

begin "a foreign file is left as it is"
printf 'a letter to a friend' >"$work/letter"
cp "$work/letter" "$work/letter.before"
longhaul "${run[@]}" -p x -n 1 --session "$work/letter"
expect_one_clear_error
says "not a saved session"
cmp -s "$work/letter" "$work/letter.before" || fail "it was written to"
begin "a damaged file"
head -c 5000 "$session" >"$work/cut"
longhaul "${run[@]}" -p x -n 1 --session "$work/cut"
expect_one_clear_error
begin "other weights"
longhaul "${run[@]}" -p x -n 1 --session "$session" --weights q8
expect_one_clear_error
says "--weights"
begin "another cache"
longhaul "${run[@]}" -p x -n 1 --session "$session" --kv f32
expect_one_clear_error
says "--kv"
begin "a folder that is not there"
longhaul "${run[@]}" -p x -n 1 --session "$work/nowhere/state"
expect_one_clear_error
begin "a file of the model"
longhaul "${run[@]}" -p x -n 1 --session "$demo/config.json"
expect_one_clear_error

finish
