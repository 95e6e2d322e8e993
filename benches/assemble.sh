#!/bin/bash
# Compares the time to assemble an image from an existing tree: ister, standard tools by hand, loop mount and copy,
# systemd-repart, genimage, and a plain copy of the bytes. The variants alternate in one run. Run it as root, after
# `make setup`.
#
#   benches/assemble.sh [ROUNDS=5] [DEBIAN13]
#
# The tree is the content of the kvm type (374 MB, 14,000 files). ister reads it packed from its cache, verifies its
# hash, customizes it and syncs the image; the others read it unpacked and do not sync. DEBIAN13 is a directory with
# Debian 13 and systemd-repart (mmdebstrap --variant=minbase --include=systemd-repart,mtools,dosfstools,e2fsprogs trixie
# DEBIAN13), because older versions of systemd-repart need loop devices. Tools that are not installed are skipped.
# Prints medians in seconds, and ratios to the work by hand.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
debian13=${2:-}
cargo build --locked --release --quiet
ister=$PWD/target/release/ister
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
template=$work/bench.json
sed 's/"8G"/"4G"/; s/kvm\.img/bench.img/' vm-tests/kvm/template.json >"$template"
"$ister" build "$template" -o "$work" -q >/dev/null
mkdir "$work/tree"
tar -C "$work/tree" -xpf "$(ls -t "${XDG_CACHE_HOME:-$HOME/.cache}"/ister/content/*.tar | head -n 1)"
tar -C "$work/tree" -cf "$work/tree.tar" .

now() { date +%s%N; }
timed() { # NAME COMMAND...: appends milliseconds to $work/NAME
    local name=$1 start; shift
    start=$(now)
    "$@" >"$work/log" 2>&1 || { echo "failed: $*" >&2; tail -n 20 "$work/log" >&2; exit 1; }
    echo "$((($(now) - start) / 1000000))" >>"$work/$name.ms"
}
median() { sort -n "$work/$1.ms" | awk '{a[NR] = $1} END {printf "%.2f", a[int((NR + 1) / 2)] / 1000}'; }

disk() { # IMAGE: creates an empty disk with both partitions
    rm -f "$1"
    truncate -s 4610M "$1"
    printf 'label: gpt\nstart=2048,size=1048576,type=U\ntype=4f68bce3-e8cd-4db1-96e7-fbcaf984b709,size=8388608\n' |
        sfdisk -q "$1"
}
esp() { # IMAGE TREE
    export MTOOLS_SKIP_CHECK=1
    mkfs.vfat -F32 --offset 2048 "$1" 524288
    mmd -i "$1@@1M" ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
    mcopy -i "$1@@1M" "$2"/usr/lib/systemd/boot/efi/systemd-bootx64.efi ::/EFI/BOOT/BOOTX64.EFI
    mcopy -i "$1@@1M" "$2"/boot/vmlinuz-* ::/vmlinuz
    mcopy -i "$1@@1M" "$2"/boot/initrd.img-* ::/initrd
    printf 'title Debian\nlinux /vmlinuz\ninitrd /initrd\noptions root=LABEL=root rw\n' |
        mcopy -i "$1@@1M" - ::/loader/entries/debian.conf
}
by_hand() {
    disk "$work/hand.img"
    esp "$work/hand.img" "$work/tree"
    mke2fs -q -F -t ext4 -E offset=537919488 -d "$work/tree" "$work/hand.img" 4096M
}
loop_copy() (
    disk "$work/loop.img"
    loop=$(losetup -f --show -o 537919488 --sizelimit 4294967296 "$work/loop.img")
    mkdir -p "$work/mount"
    trap 'umount -q "$work/mount" || :; losetup -d "$loop"' EXIT
    mke2fs -q -F -t ext4 "$loop"
    mount "$loop" "$work/mount"
    cp -a "$work/tree/." "$work/mount/"
    esp "$work/loop.img" "$work/mount"
)
bytes() { rm -f "$work/bytes"; dd if="$work/tree.tar" of="$work/bytes" bs=1M status=none; }
gen() {
    rm -rf "$work/gen"
    mkdir -p "$work/gen/in/EFI/BOOT"
    cp "$work"/tree/usr/lib/systemd/boot/efi/systemd-bootx64.efi "$work/gen/in/EFI/BOOT/BOOTX64.EFI"
    cp "$work"/tree/boot/vmlinuz-* "$work/gen/in/vmlinuz"
    cp "$work"/tree/boot/initrd.img-* "$work/gen/in/initrd"
    cat >"$work/gen/config" <<'C'
image esp.vfat { vfat { files = { "EFI", "vmlinuz", "initrd" } } size = 512M }
image root.ext4 { ext4 { use-mke2fs = true } size = 4G }
image disk.img { hdimage { partition-table-type = gpt }
    partition esp { image = "esp.vfat" partition-type-uuid = U } partition root { image = "root.ext4" partition-type-uuid = L } }
C
    genimage --loglevel 1 --rootpath "$work/tree" --tmppath "$work/gen/tmp" --inputpath "$work/gen/in" \
        --outputpath "$work/gen/out" --config "$work/gen/config"
}
repart() {
    rm -f "$work/repart.img"
    # In a separate mount namespace, so that nothing stays mounted.
    unshare -m --propagation private sh -euc '
        for directory in dev proc sys; do mount --rbind "/$directory" "$1/$directory"; done
        mkdir -p "$1$2"; mount --bind "$2" "$1$2"
        chroot "$1" systemd-repart --empty=create --size=4610M --dry-run=no --no-pager --no-legend --offline=yes \
            --definitions="$2/repart.d" --root="$2/tree" "$2/repart.img"' sh "$debian13" "$work"
}
mkdir "$work/repart.d"
printf '[Partition]\nType=esp\nFormat=vfat\nSizeMinBytes=512M\nSizeMaxBytes=512M\nCopyFiles=/usr/lib/systemd/boot/efi/systemd-bootx64.efi:/EFI/BOOT/BOOTX64.EFI\nCopyFiles=/boot:/\n' >"$work/repart.d/10-esp.conf"
printf '[Partition]\nType=root-x86-64\nFormat=ext4\nSizeMinBytes=4G\nSizeMaxBytes=4G\nCopyFiles=/:/\n' >"$work/repart.d/20-root.conf"
ister_build() { "$ister" build "$template" -o "$work/out" -q; }

sides="by_hand ister_build bytes loop_copy"
if command -v genimage >/dev/null; then sides="$sides gen"; else echo "skipped: genimage is not installed" >&2; fi
if [ -n "$debian13" ]; then sides="$sides repart"; else echo "skipped: systemd-repart, because DEBIAN13 is not set" >&2; fi
for round in $(seq 0 "$rounds"); do
    for side in $sides; do timed "$side" "$side"; done
    # The first round only warms up caches.
    [ "$round" != 0 ] || rm -f "$work"/*.ms
done
hand=$(median by_hand)
for side in $sides; do
    awk -v s="$side" -v t="$(median "$side")" -v h="$hand" 'BEGIN {printf "%-12s %6.2f s   %.2f times by hand\n", s, t, t / h}'
done
