#!/usr/bin/env bash
# Where output goes that cannot be written, and what outputs, inputs and standard streams of every
# kind mean.
#   streams_test.sh PROGRAM DEMO_MODEL
# shellcheck source=tests/e2e/prelude.sh
source "$(dirname "$0")/prelude.sh"
needs_demo

printf '[2, 17, 300]' >"$work/tokens.json"
printf 'In the beginning' >"$work/prompt"
run=(run "$demo" -p "In the beginning" -n 6 --seed 7)
logits=(logits "$demo" --tokens-file "$work/tokens.json" --output)
longhaul "${run[@]}"
cp "$work/out" "$work/expected"
longhaul "${logits[@]}" "$work/expected.safetensors"

# Every command that writes to standard output, by a name.
printing() { # printing NAME: sets `command`
  case $1 in
    run) command=("${run[@]}") ;;
    run-json) command=("${run[@]}" --json) ;;
    run-chat) command=("${run[@]}" --chat) ;;
    run-chat-json) command=("${run[@]}" --chat --json) ;;
    run-stats) command=("${run[@]}" --stats) ;;
    chat) command=(chat "$demo" -n 4 --seed 7) ;;
    score) command=(score "$demo" -f "$work/prompt") ;;
    score-json) command=(score "$demo" -f "$work/prompt" --json) ;;
    plan) command=(plan gemma-4-E2B) ;;
    plan-json) command=(plan gemma-4-E2B --json) ;;
    inspect) command=(inspect gemma-4-26B-A4B) ;;
    inspect-json) command=(inspect "$demo" --json) ;;
    bench) command=(bench "$demo" --prompt 2 --depth 0 --gen 1 --repeats 1) ;;
    quantize) rm -rf "$work/packed" && command=(quantize "$demo" --out "$work/packed") ;;
    quantize-json) rm -rf "$work/packed" && command=(quantize "$demo" --out "$work/packed" --json) ;;
    help) command=(--help) ;;
    run-help) command=(run --help) ;;
    version) command=(--version) ;;
    logits-stdout) command=("${logits[@]}" -) ;;
  esac
}
all="run run-json run-chat run-chat-json run-stats chat score score-json plan plan-json inspect inspect-json bench quantize quantize-json
     help run-help version"
run_command() { timeout 300 "$program" "${command[@]}" <"$work/prompt"; }

# vsearch #243, fd #737, uutils/coreutils #9782, #9877: a full disk was no error.
for name in $all logits-stdout; do
  begin "$name to a full device"
  printing "$name"
  run_command >/dev/full 2>"$work/err"
  status=$?
  expect_status 2
  expect_lines_of_error 1
  says "No space left on device"
done
for name in $all; do
  begin "$name to a full device says where"
  printing "$name"
  run_command >/dev/full 2>"$work/err"
  grep -q '^longhaul: cannot write to standard output: No space left on device; ' "$work/err" || fail "another message"
done

# rust-lang/rust #57728: what was printed landed in the first file that was opened, or nowhere.
for name in $all logits-stdout; do
  begin "$name to a closed standard output"
  printing "$name"
  run_command >&- 2>"$work/err"
  status=$?
  expect_status 2
  expect_lines_of_error 1
  says "it is closed"
done

# A file that may not grow: the system says so after some writes have passed.
for name in plan inspect-json help run-help; do
  begin "$name to a file that is full half way"
  printing "$name"
  (ulimit -f 1 && run_command >"$work/full" 2>"$work/err.pipe") 2>/dev/null
  status=$?
  cp "$work/err.pipe" "$work/err"
  if [[ $(wc -c <"$work/full") -ge 1024 ]]; then
    expect_status 2
    expect_lines_of_error 1
    says "cannot write to standard output: File too large; "
  fi
done
[[ $(wc -c <"$work/full") -ge 1024 ]] || fail "no output reached the limit"

# ripgrep #22, #200, #1125, vcpkg-tool #2059: a reader that has enough. 141 is 128 and SIGPIPE, as
# the shell tells it.
for name in $all logits-stdout; do
  begin "$name to a pipe that nobody reads"
  printing "$name"
  { (sleep 0.2; run_command 2>"$work/err"; echo $? >"$work/status") | true; } 2>/dev/null
  status=$(cat "$work/status")
  expect_status 141
  expect_lines_of_error 0
