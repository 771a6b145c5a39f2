# shellcheck shell=bash
# What scripts/run, scripts/test, scripts/freeze and .ci/run share, sourced under `set -euo pipefail`.

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
stamp=$venv/.lec7-installed # "EXTRAS CHECKSUM" of the last installation that ran to its end

say() { printf 'lec7: %s\n' "$*" >&2; }

# constraints X.Y: the file that pins what was tested on that Python. A Python that has one is supported.
constraints() { printf '%s/scripts/constraints/%s.txt' "$root" "$1"; }

# version_of PYTHON: prints its X.Y if it is supported, else fails. Only running it tells: a pyenv shim may
# have no Python behind it.
version_of() {
  local version
  version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || return
  [[ -f $(constraints "$version") ]] && echo "$version"
}

# find_python CANDIDATE...: prints the first that is supported and can make environments (Debian's cannot
# before python3-venv is installed).
find_python() {
  local candidate
  for candidate; do
    if version_of "$candidate" >/dev/null && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

# find_python_line X.Y: a Python of just that line, be it one that pyenv has and keeps off PATH.
find_python_line() {
  local pyenv=${PYENV_ROOT:-$HOME/.pyenv}
  find_python "python$1" "$pyenv/versions/$1".*/bin/python
}

# pip_install PYTHON ARGUMENT...: at the pinned versions. Silent unless it fails, and then pip tells the whole
# story, which its --quiet would not: that leaves out what conflicts with what.
pip_install() {
  local python=$1 version output
  version=$(version_of "$python")
  output=$("$python" -m pip install --disable-pip-version-check --progress-bar off \
    --constraint "$(constraints "$version")" "${@:2}" 2>&1) || { printf '%s\n' "$output" >&2 && return 1; }
}

# includes EXTRAS WANTED: `dev,mnist` includes `mnist`.
includes() { [[ ,$1, == *,$2,* ]]; }

# The path is part of it, for a copied .venv would run the code of the checkout that it was copied from.
checksum() { { echo "$root" && cat "$root/pyproject.toml" "$root"/scripts/constraints/*.txt; } | cksum; }

# installed EXTRAS: whether .venv is up to date. Every run asks, so it starts no Python.
installed() {
  local extras sum
  [[ -x $venv/bin/python && -f $stamp ]] && read -r extras sum <"$stamp" &&
    includes "$extras" "$1" && [[ $sum == "$(checksum)" ]]
}

install() {
  local extras=$1 before='' python
  if [[ -f $stamp ]]; then read -r before _ <"$stamp"; fi
  if includes "$before" "$extras"; then extras=$before; fi # what scripts/test added stays

  if ! "$venv/bin/python" -c '' 2>/dev/null; then # none yet, or one whose Python was uninstalled
    if ! python=$(find_python ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3); then
      say 'needs Python 3.11, 3.12 or 3.13 with its venv module, and found none.' \
        'Set PYTHON=/path/to/python3.x; on Debian and Ubuntu the module is in the package python3-venv.'
      exit 2
    fi
    say "making .venv with $python (Python $(version_of "$python"))"
    "$python" -m venv --clear "$venv"
  elif ! version_of "$venv/bin/python" >/dev/null; then # somebody's own: not ours to delete
    say "needs Python 3.11, 3.12 or 3.13, and .venv has $("$venv/bin/python" -V)." \
      'Remove .venv and run this again.'
    exit 2
  elif ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then # its creation was interrupted
    "$venv/bin/python" -m ensurepip --upgrade --default-pip >/dev/null
  fi

  say "installing lec7[$extras] into .venv: takes a minute or two, once"
  rm -f "$stamp" # first, and written last: an interrupted installation is made again
  pip_install "$venv/bin/python" --editable "${root}[$extras]"
  echo "$extras $(checksum)" >"$stamp"
}

# environment EXTRAS: brings .venv up to date with those extras, if it is not.
environment() {
  if installed "$1"; then return; fi
  (
    # Runs that were started together install one after the other, which leaves nothing to do to the second.
    if command -v flock >/dev/null; then flock 9; fi
    installed "$1" || install "$1"
  ) 9<"$root/pyproject.toml"
}
