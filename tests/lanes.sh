#!/bin/sh
# Runs the tests in two parallel lanes of about the same length. The tests that boot images start while the other tests
# are compiled. The output of the booting lane is printed last, after it ends.
set -u
CARGO=${CARGO:-cargo}
here=$(cd "$(dirname "$0")" && pwd)
# Modules for the lane of the booting tests. Tests that check the host for leftover loop devices and mounts must all run
# in the same lane, which is the other one.
BOOT_LANE='editors pipelines provision verify'
MODULES=$(sed -n 's/^        \([a-z_]*\)::tests(),$/\1/p' "$here/main.rs")
# cargo does not fail if a test filter matches nothing.
[ -n "$MODULES" ] || exit 1
log=$(mktemp) || exit
tools=$(mktemp) || exit
READY=$log.ready
# Each background job has its own session. On an interrupt, all processes of these sessions must be terminated.
lanes=
end_all() {
    for lane in $lanes; do kill -- "-$lane" 2>/dev/null; done
    rm -f "$log" "$tools" "$READY" "$log.first" "$log.shown"
}
trap end_all EXIT
trap 'exit 130' INT TERM

# Meanwhile, install the programs that the tests compare ister with, from the network.
setsid "$here/tools/install.sh" >"$tools" 2>&1 &
installing=$!
lanes=$installing
"$CARGO" test --locked --no-run --test vm || exit

export CARGO READY BOOT_LANE
# shellcheck disable=SC2016
setsid sh -c '
    failed=0
    "$CARGO" test --locked --test vm -- "$@" || failed=1
    until [ -e "$READY" ]; do sleep 1; done
    for module in $BOOT_LANE; do "$CARGO" test --locked --test suite -- "$@" "$module::" || failed=1; done
    exit "$failed"
' sh "$@" >"$log" 2>&1 &
booting=$!
lanes="$lanes $booting"
# The test is already compiled, but cargo holds the build lock until it has verified that. Wait for the test to start.
until grep -q Running "$log" || ! kill -0 "$booting" 2>/dev/null; do sleep 1; done

"$CARGO" test --locked --no-run || exit
wait "$installing" || { cat "$tools"; exit 1; }
lanes=$booting
: >"$READY"
first=0
{
    "$CARGO" test --locked --no-fail-fast --lib --bins -- "$@" || first=1
    for module in $MODULES; do
        case " $BOOT_LANE " in *" $module "*) continue ;; esac
        "$CARGO" test --locked --test suite -- "$@" "$module::" || first=1
    done
    echo "$first" >"$log.first"
} 2>&1 | tee "$log.shown"
first=$(cat "$log.first")
wait "$booting"
second=$?
lanes=
cat "$log"
# Skipped tests are reported, because they did not pass.
skipped=$(cat "$log.shown" "$log" | grep -c '^test .* ignored (')
[ "$skipped" -eq 0 ] || echo "$skipped tests were skipped; the output above contains the reasons"
[ "$first" -eq 0 ] && [ "$second" -eq 0 ]
