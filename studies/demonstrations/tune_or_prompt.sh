#!/bin/sh
# Tune small or prompt big: one study of a small base in 16 and 4 bits, few-shot, and a larger model.
#   studies/demonstrations/tune_or_prompt.sh SOURCE|tiny [ANSWERS.jsonl] [OUT]
# SOURCE has dialogues and summaries; "tiny" is the embedded base on embedded news. ANSWERS.jsonl
# holds the larger model's answers to the test rows, as `bakeoff template OUT` lays them out once the
# study has run without them; the same command with them goes on from there. See
# docs/demonstrations/tune_or_prompt.md.
set -eu
case ${1:--h} in -*) sed -n '2,8s/^# \{0,1\}//p' "$0"; [ $# -ge 1 ] || exit 2; exit ;; esac
source=$1
answers=${2:-}
here=$(dirname "$0")
if [ "$source" = tiny ]; then
    study=$here/tune_or_prompt-tiny.yaml
    out=${3:-runs/tune_or_prompt-tiny}
    set --
else
    study=$here/tune_or_prompt.yaml
    out=${3:-runs/tune_or_prompt}
    set -- --set "task.source=$source"
fi
# 4 bits where bitsandbytes is there (pip install 'bakeoff[quantization]').
if python -c 'import bitsandbytes' 2>/dev/null; then
    set -- "$@" --set methods.qlora.kind=lora --set methods.qlora.rank=16 \
        --set methods.qlora.target_modules=all-linear --set methods.qlora.quantization=nf4
    # The rate that the study gives lora, so that the format alone differs.
    if [ "$source" = tiny ]; then set -- "$@" --set methods.qlora.learning_rate=5e-3; fi
fi
if [ -n "$answers" ]; then
    set -- "$@" --set methods.larger.kind=external --set "methods.larger.predictions=$answers"
fi
bakeoff run "$study" --out "$out" "$@"
