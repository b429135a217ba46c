#!/bin/sh
# The full run of claims: on the family of small bases, then, for all that is not about scale, on
# SmolLM2-135M. Bases that are missing are made or fetched. Stopped at any moment, the same command
# goes on.
#
#     sh studies/claims/run.sh [FOLDER] [MORE OPTIONS OF bakeoff claims, such as --budget 8h]
set -e
cd "$(dirname "$0")/../.."
BAKEOFF=${BAKEOFF:-.venv/bin/bakeoff}
OUT=${1:-runs/claims}
[ $# -eq 0 ] || shift

for base in wire-0.3m wire-1.1m wire-3.5m wire-10m; do
    "$BAKEOFF" bases make "$base"
done
"$BAKEOFF" claims --bases wire-0.3m,wire-1.1m,wire-3.5m,wire-10m --base wire-1.1m \
    --out "$OUT/family" "$@"

"$BAKEOFF" bases get smollm2-135m
"$BAKEOFF" claims $("$BAKEOFF" claims --list | grep -v '^scale_closes_gap$') --base smollm2-135m \
    --out "$OUT/smollm2" "$@"
