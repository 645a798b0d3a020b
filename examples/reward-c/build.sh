#!/bin/sh
# Builds balanced.wasm. Takes wit-bindgen and zig from PATH, or else installs them into .tools beside this file: zig as
# a Python package, wit-bindgen from its source, which takes minutes.
set -eu
cd "$(dirname "$0")"
PATH=$PATH:$PWD/.tools/bin
command -v wit-bindgen > /dev/null ||
    cargo install wit-bindgen-cli --version 0.63.0 --locked --no-default-features --features c --root .tools
command -v zig > /dev/null || {
    python3 -m venv .tools && .tools/bin/pip install --quiet ziglang==0.17.1
    printf '#!/bin/sh\nexec "%s/.tools/bin/python" -m ziglang "$@"\n' "$PWD" > .tools/bin/zig && chmod +x .tools/bin/zig
}
# reward.c, reward.h and an object file with the type of the world, from which the host makes a component.
wit-bindgen c "${MOA_WIT:-../../sdk/wit}" --world reward --out-dir generated
# A reactor is a library without main. wasi-libc's malloc needs no system, so nothing of WASI is imported.
zig cc -target wasm32-wasi -mexec-model=reactor -O2 -s -Wall -Wextra -Igenerated \
    balanced.c generated/reward.c generated/reward_component_type.o -o balanced.wasm
