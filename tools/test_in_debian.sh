#!/usr/bin/env bash
# Builds the tree and runs its tests in a fresh, minimal Debian: what a newcomer's machine has, and nothing that ours happens to have.
#
#   tools/test_in_debian.sh RELEASE [ROOT [COMMAND...]]
#
# RELEASE is a suite such as bookworm (12) or trixie (13). ROOT is the folder for the root file system (default: a temporary one,
# removed afterwards; a folder that is named is kept and used again). COMMAND is what runs in the tree (default: ./dev test).
# Only what is committed is tested. Needs root and mmdebstrap.
set -euo pipefail

die() {
  printf 'test_in_debian: %s\n' "$*" >&2
  exit 2
}

[[ $# -ge 1 ]] || die "name a release, such as bookworm or trixie"
[[ $(id -u) == 0 ]] || die "needs root: a root file system is made and entered"
command -v mmdebstrap >/dev/null || die "mmdebstrap is missing; apt-get install mmdebstrap"

release=$1
tree=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)
if [[ $# -ge 2 ]]; then
  root=$2
  shift 2
else
  root=$(mktemp -d)
  shift
  trap 'rm -rf --one-file-system "$root"' EXIT
fi
[[ $# -gt 0 ]] || set -- ./dev test

# mmdebstrap refuses a folder that holds anything, so one that is used again is left as it is.
if [[ ! -x $root/bin/bash ]]; then
  mmdebstrap --variant=minbase --include=ca-certificates "$release" "$root"
  # Packages are fetched the way this machine fetches them.
  if compgen -G '/etc/apt/apt.conf.d/*proxy*' >/dev/null; then cp /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/"; fi
  cp /etc/resolv.conf "$root/etc/resolv.conf"
fi

mkdir -p "$root/longhaul"
git -C "$tree" archive HEAD | tar -x -C "$root/longhaul"

# Its own mounts, processes and terminal: nothing is left behind when the tests end.
exec_in_root() {
  # shellcheck disable=SC2016 # the inner shell expands these
  unshare --mount --pid --fork --kill-child bash -c '
    root=$1; shift
    mount -t proc proc "$root/proc"
    mount -t tmpfs tmpfs "$root/dev/shm" 2>/dev/null || true
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts" # a test writes to a terminal
    for device in null zero full random urandom tty; do
      [[ -e $root/dev/$device ]] || cp -a "/dev/$device" "$root/dev/"
    done
    [[ -e $root/dev/fd ]] || ln -s /proc/self/fd "$root/dev/fd"
    [[ -e $root/dev/stdin ]] || ln -s /proc/self/fd/0 "$root/dev/stdin"
    [[ -e $root/dev/stdout ]] || ln -s /proc/self/fd/1 "$root/dev/stdout"
    [[ -e $root/dev/stderr ]] || ln -s /proc/self/fd/2 "$root/dev/stderr"
    exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 CI=true \
      ${LONGHAUL_JOBS:+LONGHAUL_JOBS=$LONGHAUL_JOBS} bash -c "cd /longhaul && exec \"\$@\"" bash "$@"
  ' bash "$root" "$@"
}
exec_in_root "$@"
