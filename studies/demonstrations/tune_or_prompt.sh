#!/bin/sh
# Tune small or prompt big: one study of a small base in 16 and 4 bits, few-shot, and a larger model.
#   studies/demonstrations/tune_or_prompt.sh SOURCE [ANSWERS.jsonl] [OUT]
# SOURCE has dialogues and summaries. ANSWERS.jsonl holds the larger model's answers to the test
# rows, as `bakeoff template OUT` lays them out once the study has run without them; the same command
# with them goes on from there. docs/demonstrations/tune_or_prompt.md tells the rest.
set -eu
[ $# -ge 1 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2; }
source=$1
answers=${2:-}
out=${3:-runs/tune_or_prompt}
here=$(dirname "$0")
set -- --set "task.source=$source"
# 4 bits where bitsandbytes is there (pip install 'bakeoff[quantization]').
if python -c 'import bitsandbytes' 2>/dev/null; then
    set -- "$@" --set methods.qlora.kind=lora --set methods.qlora.rank=16 \
        --set methods.qlora.target_modules=all-linear --set methods.qlora.quantization=nf4
fi
if [ -n "$answers" ]; then
    set -- "$@" --set methods.larger.kind=external --set "methods.larger.predictions=$answers"
fi
bakeoff run "$here/tune_or_prompt.yaml" --out "$out" "$@"
