#!/bin/sh
# Installs the programs that the tests compare ister with into target/tools: JSON Schema validators and other
# independent implementations from PyPI and npm. Installed versions are reused. Tests that need a missing program are
# skipped visibly.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tools=$here/../../target/tools
mkdir -p "$tools"

if ! cmp -s "$here/requirements.txt" "$tools/requirements.txt"; then
    python3 -m venv --clear "$tools/python"
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$tools/"
fi

if ! cmp -s "$here/package.json" "$tools/node/installed.json"; then
    rm -rf "$tools/node"
    mkdir -p "$tools/node"
    cp "$here/package.json" "$tools/node/"
    # Native modules are not compiled: the C++ package re2 is replaced by a stub.
    npm install --loglevel=error --ignore-scripts --no-audit --no-fund --no-package-lock --prefix "$tools/node"
    rm -rf "$tools/node/node_modules/re2"
    cp -R "$here/re2" "$tools/node/node_modules/"
    cp "$here/package.json" "$tools/node/installed.json"
fi