done
begin "a parent that ignores SIGPIPE changes nothing"
printing plan
{ (trap '' PIPE; sleep 0.2; run_command 2>"$work/err"; echo $? >"$work/status") | true; } 2>/dev/null
status=$(cat "$work/status")
expect_status 141
expect_lines_of_error 0
begin "a reader of the first line gets it, and an endless answer ends"
timeout 60 "$program" run "$demo" -p "In the beginning" -n 100000 --context 100k --ignore-eos --seed 7 2>"$work/err" | head -c 20 >"$work/out"
status=${PIPESTATUS[0]}
expect_status 141
[[ $(wc -c <"$work/out") == 20 ]] || fail "the reader got $(wc -c <"$work/out") bytes"
expect_lines_of_error 1 # of the context, which is beyond the model's

begin "an output's reader that went away ends the program as quietly"
longhaul "${logits[@]}" >(true)
expect_status 141
expect_lines_of_error 0

begin "an answer stops where it cannot be written"
start=$SECONDS
timeout 60 "$program" run "$demo" -p "In the beginning" -n 1000000 --context 1M --ignore-eos --seed 7 >/dev/full 2>"$work/err"
status=$?
expect_status 2
((SECONDS - start < 50)) || fail "it went on computing"

# ripgrep #1966, uutils/coreutils #10608: standard error is for people; without it the results are
# the same.
for how in closed full unread; do
  begin "standard error is $how"
  case $how in
    closed) timeout 60 "$program" "${run[@]}" --stats >"$work/out" 2>&- ;;
    full) timeout 60 "$program" "${run[@]}" --stats >"$work/out" 2>/dev/full ;;
    unread) timeout 60 "$program" "${run[@]}" --stats 2> >(true) >"$work/out" ;;
  esac
  status=$?
  expect_status 0
  cmp -s "$work/out" "$work/expected" || fail "another text"
  begin "an error with standard error $how"
  case $how in
    closed) timeout 60 "$program" run "$demo" -p x --topk 5 2>&- ;;
    full) timeout 60 "$program" run "$demo" -p x --topk 5 2>/dev/full ;;
    unread) timeout 60 "$program" run "$demo" -p x --topk 5 2> >(true) ;;
  esac
  status=$?
  expect_status 2
done
begin "all three streams closed"
timeout 60 "$program" "${logits[@]}" "$work/three.safetensors" <&- >&- 2>&-
status=$?
expect_status 0
cmp -s "$work/three.safetensors" "$work/expected.safetensors" || fail "other logits"

# MMseqs2 #974: a file of the model took the number of standard input, and was read as the
# conversation.
for what in "run $demo - -n 2" "run $demo -f /dev/stdin -n 2" "score $demo -f -" "chat $demo -n 2"; do
  read -ra command <<<"$what"
  begin "standard input is closed: $what"
  longhaul "${command[@]}" <&-
  expect_one_clear_error
  begin "standard input is a folder: $what"
  longhaul "${command[@]}" <"$work"
  expect_one_clear_error
done
begin "standard input is empty"
longhaul chat "$demo" -n 2 </dev/null
expect_status 0
expect_lines_of_error 0

# aichat #884, zstd #4340, semgrep/pfff #469, prokka #128, chevron #26, SLiM #77: a pipe is a file.
begin "prompts come from files of every kind"
mkfifo "$work/pipe"
for source in pipe substitution stdin dash link; do
  case $source in
    pipe) cat "$work/prompt" >"$work/pipe" & longhaul run "$demo" -f "$work/pipe" -n 6 --seed 7; wait ;;
    substitution) longhaul run "$demo" -f <(cat "$work/prompt") -n 6 --seed 7 ;;
    stdin) longhaul run "$demo" -f /dev/stdin -n 6 --seed 7 < <(cat "$work/prompt") ;;
    dash) longhaul run "$demo" -f - -n 6 --seed 7 < <(cat "$work/prompt") ;;
    link) ln -s prompt "$work/link" && longhaul run "$demo" "$work/link" -n 6 --seed 7 ;;
  esac
  expect_status 0
  cmp -s "$work/out" "$work/expected" || fail "$source gives another text"
