#!/bin/sh
# Installs what ister's tests compare it with, into target/tools: a JSON Schema validator and clients from PyPI, another
# validator from npm. Nothing is installed twice; without python3 or npm the tests that need them are skipped visibly.
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
    # Nothing is compiled: what npm's packages bring of C++ has a stand-in here.
    npm install --loglevel=error --ignore-scripts --no-audit --no-fund --no-package-lock --prefix "$tools/node"
    rm -rf "$tools/node/node_modules/re2"
    cp -R "$here/re2" "$tools/node/node_modules/"
    cp "$here/package.json" "$tools/node/installed.json"
fi
