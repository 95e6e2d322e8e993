#!/bin/sh
# The tests in two lanes side by side: those that boot begin while the others are compiled. What each says is shown when it
# ends, the boots last.
set -u
cargo=${CARGO:-cargo}
here=$(cd "$(dirname "$0")" && pwd)
log=$(mktemp) || exit
# Each job in the background has a session of its own: an interruption has to end all of it.
lanes=
tools=$(mktemp) || exit
end_all() {
    for lane in $lanes; do kill -- "-$lane" 2>/dev/null; done
    rm -f "$log" "$tools"
}
trap end_all EXIT
trap 'exit 130' INT TERM

# What the tests compare ister with comes from the network meanwhile.
setsid "$here/tools/install.sh" >"$tools" 2>&1 &
installing=$!
lanes=$installing
"$cargo" test --locked --no-run --test vm || exit

setsid "$cargo" test --locked --test vm -- "$@" >"$log" 2>&1 &
booting=$!
lanes="$lanes $booting"
# It is compiled; while cargo looks whether it is, it lets nobody else compile.
until grep -q Running "$log" || ! kill -0 "$booting" 2>/dev/null; do sleep 1; done

"$cargo" test --locked --no-run || exit
wait "$installing" || { cat "$tools"; exit 1; }
lanes=$booting
# Every test program but that one.
others=$(cd "$here" && for file in *.rs; do printf -- '--test %s ' "${file%.rs}"; done)
# shellcheck disable=SC2086
"$cargo" test --locked --no-fail-fast --lib --bins $others -- "$@"
first=$?
wait "$booting"
second=$?
lanes=
cat "$log"
[ "$first" -eq 0 ] && [ "$second" -eq 0 ]