done
longhaul score "$demo" -f <(cat "$demo/heldout.txt")
expect_status 0
cp "$work/out" "$work/score"
longhaul score "$demo" -f "$demo/heldout.txt"
cmp -s "$work/out" "$work/score" || fail "score of a pipe differs"
longhaul logits "$demo" --tokens-file <(cat "$work/tokens.json") --output "$work/piped.safetensors"
expect_status 0
cmp -s "$work/piped.safetensors" "$work/expected.safetensors" || fail "logits of a pipe differ"
longhaul logits "$demo" --tokens-file - --output "$work/piped.safetensors" <"$work/tokens.json"
expect_status 0
printf '{{ messages[0].content }}' >"$work/plain.jinja"
longhaul run "$demo" -p "In the beginning" -n 6 --seed 7 --chat --chat-template "$work/plain.jinja"
cp "$work/out" "$work/plain"
longhaul run "$demo" -p "In the beginning" -n 6 --seed 7 --chat --chat-template <(cat "$work/plain.jinja")
expect_status 0
cmp -s "$work/out" "$work/plain" || fail "a template from a pipe gives another text"
longhaul run "$demo" -p x --chat --tools <(printf '{')
expect_one_clear_error
says "not valid JSON"
begin "a prompt without an end"
longhaul run "$demo" -f /dev/zero -n 1
expect_one_clear_error
says "/dev/zero"
begin "the bytes of a prompt are kept"
for text in 'a\r\nb' '\xef\xbb\xbfa' 'a\n' '\t a'; do
  # shellcheck disable=SC2059
  printf "$text" >"$work/bytes"
  longhaul run "$demo" -f "$work/bytes" -n 0 --json
  from_file=$(number "$work/out" prompt_tokens)
  # shellcheck disable=SC2059
  longhaul run "$demo" -p "$(printf "$text"; printf x)" -n 0 --json
  with_x=$(number "$work/out" prompt_tokens)
  ((from_file > 0 && from_file <= with_x)) || fail "$text: $from_file tokens, and $with_x with an x"
done

# curl #6882, rmlint #763, bazel #31038, MidnightCommander #2012: devices and pipes were renamed
# over. Waits for a file that a process behind a pipe makes.
wait_for() {
  local n=0
  until [[ -e $1 ]] || ((++n > 100)); do sleep 0.1; done
}

begin "outputs go where their names lead"
same() { cmp -s "$1" "$work/expected.safetensors" || fail "$2: other bytes"; }
cat "$work/pipe" >"$work/through" &
longhaul "${logits[@]}" "$work/pipe"
wait
expect_status 0
[[ -p $work/pipe ]] || fail "the pipe was replaced"
same "$work/through" pipe
longhaul "${logits[@]}" >(cat >"$work/substituted"; touch "$work/done")
expect_status 0
wait_for "$work/done"
same "$work/substituted" "process substitution"
for name in - /dev/stdout /dev/fd/1 /proc/self/fd/1; do
  { printf before; timeout 60 "$program" "${logits[@]}" "$name"; printf after; } >"$work/all" 2>"$work/err"
  { printf before; cat "$work/expected.safetensors"; printf after; } | cmp -s - "$work/all" || fail "$name: other bytes"
done
timeout 60 "$program" "${logits[@]}" - 2>"$work/err" | cmp -s - "$work/expected.safetensors" || fail "- into a pipe: other bytes"
[[ ! -e ./- ]] || fail "a file called -"
printf old >"$work/target"
chmod 600 "$work/target"
ln -s target "$work/output"
longhaul "${logits[@]}" "$work/output"
expect_status 0
[[ -L $work/output ]] || fail "the link was replaced"
same "$work/target" "link"
[[ $(stat -c %a "$work/target") == 600 ]] || fail "the mode was not kept"
ln -s "$work/later" "$work/dangling"
longhaul "${logits[@]}" "$work/dangling"
expect_status 0
[[ -L $work/dangling ]] || fail "the dangling link was replaced"
same "$work/later" "dangling link"
if mknod "$work/null" c 1 3 2>/dev/null && : 2>/dev/null >"$work/null"; then
  longhaul "${logits[@]}" "$work/null"
  expect_status 0
  [[ -c $work/null ]] || fail "the device was replaced"
  ln -s null "$work/nothing"
  longhaul "${logits[@]}" "$work/nothing"
  [[ -c $work/null && -L $work/nothing ]] || fail "the device behind a link was replaced"
