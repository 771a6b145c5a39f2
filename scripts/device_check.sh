#!/usr/bin/env bash
# Checks lec7 on the GPU, TPU or CPU of a machine that has Python with JAX, Flax, Optax, Chex and Orbax, and maybe nothing
# else of what lec7 needs: nothing is installed, and no network asked. Exits with 1 where a check failed.
#
#   scripts/device_check.sh [--steps 469]
#
# PYTHON=/path/to/python3.x chooses the Python, FASHION=/path/to/folder says where Fashion-MNIST's IDX files are.
set -euo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
exec "${PYTHON:-python3}" -u scripts/device_check.py "$@"
