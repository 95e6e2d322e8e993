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
# Filesystem images are too large for the repository, so the seeds are generated.
mkdir -p fuzz/found/disk
for kind in "mke2fs -q -t ext4" "mke2fs -q -t ext2 -b 1024" "mkfs.vfat"; do
    seed=fuzz/found/disk/seed-$(printf '%s' "$kind" | tr -c 'a-z0-9\n' -)
    [ -e "$seed" ] || { truncate -s 1M "$seed"; $kind "$seed"; }
done
for target in disk boot; do
    cargo +nightly fuzz run "$target" fuzz/found/disk -- -max_len=1200000 -timeout=10 -max_total_time="$seconds"
done
