#!/bin/sh
# How much of a published table is noise? PEFT's comparison of methods, audited.
#   studies/demonstrations/published_table.sh [CLONE] [OUT]
# CLONE is a clone of https://github.com/huggingface/peft with its history; without one it is
# fetched (a few minutes, some 100 MB). OUT (runs/published_table) gets the audit as a page, as JSON
# and as text. docs/demonstrations/published_table.md says what it finds.
set -eu
case ${1:-} in -*) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit ;; esac
clone=${1:-}
out=${2:-runs/published_table}
results=method_comparison/MetaMathQA/results
moments="2026-01:a99942694 2026-07:51c2ff666"
if [ -z "$clone" ]; then
    clone=$out/peft.git
    mkdir -p "$out"
    [ -d "$clone" ] || git clone --quiet --bare https://github.com/huggingface/peft "$clone"
fi
for moment in $moments; do
    git -C "$clone" cat-file -e "${moment##*:}:$results" 2>/dev/null || {
        echo "Error: $clone is no clone of huggingface/peft that has commit ${moment##*:};" \
            "give one with its whole history (git fetch --unshallow), or none to have it fetched." >&2
        exit 2
    }
done
# The same table, half a year apart.
for moment in $moments; do
    folder=$out/${moment%%:*}
    mkdir -p "$folder"
    git -C "$clone" archive "${moment##*:}" "$results" | tar -x -C "$folder" --strip-components=3
done
bakeoff audit "$out/2026-01" "$out/2026-07" --json "$out/audit.json" --html "$out/audit.html" \
    | tee "$out/audit.txt"
