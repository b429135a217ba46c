#!/bin/sh
# The full run of claims: on the family of small bases, then, for all that is not about scale, on
# SmolLM2-135M. Bases that are missing are made or fetched. Stopped at any moment, the same command
# goes on.
#
#     sh studies/claims/run.sh [FOLDER] [MORE OPTIONS OF bakeoff claims, such as --budget 8h]
#
# It takes long: making wire-3.5m and wire-10m five and a half hours of two cores with AVX-512 and up
# to 34 of an older one, which no --budget holds, and the claims on the family some hours. SmolLM2-135M takes days to weeks of two cores and about 37 GB of
# disk, so that it wants a GPU; PARTS=family leaves it out. A --budget is of each of the two calls
# of bakeoff claims. See docs/claims.md for how this was reckoned.
set -e
cd "$(dirname "$0")/../.."
BAKEOFF=${BAKEOFF:-.venv/bin/bakeoff}
PARTS=${PARTS:-family smollm2}
THREADS=${THREADS:-2}
OUT=${1:-runs/claims}
[ $# -eq 0 ] || shift
failed=0

for part in $PARTS; do
    case $part in
    family)
        for base in wire-0.3m wire-1.1m wire-3.5m wire-10m; do
            "$BAKEOFF" bases make "$base" --threads "$THREADS"
        done
        "$BAKEOFF" claims --bases wire-0.3m,wire-1.1m,wire-3.5m,wire-10m --base wire-1.1m \
            --executor processes --out "$OUT/family" "$@" || failed=$?
        ;;
    smollm2)
        "$BAKEOFF" bases get smollm2-135m
        "$BAKEOFF" claims $("$BAKEOFF" claims --list | grep -v '^scale_closes_gap$') \
            --base smollm2-135m --out "$OUT/smollm2" "$@" || failed=$?
        ;;
    *)
        echo "PARTS: $part is neither family nor smollm2; give one of them, or both" >&2
        exit 2
        ;;
    esac
    # What a signal stopped goes on with the next call; what failed keeps nothing else from running.
    [ "$failed" -lt 128 ] || exit "$failed"
done
exit "$failed"
