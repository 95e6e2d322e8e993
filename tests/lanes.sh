#!/bin/sh
# The tests in two lanes side by side: those that boot wait for their guests half of the time. What each says is shown when it
# ends, the boots last.
# Each background job gets a process group: an interruption has to end all of it.
set -um
cargo=${CARGO:-cargo}
$cargo test --locked --no-run || exit
log=$(mktemp) || exit
trap 'rm -f "$log"' EXIT
$cargo test --locked --test vm -- "$@" >"$log" 2>&1 &
vm=$!
trap 'kill -- "-$vm"; rm -f "$log"; exit 130' INT TERM
# Every test program but that one.
others=$(cd "$(dirname "$0")" && for file in *.rs; do printf -- '--test %s ' "${file%.rs}"; done)
# shellcheck disable=SC2086
$cargo test --locked --no-fail-fast --lib --bins $others -- "$@"
first=$?
wait "$vm"
second=$?
cat "$log"
[ "$first" -eq 0 ] && [ "$second" -eq 0 ]
