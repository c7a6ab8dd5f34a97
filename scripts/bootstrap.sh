#!/bin/sh
# Brings the pinned uv into ./.venv, with whatever this machine has: python3 with venv, or python3 with pip alone.
# Nothing is installed outside the checkout. Usage: scripts/bootstrap.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."
same=
if [ "${1:-}" = --same ]; then
  same=yes
  shift
fi
python=${1:-python3}

say() { printf 'farseal: %s\n' "$*" >&2; }

command -v "$python" >/dev/null 2>&1 || { say "no $python here; install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 1; }
"$python" - <<'PY' || exit 1
import sys
if not (3, 11) <= sys.version_info[:2]:
    sys.exit("farseal: Python 3.11 or newer is needed, this is %d.%d; name another: make PYTHON=python3.12" % sys.version_info[:2])
PY

if [ -n "$same" ]; then
  [ -x .venv/bin/python ] || exit 0
  asked=$("$python" -c 'import sys; print(sys.version.split()[0])')
  has=$(.venv/bin/python -c 'import sys; print(sys.version.split()[0])')
  [ "$asked" = "$has" ] && exit 0
  say ".venv has Python $has, and $python is $asked: run make clean first"
  exit 1
fi

if [ -x .venv/bin/uv ] && .venv/bin/python -c 'pass' 2>/dev/null \
  && .venv/bin/uv --version | grep -qF "uv $(sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements/bootstrap.txt)"; then
  exit 0
fi

say "making .venv with $("$python" -V 2>&1)"
rm -rf .venv
if "$python" -c 'import ensurepip' 2>/dev/null && "$python" -m venv .venv 2>/dev/null; then
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
elif "$python" -m pip --version >/dev/null 2>&1; then
  # Debian splits venv from python3. A venv without pip needs nothing but the standard library; the system's pip fills it.
  rm -rf .venv
  "$python" -m venv --without-pip .venv
  PIP_BREAK_SYSTEM_PACKAGES=1 "$python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    --target .venv/bootstrap -r requirements/bootstrap.txt
  cp .venv/bootstrap/bin/uv .venv/bin/uv
else
  say "$python has neither venv nor pip. On Debian and Ubuntu: apt-get install python3-venv"
  exit 1
fi
