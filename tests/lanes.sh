#!/bin/sh
# The tests in two lanes side by side, of about the same length: those that boot begin while the others are compiled. What each lane says
# is shown when it ends, the boots last.
set -u
CARGO=${CARGO:-cargo}
here=$(cd "$(dirname "$0")" && pwd)
# What a build leaves on the host, loop devices and mounts, is looked at in one lane only.
BESIDE='editors pipelines provision verify'
OTHERS=$(sed -n 's/^        \([a-z_]*\)::tests(),$/\1/p' "$here/main.rs")
# A filter that matches nothing is no failure for cargo.
[ -n "$OTHERS" ] || exit 1
log=$(mktemp) || exit
tools=$(mktemp) || exit
READY=$log.ready
# Each job in the background has a session of its own: an interruption has to end all of it.
lanes=
end_all() {
    for lane in $lanes; do kill -- "-$lane" 2>/dev/null; done
    rm -f "$log" "$tools" "$READY" "$log.first" "$log.shown"
}
trap end_all EXIT
trap 'exit 130' INT TERM

# What the tests compare ister with comes from the network meanwhile.
setsid "$here/tools/install.sh" >"$tools" 2>&1 &
installing=$!
lanes=$installing
"$CARGO" test --locked --no-run --test vm || exit

export CARGO READY BESIDE
# shellcheck disable=SC2016
setsid sh -c '
    failed=0
    "$CARGO" test --locked --test vm -- "$@" || failed=1
    until [ -e "$READY" ]; do sleep 1; done
    for module in $BESIDE; do "$CARGO" test --locked --test suite -- "$@" "$module::" || failed=1; done
    exit "$failed"
' sh "$@" >"$log" 2>&1 &
booting=$!
lanes="$lanes $booting"
# It is compiled; while cargo looks whether it is, it lets nobody else compile.
until grep -q Running "$log" || ! kill -0 "$booting" 2>/dev/null; do sleep 1; done

"$CARGO" test --locked --no-run || exit
wait "$installing" || { cat "$tools"; exit 1; }
lanes=$booting
: >"$READY"
first=0
{
    "$CARGO" test --locked --no-fail-fast --lib --bins -- "$@" || first=1
    for module in $OTHERS; do
        case " $BESIDE " in *" $module "*) continue ;; esac
        "$CARGO" test --locked --test suite -- "$@" "$module::" || first=1
    done
    echo "$first" >"$log.first"
} 2>&1 | tee "$log.shown"
first=$(cat "$log.first")
wait "$booting"
second=$?
lanes=
cat "$log"
# A skip is not a pass.
skipped=$(cat "$log.shown" "$log" | grep -c '^test .* ignored (')
[ "$skipped" -eq 0 ] || echo "$skipped tests were skipped: each says above why"
[ "$first" -eq 0 ] && [ "$second" -eq 0 ]
