#!/bin/sh
# Compile requirements/*.in into locks with hashes, for every platform and Python >= 3.12, naming no index.
set -eu
cd "$(dirname "$0")/../requirements"
for name in base dev mutants; do
    ../.venv/bin/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes \
        --no-emit-index-url --no-header "$@" -o "$name.txt" "$name.in"
done
