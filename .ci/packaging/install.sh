#!/bin/sh
# What the image installs: the wheel and its extras, in an environment of their own.
#   install.sh FOLDER WHEELS EXTRAS     FOLDER: of the environment. WHEELS: holds one wheel. EXTRAS: serve,demo
set -eu
folder=$1 wheels=$2 extras=$3
set -- "$wheels"/cluscomp-*.whl
if [ $# != 1 ] || [ ! -f "$1" ]; then
  echo "one wheel expected in $wheels, found: $*; run make wheel" >&2
  exit 1
fi
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/pip" install --quiet --no-cache-dir "$1[$extras]"
"$folder/bin/cluscomp" --version
