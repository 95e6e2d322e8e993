#!/bin/sh
# Runs every fuzz target for SECONDS (default 600): fuzz/run.sh [SECONDS]. Needs cargo-fuzz and a nightly compiler.
# New inputs are written to fuzz/found/, which is not committed. The small seed corpus in fuzz/corpus/ is committed.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-600}
for target in json lint fix; do
    mkdir -p "fuzz/found/$target"
    cargo +nightly fuzz run "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
        -dict=fuzz/template.dict -max_len=3000 -timeout=10 -max_total_time="$seconds"
done
mkdir -p fuzz/found/swupd
cargo +nightly fuzz run swupd fuzz/found/swupd fuzz/corpus/swupd -- -max_len=6000 -timeout=10 -max_total_time="$seconds"
# Images are too large for the repository, so the seeds are generated. XFS and btrfs are larger than an input may be.
found=fuzz/found/disk
mkdir -p "$found"
seed() {
    name=$found/seed-$1
    shift
    [ -e "$name" ] || "$@" "$name"
}
filesystem() { truncate -s 1M "$2" && $1 "$2"; }
squashfs() { mksquashfs fuzz/corpus "$2" -quiet -no-progress -noappend -all-root -comp "$1"; }
erofs() { mkfs.erofs --quiet -z "$1" "$2" fuzz/corpus; }
luks() { truncate -s 1M "$1" && printf fuzz | cryptsetup luksFormat --batch-mode --type luks2 --luks2-metadata-size 16k \
    --luks2-keyslots-size 256k --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$1" -; }
archive() { (cd fuzz/corpus && find . | cpio --quiet -o -H newc) >"$1"; }
logical() {
    truncate -s 1M "$1"
    printf 'label: dos\n1: start=128, size=1024, type=5\n5: start=192, size=128\n6: start=384, size=128\n' | sfdisk -q "$1"
}
seed ext4 filesystem "mke2fs -q -t ext4"
seed ext2 filesystem "mke2fs -q -t ext2 -b 1024"
seed vfat filesystem mkfs.vfat
for compression in gzip xz zstd lzo lz4; do seed "squashfs-$compression" squashfs "$compression"; done
seed erofs erofs lz4hc
seed luks luks
seed cpio archive
seed mbr logical
for target in disk boot; do
    cargo +nightly fuzz run "$target" fuzz/found/disk -- -max_len=1200000 -timeout=10 -max_total_time="$seconds"
done
