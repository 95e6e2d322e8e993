#!/bin/sh
# The tests in two lanes side by side: those that boot wait for their guests half of the time. What each says is shown when it
# ends, the boots last.
set -u
cargo=${CARGO:-cargo}
here=$(cd "$(dirname "$0")" && pwd)
log=$(mktemp) || exit
beside=
# Each job in the background has a session of its own: an interruption has to end all of it.
end_beside() { [ -z "$beside" ] || kill -- "-$beside" 2>/dev/null; }
trap 'end_beside; rm -f "$log"' EXIT
trap 'exit 130' INT TERM

# What the tests compare ister with comes from the network while they are compiled.
setsid "$here/tools/install.sh" >"$log" 2>&1 &
beside=$!
"$cargo" test --locked --no-run || exit
wait "$beside" || { cat "$log"; exit 1; }

setsid "$cargo" test --locked --test vm -- "$@" >"$log" 2>&1 &
beside=$!
# Every test program but that one.
others=$(cd "$here" && for file in *.rs; do printf -- '--test %s ' "${file%.rs}"; done)
# shellcheck disable=SC2086
"$cargo" test --locked --no-fail-fast --lib --bins $others -- "$@"
first=$?
wait "$beside"
second=$?
beside=
cat "$log"
[ "$first" -eq 0 ] && [ "$second" -eq 0 ]
