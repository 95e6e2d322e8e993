#!/bin/bash
# Compares installing swupd content: ister, and `xz -dc | tar -x` on the same packs, which does not verify anything.
# They alternate in one run. Run it as root, after `make setup`.
#
#   benches/swupd.sh [ROUNDS=5] [WORK]
#
# The content is the tree of the kvm type in eleven bundles, packed like mixer does; it is reused if WORK is set. All
# output goes to tmpfs, so that the results do not depend on the disk. Three cases: state directory and tree on one
# filesystem (one), on two filesystems (two), and a state directory that already contains everything (again). Prints
# medians in seconds, the ratio to xz and tar on one core, and ister's peak memory.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
cargo build --locked --release --quiet
ister=$PWD/target/release/ister
work=${2:-$(mktemp -d)}
mkdir -p "$work"
if [ ! -e "$work/www/10/Manifest.MoM" ]; then
    "$ister" build vm-tests/kvm/template.json -o "$work" -S "$work/cache" -q >/dev/null
    mkdir -p "$work/tree"
    tar -C "$work/tree" -xpf "$work"/cache/content/*.tar
    python3 tests/tools/swupd_content.py "$work/www" 10 "$work/tree" "$work/keys" --full-files \
        --bundle libraries=usr/lib/x86_64-linux-gnu --bundle kernel=usr/lib/modules,boot --bundle programs=usr/bin,usr/sbin \
        --bundle documents=usr/share/doc --bundle languages=usr/share/locale --bundle zones=usr/share/zoneinfo \
        --bundle packages=var/lib/dpkg --bundle system=usr/lib/systemd,usr/lib/udev --bundle perl=usr/share/perl5 \
        --bundle configuration=etc
fi
bundles=$(cd "$work/www/10" && echo pack-*-from-0.tar | sed 's/pack-//g; s/-from-0.tar//g; s/ /,/g')
echo "$(du -sm --apparent-size "$work/tree" | cut -f1) MB, $(find "$work/tree" | wc -l) entries, bundles: $bundles"
one=$work/one
two=$work/two
mkdir -p "$one" "$two"
mount -t tmpfs -o size=4G tmpfs "$one"
mount -t tmpfs -o size=4G tmpfs "$two"
trap 'umount "$one" "$two"' EXIT

now() { date +%s%N; }
timed() { # NAME COMMAND...
    local name=$1 start; shift
    start=$(now)
    "$@" >"$work/log" 2>&1 || { echo "failed: $*" >&2; tail -n 20 "$work/log" >&2; exit 1; }
    echo "$((($(now) - start) / 1000000))" >>"$work/$name.ms"
}
median() { sort -n "$work/$1.ms" | awk '{a[NR] = $1} END {printf "%.2f", a[int((NR + 1) / 2)] / 1000}'; }
bare() {
    mkdir "$one/bare"
    for pack in "$work"/www/10/pack-*; do xz -dc "$pack" | tar -x -C "$one/bare"; done
}
install() { # TREE STATE
    /usr/bin/python3 - "$work/peak" "$ister" swupd install "$1" -q -C "file://$work/www" --version 10 -B "$bundles" \
        -s "$work/keys/cert.pem" -S "$2" <<'PEAK'
import os, re, subprocess, sys, threading, time
child = subprocess.Popen(sys.argv[2:])
peak, done = 0, False
def pids(pid):
    yield pid
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for other in open(f"/proc/{pid}/task/{task}/children").read().split():
                yield from pids(int(other))
    except OSError:
        pass
while child.poll() is None:
    total = 0
    for pid in pids(child.pid):
        try:
            total += int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1))
        except (OSError, AttributeError):
            pass
    peak = max(peak, total)
    time.sleep(0.05)
print(peak // 1024, file=open(sys.argv[1], "a"))
sys.exit(child.returncode)
PEAK
}
rm -f "$work"/*.ms "$work/peak"
for _ in $(seq "$rounds"); do
    timed bare bare
    rm -rf "$one"/*
    timed one install "$one/tree" "$one/state"
    rm -rf "$one"/*
    timed two install "$one/tree" "$two/state"
    rm -rf "$one"/*
    timed again install "$one/tree" "$two/state"
    rm -rf "$one"/* "$two"/*
done
base=$(median bare)
for name in bare one two again; do
    printf '%-6s %6s s  %s\n' "$name" "$(median $name)" "$(awk "BEGIN {printf \"%.2f\", $(median $name) / $base}")"
done
echo "peak memory: $(sort -n "$work/peak" | tail -n 1) MB, all processes of ister together"