fi
longhaul bench "$demo" --prompt 1 --depth 0 --gen 1 --repeats 1 --chart >(cat >"$work/chart.svg"; touch "$work/drawn")
expect_status 0
wait_for "$work/drawn"
grep -q '</svg>' "$work/chart.svg" || fail "no chart went through a pipe"

begin "an output that cannot be written is told, and nothing is left"
longhaul "${logits[@]}" /dev/full
expect_one_clear_error
says "/dev/full: cannot write: No space left on device; free some space"
ln -s /dev/full "$work/full_link"
longhaul "${logits[@]}" "$work/full_link"
expect_one_clear_error
says "full_link: cannot write"
[[ -L $work/full_link ]] || fail "the link was replaced"
longhaul bench "$demo" --prompt 1 --depth 0 --gen 1 --repeats 1 --chart "$work/nowhere/chart.svg"
expect_one_clear_error
says "nowhere/chart.svg: cannot create: No such file or directory; check the path"
longhaul "${logits[@]}" "$work"
expect_one_clear_error
says "give the name of a file"
longhaul "${logits[@]}" ""
expect_one_clear_error
says "is empty"
limited() { (ulimit -f 8 && timeout 60 "$program" "$@") >"$work/out" 2>"$work/err"; status=$?; }
printf old >"$work/kept"
limited "${logits[@]}" "$work/kept"
expect_one_clear_error
says "kept: cannot write: File too large"
[[ $(cat "$work/kept") == old ]] || fail "an old file was lost"
limited quantize "$demo" --out "$work/q4"
expect_one_clear_error
says "File too large"
limited synth "$demo/config.json" --out "$work/random"
expect_one_clear_error
says "File too large"
[[ ! -e $work/q4 && ! -e $work/random ]] || fail "a folder is there"
left=$(find "$work" -name '*.partial')
[[ -z $left ]] || fail "left behind: $left"

begin "a file of the model, or the tokens, is no place for an output"
cp -r "$demo" "$work/model"
for file in model.safetensors config.json tokenizer.json; do
  longhaul logits "$work/model" --tokens-file "$work/tokens.json" --output "$work/model/$file"
  expect_one_clear_error
  says "is a file of the model"
  cmp -s "$work/model/$file" "$demo/$file" || fail "$file was overwritten"
done
ln -s model/model.safetensors "$work/alias"
longhaul logits "$work/model" --tokens-file "$work/tokens.json" --output "$work/alias"
expect_one_clear_error
says "is a file of the model"
longhaul logits "$work/model" --tokens-file "$work/tokens.json" --output "$work/tokens.json"
expect_one_clear_error
says "holds the tokens"
longhaul logits "$work/model" --tokens-file "$work/tokens.json" --output "$work/model/logits.safetensors"
expect_status 0

begin "folders go where their names lead"
mkdir "$work/there"
printf '{}' >"$work/there/note"
longhaul synth "$demo/config.json" --out "$work/there"
expect_status 0
[[ -s $work/there/model.safetensors && -s $work/there/config.json && -e $work/there/note ]] || fail "not all files are there"
mkdir "$work/empty"
ln -s empty "$work/folder_link"
longhaul quantize "$demo" --out "$work/folder_link/"
expect_status 0
[[ -L $work/folder_link && -s $work/empty/config.json ]] || fail "the link to a folder was replaced"
longhaul synth "$demo/config.json" --out "$work/kept"
expect_one_clear_error
says "cannot make the folder: Not a directory"

begin "without memory or threads there is still one line"
if can_limit_addresses; then
  (ulimit -v 2000000 && timeout 60 "$program" "${run[@]}" --threads 1000) >"$work/out" 2>"$work/err"
  status=$?
  expect_one_clear_error
  says "--threads"
fi

finish
