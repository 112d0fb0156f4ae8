#!/usr/bin/env bash
# What a GPU gives, in one command of under eight minutes, with nothing to download: bash benchmarks/gpu.sh
# PYTHON=... names the interpreter; options go to benchmarks/gpu.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${PYTHON:-python3}" benchmarks/gpu.py "$@"
