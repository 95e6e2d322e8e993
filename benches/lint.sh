#!/bin/bash
# Compares `ister lint` with three JSON Schema validators on the same generated templates, alternating in one run.
#
#   benches/lint.sh [ROUNDS=5]
#
# Needs `make tools`; installs jsonschema-cli with cargo and ajv-cli with npm. The validators only check
# schema/ister-template.schema.json; ister checks that schema and all its rules. Prints medians in milliseconds,
# including process start, and the latency from a keystroke in an editor to its diagnostics.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
tools=$PWD/target/tools
schema=$PWD/schema/ister-template.schema.json
cargo build --locked --release --quiet
[ -x "$tools/bin/jsonschema-cli" ] || cargo install --quiet --root "$tools" jsonschema-cli
[ -d "$tools/ajv-cli" ] || npm install --silent --no-audit --no-fund --no-package-lock --prefix "$tools/ajv-cli" ajv-cli@5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# 1,000 templates of about 190 lines: eleven partitions on one disk.
python3 - "$work" <<'P'
import json, sys
for i in range(1000):
    disk = f"image-{i}.img"
    kinds = [("512M", "EFI", "vfat", "/boot"), ("256M", "swap", "swap", None), ("8G", "linux", "ext4", "/")]
    kinds += [("1G", "linux", "ext4", f"/srv/data{n}") for n in range(8)]
    place = lambda n: {"disk": disk, "partition": n}
    rows = list(enumerate(kinds, 1))
    json.dump({
        "DestinationType": "virtual",
        "PartitionLayout": [{**place(n), "size": size, "type": kind} for n, (size, kind, _, _) in rows],
        "FilesystemTypes": [{**place(n), "type": filesystem} for n, (_, _, filesystem, _) in rows],
        "PartitionMountPoints": [{**place(n), "mount": mount} for n, (_, _, _, mount) in rows if mount],
        "Version": 20000 + i,
        "Bundles": ["bootloader", "editors", "kernel-kvm", "network-basic", "os-core", f"extra-{i}"],
        "Hostname": f"host-{i}",
    }, open(f"{sys.argv[1]}/t{i:04}.json", "w"), indent=2)
P
ister() { target/release/ister lint "$@"; }
jsonschema_cli() {
    local instances=() file
    for file; do instances+=(-i "$file"); done
    "$tools/bin/jsonschema-cli" validate "$schema" "${instances[@]}"
}
check_jsonschema() { "$tools/python/bin/check-jsonschema" --schemafile "$schema" "$@"; }
ajv() {
    local data=() file
    for file; do data+=(-d "$file"); done
    "$tools/ajv-cli/node_modules/.bin/ajv" validate --spec=draft2020 -s "$schema" "${data[@]}"
}

peers="ister jsonschema_cli check_jsonschema ajv"
one=("$work/t0000.json")
many=("$work"/t*.json)
timed() { # PEER NAME FILE...
    local peer=$1 name=$2 start; shift 2
    start=$(date +%s%N)
    "$peer" "$@" >"$work/log" 2>&1 || { echo "failed: $peer" >&2; tail "$work/log" >&2; exit 1; }
    echo $((($(date +%s%N) - start) / 10000)) >>"$work/$peer.$name"
}
for round in $(seq 0 "$rounds"); do
    for peer in $peers; do
        timed "$peer" one "${one[@]}"
        timed "$peer" many "${many[@]}"
    done
done
# The first round only warms up caches.
median() { tail -n "$rounds" "$work/$1" | sort -n | awk '{a[NR] = $1} END {printf "%.1f", a[int((NR + 1) / 2)] / 100}'; }
printf '%-20s %14s %16s\n' "milliseconds" "1 template" "1,000 templates"
for peer in $peers; do
    printf '%-20s %14s %16s\n' "$peer" "$(median "$peer.one")" "$(median "$peer.many")"
done
echo
echo "keystroke to diagnostics, including the client:"
"$tools/python/bin/python" tests/editors/client.py target/release/ister | grep '^latency'
