#!/bin/bash
# Compares whole builds and boots: ister and the same work with standard tools by hand, alternating in one run. Run it
# as root, after `make setup`.
#
#   benches/run.sh [ROUNDS=3] [ARCHIVE]
#
# ARCHIVE should be a mirror or a cache on this machine; otherwise the results include the network. The default is the
# host's first Debian archive. Prints medians in seconds, and ratios. On a shared machine, only the ratios are
# meaningful. The first round only warms up caches and is not counted.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
archive=${2:-$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk '$2 == "bookworm" {print $1; exit}')}
ister=$PWD/target/release/ister
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
template=$work/bench.json

# The kvm type with a root filesystem of 4 GiB. Both sides install the same packages.
sed 's/"8G"/"4G"/; s/"512M", "type": "EFI"/"512M", "type": "EFI"/' vm-tests/kvm/template.json >"$template"
packages=$("$ister" plan "$template" --format json | sed -n '/"packages": \[/,/\]/p' | tr -d ' \n"' | sed 's/.*\[//; s/\].*//')

now() { date +%s%N; }
timed() { # NAME COMMAND...: appends milliseconds to $work/NAME
    local name=$1 start; shift
    start=$(now)
    "$@" >"$work/log" 2>&1 || { echo "failed: $*" >&2; tail -n 20 "$work/log" >&2; exit 1; }
    echo "$((($(now) - start) / 1000000))" >>"$work/$name"
}
median() { tail -n "$rounds" "$work/$1" | sort -n | awk '{a[NR] = $1} END {printf "%.2f", a[int((NR + 1) / 2)] / 1000}'; }

by_hand_fill() {
    rm -rf "$work/tree"
    mmdebstrap -q --mode=root --variant=minbase --include="$packages" \
        --aptopt='Acquire::Check-Valid-Until "false"' bookworm "$work/tree" "deb $archive bookworm main"
}
by_hand_image() { # ROOT_MIB
    local image=$work/hand.img esp=513
    rm -f "$image"
    truncate -s $(($1 + 512 + 2))M "$image"
    printf 'label: gpt\nstart=2048,size=1048576,type=U\ntype=4f68bce3-e8cd-4db1-96e7-fbcaf984b709,size=%s\n' $(($1 * 2048)) |
        sfdisk -q "$image"
    truncate -s 512M "$work/esp"
    mkfs.vfat "$work/esp" >/dev/null
    mmd -i "$work/esp" ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
    mcopy -i "$work/esp" "$work"/tree/usr/lib/systemd/boot/efi/systemd-bootx64.efi ::/EFI/BOOT/BOOTX64.EFI
    mcopy -i "$work/esp" "$work"/tree/boot/vmlinuz-* ::/vmlinuz
    mcopy -i "$work/esp" "$work"/tree/boot/initrd.img-* ::/initrd
    printf 'title Debian\nlinux /vmlinuz\ninitrd /initrd\noptions root=LABEL=root rw console=tty0 console=ttyS0,115200n8\n' |
        mcopy -i "$work/esp" - ::/loader/entries/debian.conf
    cp --sparse=always "$work/esp" "$work/esp.sparse"
    dd if="$work/esp.sparse" of="$image" bs=1M seek=1 conv=notrunc,sparse status=none
    mke2fs -q -F -t ext4 -L root -E offset=$((esp * 1048576)) -d "$work/tree" "$image" "$1"M
    rm -f "$work/esp" "$work/esp.sparse"
}
by_hand_cold() { by_hand_fill; by_hand_image 4096; }
ister_build() { "$ister" build "$template" -C "$archive" -o "$work/out" --cache-dir "$work/cache" -q "$@"; }
ister_cold() { rm -rf "$work/cache"; ister_build; }
by_hand_boot() { python3 benches/watch.py "$work/out/bench.img"; }
ister_boot() { "$ister" boot "$work/out/bench.img" -q; }

sed -i 's/kvm\.img/bench.img/' "$template"
for round in $(seq 0 "$rounds"); do
    timed hand-cold by_hand_cold
    timed ister-cold ister_cold
    timed hand-warm by_hand_image $((4100 + round))
    timed ister-warm ister_build --set "Hostname=\"round$round\"" --set "Version=\"bookworm\""
done
for round in $(seq 0 "$rounds"); do
    timed hand-boot by_hand_boot
    timed ister-boot ister_boot
done
for what in cold warm boot; do
    awk -v w="$what" -v h="$(median "hand-$what")" -v i="$(median "ister-$what")" \
        'BEGIN {printf "%-5s by hand %6.2f s   ister %6.2f s   ratio %.2f\n", w, h, i, i / h}'
done
