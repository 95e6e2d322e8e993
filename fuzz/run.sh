#!/bin/sh
# Runs every fuzz target for some time: fuzz/run.sh [SECONDS]. Needs cargo-fuzz and a nightly compiler.
# New inputs stay in fuzz/found/, which is not committed; fuzz/corpus/ is small and is.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-600}
for target in json lint fix; do
    mkdir -p "fuzz/found/$target"
    cargo +nightly fuzz run "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
        -dict=fuzz/template.dict -max_len=3000 -timeout=10 -max_total_time="$seconds"
done
