#!/usr/bin/env bash
# Renews the committed locks: hashes, and no address of any index, so that they install from whatever index a machine has.
set -euo pipefail
cd "$(dirname "$0")/.."
version() { sed -n "s/^$1: *\"\{0,1\}\([^\" ]*\).*/\1/p" versions.yaml; }

constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
echo "apache-airflow==$(version airflow)" >"$constraints"

"${UV:?the uv to use}" pip compile locks/dev.in --constraint "$constraints" --output-file locks/dev.txt --quiet \
    --universal --python-version 3.11 --exclude-newer "$(version lock_date)" \
    --generate-hashes --no-annotate --no-header
echo "locks/dev.txt: $(grep -c == locks/dev.txt) packages"
