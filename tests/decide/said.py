"""What a reader is told in each situation: the verdict, the method, and why."""

from __future__ import annotations

SAID: dict[str, tuple[str, str | None, str]] = {
    "best": (
        "best",
        "lora",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. lora is shown better than each of the other 2 methods and better than the "
        "baseline zero-shot (level 0.95).",
    ),
    "best of two, two baselines": (
        "best",
        "lora",
        "The best baseline, lead-3, reaches a test NLL of 5.000 nats per token; lora reaches "
        "3.000. lora is shown better than the other method and better than the baselines zero-"
        "shot and lead-3 (level 0.95).",
    ),
    "best without baselines": (
        "best",
        "lora",
        "lora reaches a test NLL of 3.000 nats per token; no baseline was scored by it. lora is "
        "shown better than each of the other 2 methods (level 0.95).",
    ),
    "the only method": (
        "best",
        "lora",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. lora is the only method; it is shown better than the baseline zero-shot (level "
        "0.95).",
    ),
    "the only method, no baseline": (
        "best",
        "lora",
        "lora reaches a test NLL of 3.000 nats per token; no baseline was scored by it. lora is "
        "the only method, and there is no baseline to compare it with.",
    ),
    "best within limits": (
        "best",
        "head",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; head reaches "
        "3.500. head is shown better than the other method within the limits and better than the "
        "baseline zero-shot (level 0.95).",
    ),
    "the only one within limits": (
        "best",
        "soft_prompt",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; soft_prompt "
        "reaches 4.000. soft_prompt is the only method within the limits; it is shown better than"
        " the baseline zero-shot (level 0.95).",
    ),
    "higher is better": (
        "best",
        "head",
        "The best baseline, lead-3, reaches a test ROUGE-1 of 30.0 points; head reaches 50.0. "
        "head is shown better than the other method and better than the baseline lead-3 (level "
        "0.95).",
    ),
    "two are equal": (
        "cheapest_equivalent",
        "head",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; head reaches "
        "3.001. head and lora are shown to be no worse than any other method by the margin or "
        "more, and head is the cheapest of those that are also shown better than every baseline "
        "(margin 0.05 nats per token, level 0.95).",
    ),
    "all are equal": (
        "cheapest_equivalent",
        "soft_prompt",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; soft_prompt "
        "reaches 3.002. head, lora and soft_prompt are shown to be no worse than any other method"
        " by the margin or more, and soft_prompt is the cheapest of those that are also shown "
        "better than every baseline (margin 0.05 nats per token, level 0.95).",
    ),
    "equal within limits": (
        "cheapest_equivalent",
        "head",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; head reaches "
        "3.001. head and lora are shown to be no worse than any other method by the margin or "
        "more, and head is the cheapest of those that are also shown better than every baseline "
        "(margin 0.05 nats per token, level 0.95).",
    ),
    "one is no worse, another open": (
        "cheapest_equivalent",
        "lora",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. lora is shown to be no worse than any other method by the margin or more and "
        "better than the baseline zero-shot (margin 0.05 nats per token, level 0.95). Undecided: "
        "head.",
    ),
    "a baseline is better": (
        "none",
        None,
        "The best baseline, lead-3, reaches a test NLL of 2.500 nats per token; lora reaches "
        "3.000. No method is shown better than the baselines zero-shot and lead-3, and each is "
        "shown to gain less than the margin on one of them (margin 0.05 nats per token, level "
        "0.95); lora has the best mean of the methods.",
    ),
    "a baseline is as good": (
        "none",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 2.999 nats per token; lora reaches "
        "3.000. No method is shown better than the baseline zero-shot, and each is shown to gain "
        "less than the margin on it (margin 0.05 nats per token, level 0.95); lora has the best "
        "mean of the methods.",
    ),
    "rows are missing": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: head and lora are shown better than the baseline "
        "zero-shot, but cannot be told apart, nor shown equal "
        "(margin 0.05 nats per token, level 0.95). 434 test rows would decide it with about 80 % "
        "probability. Answering further rows takes about 18.7 min, one run at a time. To use one "
        "all the same: lora has the least expected regret, 0.00756 nats per token, and loses at "
        "most 0.075 nats per token (level 0.95).",
    ),
    "seeds are missing": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: head and lora are shown better than the baseline "
        "zero-shot, but cannot be told apart, nor shown equal "
        "(margin 0.05 nats per token, level 0.95). 9 seeds of each method would decide it with "
        "about 80 % probability. The further seeds take about 3.5 h, one run at a time. To use "
        "one all the same: lora has the least expected regret, 0.0107 nats per token, and loses "
        "at most 0.104 nats per token (level 0.95).",
    ),
    "rows and seeds are missing": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: head and lora are shown better than the baseline "
        "zero-shot, but cannot be told apart, nor shown equal "
        "(margin 0.05 nats per token, level 0.95). 47 seeds of each method and 936 test rows "
        "would decide it with about 80 % probability. Both take about 36.6 h, one run at a time. "
        "To use one all the same: lora has the least expected regret, 0.0259 nats per token, and "
        "loses at most 0.181 nats per token (level 0.95).",
    ),
    "costs are not known": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: head and lora are shown better than the baseline "
        "zero-shot, but cannot be told apart, nor shown equal "
        "(margin 0.05 nats per token, level 0.95). 434 test rows would decide it with about 80 % "
        "probability. To use one all the same: lora has the least expected regret, 0.00756 nats "
        "per token, and loses at most 0.075 nats per token (level 0.95).",
    ),
    "no margin": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: head and lora are shown better than the baseline "
        "zero-shot, but cannot be told apart, nor shown equal "
        "(margin 0 nats per token, level 0.95). With a margin of zero no size shows two methods "
        "equal; give a margin. To use one all the same: lora has the least expected regret, "
        "0.00314 nats per token, and loses at most 0.0208 nats per token (level 0.95).",
    ),
    "near, but not above the baseline": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 3.200 nats per token; lora reaches "
        "3.000. Nothing is recommended: head and lora are shown to be no worse than any other "
        "method by the margin or more, but not to be better than the baseline zero-shot (margin "
        "0.05 nats per token, level 0.95). 25,126 test rows would decide it with about 80 % "
        "probability. Answering further rows takes about 34.3 h, one run at a time. To use one "
        "all the same: lora has the least expected regret, 0.00859 nats per token, and loses at "
        "most 0.0954 nats per token (level 0.95).",
    ),
    "one of two is not above the baseline": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 3.030 nats per token; lora reaches "
        "3.000. Nothing is recommended: head and lora cannot be told apart, nor shown equal, and "
        "head is not shown better than the baseline zero-shot (margin 0.01 nats per token, level "
        "0.95). 84 seeds of each method and 810 test rows would decide it with about 80 % "
        "probability. Both take about 2.3 d, one run at a time. To use one all the same: lora has"
        " the least expected regret, 0.00183 nats per token, and loses at most 0.0227 nats per "
        "token (level 0.95).",
    ),
    "the only one is not above the baseline": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 3.040 nats per token; lora reaches "
        "3.000. Nothing is recommended: lora has the best mean of the methods, but is not shown "
        "better than the baseline zero-shot (margin 0.05 nats per token, level 0.95). 5 seeds of "
        "each method would decide it with about 80 % probability. The further seeds take about "
        "40.0 min, one run at a time. To use one all the same: lora has the least expected "
        "regret, 0.000166 nats per token, and loses at most 0.0191 nats per token (level 0.95).",
    ),
    "the only one, within limits": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 4.010 nats per token; soft_prompt "
        "reaches 4.000. Nothing is recommended: soft_prompt has the best mean of the methods "
        "within the limits, but is not shown better than the baseline zero-shot (margin 0.05 nats"
        " per token, level 0.95). 9 seeds of each method would decide it with about 80 % "
        "probability. The further seeds take about 18.0 min, one run at a time. To use one all "
        "the same: soft_prompt has the least expected regret, 0.00797 nats per token, and loses "
        "at most 0.0801 nats per token (level 0.95).",
    ),
    "the loss is accepted": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: head and lora are shown better than the baseline "
        "zero-shot, but cannot be told apart, nor shown equal "
        "(margin 0.05 nats per token, level 0.95). 434 test rows would decide it with about 80 % "
        "probability. Answering further rows takes about 18.7 min, one run at a time. To use one "
        "all the same: lora has the least expected regret, 0.00756 nats per token, and loses at "
        "most 0.075 nats per token (level 0.95). That is within the tolerance of 0.1 nats per "
        "token that the study accepts, so lora may be used.",
    ),
    "the loss is not accepted": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: head and lora are shown better than the baseline "
        "zero-shot, but cannot be told apart, nor shown equal "
        "(margin 0.05 nats per token, level 0.95). 434 test rows would decide it with about 80 % "
        "probability. Answering further rows takes about 18.7 min, one run at a time. To use one "
        "all the same: lora has the least expected regret, 0.00756 nats per token, and loses at "
        "most 0.075 nats per token (level 0.95). That is more than the tolerance of 0.01 nats per"
        " token that the study accepts.",
    ),
    "the baseline is the fallback": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 2.980 nats per token; lora reaches "
        "3.000. Nothing is recommended: lora has the best mean of the methods, but is not shown "
        "better than the baseline zero-shot (margin 0.01 nats per token, level 0.95). 145 seeds "
        "of each method and 972 test rows would decide it with about 80 % probability. Both take "
        "about 2.5 d, one run at a time. To use one all the same: zero-shot has the least "
        "expected regret, 0.0017 nats per token, and loses at most 0.0391 nats per token (level "
        "0.95).",
    ),
    "one seed": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: lora, head and soft_prompt have fewer than 3 seeds, so "
        "what is seen may be due to their seeds; train at least 3. That would take about 76.0 min"
        " more, one run at a time. In these very runs lora has the lowest test NLL.",
    ),
    "one seed of one method": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: head has fewer than 3 seeds, so what is seen may be due "
        "to its seed; train at least 3. That would take about 30.0 min more, one run at a time. "
        "In these very runs lora has the lowest test NLL.",
    ),
    "one seed, costs not known": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: lora, head and soft_prompt have fewer than 3 seeds, so "
        "what is seen may be due to their seeds; train at least 3. In these very runs lora has "
        "the lowest test NLL.",
    ),
    "one seed, a baseline alike": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "9.000. Nothing is recommended: lora and head have fewer than 3 seeds, so what is seen may "
        "be due to their seeds; train at least 3. That would take about 70.0 min more, one run at "
        "a time. In these very runs lora and zero-shot reach the same test NLL to the digits "
        "shown.",
    ),
    "one seed, two alike": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; head reaches "
        "3.000. Nothing is recommended: lora, head and ia3 have fewer than 3 seeds, so what is "
        "seen may be due to their seeds; train at least 3. That would take about 110 min more, "
        "one run at a time. In these very runs lora and head reach the same test NLL to the "
        "digits shown.",
    ),
    "a label is rare": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: head, lora and soft_prompt cannot be told apart, nor "
        "shown equal, and none is shown better than the baseline zero-shot (margin 0.05 nats per "
        "token, level 0.95). Nothing is judged, as the label no has 3 test rows only. To use one "
        "all the same: lora has the least expected regret, 0 nats per token; what it may lose at "
        "most is not known.",
    ),
    "few rows differ": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test ROUGE-1 of 0.0 points; lora reaches "
        "80.3. Nothing is recommended: head and lora are shown better than the baseline "
        "zero-shot, but cannot be told apart, nor shown equal (margin 1 point, level 0.95). "
        "head and lora are not compared: they differ on 6 of 200 rows only; at least 10 are "
        "needed. 334 test rows would decide it with about 80 % probability. Answering further "
        "rows takes about 6.7 min, one run at a time. To use one all the same: lora has the "
        "least expected regret, 0.0147 points; what it may lose at most is not known.",
    ),
    "no row differs": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test ROUGE-1 of 0.0 points; head reaches "
        "80.3. Nothing is recommended: head and lora are shown better than the baseline "
        "zero-shot, but cannot be told apart, nor shown equal (margin 1 point, level 0.95). "
        "head and lora are not compared: they agree on all 200 rows, which says little of "
        "those on which they would not. To use one all the same: head has the least expected "
        "regret, 0 points; what it may lose at most is not known.",
    ),
    "one has not finished": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended yet: head has not finished; so far lora has the lowest "
        "test NLL, 3.000 nats per token.",
    ),
    "none has finished": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token. Nothing is "
        "recommended: no method has a test result, as lora and head have not finished.",
    ),
    "none ended well": (
        "none",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token. Nothing is "
        "recommended: no method has a test result, as none ended well.",
    ),
    "one test row": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: one test row says nothing of others; give "
        "task.examples.test two or more.",
    ),
    "none within the limits": (
        "none",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: no method is shown to meet the limits (peak memory at "
        "most 5.00 GiB and adapter size at most 977 KiB). soft_prompt misses fewest: adapter size"
        " 1.91 MiB, over 977 KiB.",
    ),
    "a cost's interval reaches over the limit": (
        "none",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: no method is shown to meet the limits (latency per token "
        "at most 12.0 ms). lora misses fewest: latency per token 10.0 ms, but up to 14.0 ms, over"
        " 12.0 ms.",
    ),
    "undecided within limits": (
        "undecided",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; head "
        "reaches 3.500. Nothing is recommended: head and soft_prompt are shown better than the "
        "baseline zero-shot, but cannot be told apart, nor shown equal (margin 0.05 nats per "
        "token, level 0.95). 270 test rows would decide it with about 80 % probability. "
        "Answering further rows takes about 10.5 min, one run at a time. To use one all the "
        "same: head has the least expected regret, 0.0124 nats per token, and loses at most "
        "0.0761 nats per token (level 0.95).",
    ),
    "an older run": (
        "best",
        "lora",
        "lora has the lowest test NLL, 3.434 nats a token, and is ahead of each of the other 2 "
        "methods beyond chance.",
    ),
    "an older run within limits": (
        "undecided",
        None,
        "Nothing is recommended within the limits: an earlier version wrote this run, and kept "
        "too little of its comparisons to choose again. Without limits it recommends lora. Run "
        "the study again in a new folder to choose within limits.",
    ),
    "keeps its drop": (
        "best",
        "lora",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. lora is shown better than each of the other 2 methods and better than the "
        "baseline zero-shot (level 0.95). In NLL on plain lora is shown to lose at most 0.0375 "
        "nats per token against zero-shot, where 0.05 nats per token may be lost.",
    ),
    "loses nothing": (
        "best",
        "lora",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. lora is shown better than each of the other 2 methods and better than the "
        "baseline zero-shot (level 0.95). In NLL on plain lora is shown to lose nothing against "
        "zero-shot, where 0.05 nats per token may be lost.",
    ),
    "the best drops too much": (
        "best",
        "head",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; head reaches "
        "3.500. head is shown better than the other method within the limits and better than the "
        "baseline zero-shot (level 0.95). In NLL on plain head is shown to lose at most 0.014 "
        "nats per token against zero-shot, where 0.05 nats per token may be lost.",
    ),
    "none keeps its drop": (
        "none",
        None,
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; lora reaches "
        "3.000. Nothing is recommended: no method is shown to meet the limits (NLL on plain at "
        "most 0.05 nats per token worse than zero-shot's). lora misses fewest: NLL on plain 0.3 "
        "nats per token worse than zero-shot's, over 0.05 nats per token.",
    ),
    "a drop and a limit": (
        "best",
        "soft_prompt",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; soft_prompt "
        "reaches 4.000. soft_prompt is the only method within the limits; it is shown better than "
        "the baseline zero-shot (level 0.95). In NLL on plain soft_prompt is shown to lose at most "
        "0.0283 nats per token against zero-shot, where 0.05 nats per token may be lost.",
    ),
    "a drop of a score": (
        "best",
        "head",
        "The best baseline, zero-shot, reaches a test NLL of 9.000 nats per token; head reaches "
        "3.500. head is shown better than the other method within the limits and better than the "
        "baseline zero-shot (level 0.95). In ROUGE-1 on shift head is shown to lose at most 1.83 "
        "points against zero-shot, where 2 points may be lost.",
    ),
}
