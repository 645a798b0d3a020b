#!/bin/sh
# Builds tables.wasm. Takes componentize-qjs from PATH, or else installs the version of package.json beside it.
set -eu
cd "$(dirname "$0")"
tool=$(command -v componentize-qjs || true)
if [ -z "$tool" ]; then
    tool=node_modules/.bin/componentize-qjs
    [ -x "$tool" ] || npm install --silent --no-package-lock --no-fund --no-audit
fi
# --stub-wasi: the host grants no files, clock or randomness, so the component must not ask for them.
"$tool" --sync --stub-wasi --wit "${MOA_WIT:-../../sdk/wit}" --world reward --js tables.js --output tables.wasm
