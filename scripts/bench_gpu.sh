#!/usr/bin/env bash
# Measures lec7 on the GPU or TPU of a machine that has Python with JAX, Flax, Optax, Chex and Orbax, and maybe nothing else
# of what lec7 needs: nothing is installed, and no network asked.
#
#   scripts/bench_gpu.sh [FOLDER]     leaves bench.json and gpu.md there, by default in bench-gpu/
#
# PYTHON=/path/to/python3.x chooses the Python, FASHION=/path/to/folder says where Fashion-MNIST's IDX files are. gpu.md
# becomes a section of docs/benchmarks.md when it lies in scripts/peers/results/.
set -euo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
PYTHONPATH=$PWD exec "${PYTHON:-python3}" -u scripts/bench_gpu.py "${1:-bench-gpu}"
