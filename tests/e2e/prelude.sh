# What the end-to-end tests share; sourced with PROGRAM and DEMO_MODEL as arguments.
# shellcheck shell=bash
set -uo pipefail

program=$1
demo=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
status=0
test_name=

# A sanitizer makes the program some twenty times slower, and reserves terabytes of addresses for
# itself. The build says that it has one.
sanitized=${LONGHAUL_SANITIZED:-0}
timeout() {
  local seconds=$1
  shift
  command timeout $((sanitized ? 10 * seconds : seconds)) "$@"
}
can_limit_addresses() {
  ((sanitized)) || return 0
  echo "not run under a sanitizer, which needs the addresses itself: $test_name"
  return 1
}

needs_demo() { [[ -f $demo/config.json ]] || { echo "skipped: no model at $demo"; exit 77; }; }

fail() {
  failures=$((failures + 1))
  printf 'FAILED %s: %s\n' "$test_name" "$*"
  head -n 20 "$work/err" | cut -c1-300 | sed 's/^/  stderr: /'
}

begin() {
  test_name=$1
  : >"$work/out"
  : >"$work/err"
}

# Runs the program; its status, standard output and standard error are kept for the checks below.
longhaul() {
  timeout 300 "$program" "$@" >"$work/out" 2>"$work/err"
  status=$?
}

expect_status() { [[ $status == "$1" ]] || fail "exit status $status, expected $1"; }
expect_text() { grep -q '[[:graph:]]' "$work/out" || fail "nothing on standard output"; }

# So many lines on standard error, the first of them ours.
expect_lines_of_error() {
  local lines
  lines=$(wc -l <"$work/err")
  [[ $lines == "$1" ]] || fail "$lines lines on standard error, expected $1"
  [[ $1 == 0 || $(head -c 10 "$work/err") == "longhaul: " ]] || fail "the message does not begin with 'longhaul: '"
}

# One line of plain words on standard error, nothing on standard output.
expect_one_clear_error() {
  expect_status 2
  expect_lines_of_error 1
  [[ ! -s $work/out ]] || fail "an error that writes to standard output"
}

# Standard error holds these words.
says() {
  local words
  for words in "$@"; do
    grep -qF -- "$words" "$work/err" || fail "the message does not say '$words'"
  done
}

# Standard output is one JSON object and nothing else.
expect_json() {
  local first last
  first=$(tr -d '[:space:]' <"$work/out" | head -c 1)
  last=$(tr -d '[:space:]' <"$work/out" | tail -c 1)
  [[ $first == "{" && $last == "}" ]] || fail "standard output is not one JSON object"
  if command -v python3 >/dev/null && ! python3 -c 'import json, sys; json.load(sys.stdin)' <"$work/out" 2>>"$work/err"; then
    fail "standard output is not valid JSON"
  fi
}

# The number under a key of the JSON in a file: the first place where it stands.
number() { grep -oE "\"$2\"[[:space:]]*:[[:space:]]*-?[0-9.eE+-]+" "$1" | head -n 1 | sed 's/.*:[[:space:]]*//'; }

finish() {
  if ((failures > 0)); then
    echo "$failures checks failed"
    exit 1
  fi
  echo "all checks passed"
}
