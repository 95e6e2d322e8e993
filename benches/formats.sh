#!/bin/bash
# Compares the time to write an image in each format: ister and the usual program for the format, alternating in one
# run. Run it after `make setup`.
#
#   benches/formats.sh [ROUNDS=2] [FORMAT...]
#
# The image is that of the kvm type (8.5 GiB, with about 400 MiB of data). ister's time is the difference between a
# build with the format and one without it. It includes reading back and comparing the output, which the other programs
# do not do. Prints medians in seconds, and sizes. The first round only warms up caches and is not counted.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-2}
shift || true
formats=${*:-qcow2 vhd vhdx vdi vmdk raw.gz raw.xz raw.zst tar.gz}
ister=$PWD/target/release/ister
work=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
trap 'rm -rf "$work"' EXIT

now() { date +%s%N; }
timed() { # NAME COMMAND...: appends milliseconds to $work/NAME
    local name=$1 start; shift
    sync
    start=$(now)
    "$@" >"$work/log" 2>&1 || { echo "failed: $*" >&2; tail -n 20 "$work/log" >&2; exit 1; }
    echo "$((($(now) - start) / 1000000))" >>"$work/$name"
}
median() { tail -n "$rounds" "$work/$1" | sort -n | awk '{a[NR] = $1} END {printf "%.2f", a[int((NR + 1) / 2)] / 1000}'; }

build() { "$ister" build vm-tests/kvm/template.json -o "$work/out" -q --set "Formats=$1"; }
image=$work/image.raw
by_hand() { # FORMAT
    local to=$work/hand.$1
    rm -f "$to"
    case $1 in
        qcow2) qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd "$image" "$to" ;;
        vhd) qemu-img convert -f raw -O vpc -o subformat=fixed,force_size=on "$image" "$to" ;;
        vhdx | vdi) qemu-img convert -f raw -O "$1" "$image" "$to" ;;
        vmdk) qemu-img convert -f raw -O vmdk -o subformat=streamOptimized "$image" "$to" ;;
        raw.gz) gzip -6 -c "$image" >"$to" ;;
        raw.xz) xz -1 -T0 -c "$image" >"$to" ;;
        raw.zst) zstd -q -12 -T0 -c "$image" >"$to" ;;
        tar.gz) tar -C "$work" --format=gnu -S -czf "$to" --transform 's/.*/disk.raw/' image.raw ;;
    esac
    du -k --apparent-size "$to" | cut -f1 >"$work/size-hand-$1"
}

build '[]'
cp --sparse=always "$work/out/kvm.img" "$image"
for round in $(seq 0 "$rounds"); do
    timed without build '[]'
    for format in $formats; do
        timed "ister-$format" build "[\"$format\"]"
        du -k --apparent-size "$work"/out/kvm*."${format#raw.}" | cut -f1 >"$work/size-ister-$format"
        timed "hand-$format" by_hand "$format"
    done
done
echo "without: $(median without) s"
for format in $formats; do
    awk -v f="$format" -v h="$(median "hand-$format")" -v i="$(median "ister-$format")" -v w="$(median without)" \
        -v hs="$(cat "$work/size-hand-$format")" -v is="$(cat "$work/size-ister-$format")" \
        'BEGIN {printf "%-8s by hand %6.2f s %5d MiB   ister %6.2f s %5d MiB   ratio %.2f\n", f, h, hs/1024, i-w, is/1024, (i-w)/h}'
done
