#!/bin/sh
# Builds steps.wasm. Takes componentize-py from PATH, or else installs it into .venv beside this file.
set -eu
cd "$(dirname "$0")"
version=0.25.1
tool=$(command -v componentize-py || true)
if [ -z "$tool" ]; then
    [ -x .venv/bin/componentize-py ] || { python3 -m venv .venv && .venv/bin/pip install --quiet "componentize-py==$version"; }
    tool=.venv/bin/componentize-py
fi
# --stub-wasi: the host grants no files, clock or randomness, so the component must not ask for them.
"$tool" --wit-path "${MOA_WIT:-../../sdk/wit}" --world reward componentize --stub-wasi --output steps.wasm steps
