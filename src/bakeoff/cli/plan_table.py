"""A plan on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bakeoff.formatting import join, shown_bytes, shown_count, shown_seconds, shown_whole
from bakeoff.measure.plan import StudyPlan
from bakeoff.study.crossed_plan import CrossedPlan
from bakeoff.study.lengths import print_lengths
from bakeoff.tables import print_table

_PARTS = ("load", "baselines", "training", "test", "learning_curve", "costs")


def print_plan(plan: StudyPlan, console: Console) -> None:
    """Prints the table of methods, the study's time, and whether it fits."""
    device, is_estimate = plan.device, plan.basis == "estimated"
    console.print(
        f"[bold]{escape(plan.study)}[/] on {escape(device['name'])}, {device['precision']}, "
        f"{shown_bytes(device['available_bytes'])} free; {escape(plan.base)}",
        highlight=False,
        soft_wrap=True,
    )
    if plan.lengths is not None:
        console.print()
        print_lengths(plan.lengths, console)
    table = Table(box=None, pad_edge=False)
    table.add_column("method", overflow="fold")
    # A task that asks for no text has no latency; what does not fit has none either.
    writes = any(row.token_latency_seconds is not None for row in plan.methods.values())
    titles = ("params", "adapter", "memory", "epoch", *(["token"] if writes else []))
    for title in (*titles, "epochs", "slots", "fit"):
        table.add_column(title, justify="right", no_wrap=True)
    about = "~" if is_estimate else ""
    for name, row in plan.methods.items():
        epoch = row.epoch_seconds
        seconds = [epoch["mean"] if epoch else None]
        if writes:
            seconds.append(row.token_latency_seconds)
        table.add_row(
            escape(f"{name} ({row.variant})" if row.variant else name),
            shown_count(row.trainable_parameters),
            shown_bytes(row.adapter_bytes),
            shown_bytes(row.peak_memory_bytes),
            *(shown_seconds(s) if s is None else about + shown_seconds(s) for s in seconds),
            str(row.epochs),
            str(row.slots),
            str(row.slots_that_fit) if row.fits else f"[red]{row.slots_that_fit}[/]",
        )
    console.print()
    print_table(table, console)
    console.print()
    console.print(
        "memory: one candidate alone, with the base, in training; epoch: seconds of training and "
        f"validation, alone; {'token: to write one more of an answer; ' if writes else ''}epochs: "
        "of all candidates, at most; slots: candidates in one pass, and how many fit",
        style="dim",
        highlight=False,
    )
    if plan.held:
        _print_held(plan, console)
    for note in plan.notes:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False)
    if plan.wall_seconds is None:
        console.print("The study's time is not known, as a method that does not fit has none.")
    else:
        parts = ", ".join(
            f"{part.replace('_', ' ')} {shown_seconds(plan.wall_seconds[part])}"
            for part in _PARTS
            if part in plan.wall_seconds
        )
        total = about + shown_seconds(plan.wall_seconds["total"])
        console.print(f"The whole study: at most about [bold]{total}[/] ({parts}).")
    if plan.schedule is not None:
        found = plan.schedule
        cost = "" if found.cost is None else f", {found.cost:,.2f} at the price given"
        lost = f", {found.losses} losses" if found.losses else ""
        if found.given_up:
            lost += f", {found.given_up} jobs given up as they were lost too often"
        shared = (
            f" that share this machine's cores, {found.slowdown:.1f} times slower each"
            if found.slowdown > 1
            else ""
        )
        console.print(
            f"On {found.workers} workers{shared}: about [bold]{about}"
            f"{shown_seconds(found.makespan_seconds)}[/] for {found.jobs} jobs{lost}; busy "
            f"{found.utilisation:.0%} of {found.worker_seconds / 3600:,.2f} worker hours{cost}.",
            highlight=False,
        )
    if plan.learning_curve is not None:
        curve = plan.learning_curve
        console.print(
            f"The learning curve trains {curve.candidates} candidates more, on "
            f"{join([shown_whole(size) for size in curve.sizes])} rows: "
            f"{shown_count(curve.tokens)} tokens at most.",
            highlight=False,
        )
    if is_estimate:
        console.print(
            f"All times are estimates, never measured: {escape(device['source'])}, at "
            f"{device['arithmetic_efficiency']:.0%} of its arithmetic and "
            f"{device['bandwidth_efficiency']:.0%} of its bandwidth."
        )
    if plan.power is not None:
        console.print(escape(" ".join(plan.power.says)), highlight=False)
    if plan.remedy is None:
        console.print("[green]It fits.[/]")
    else:
        for name, row in plan.methods.items():
            console.print(f"{escape(name)} {row.fits_alone}.", highlight=False)
        console.print("[red]It does not fit.[/] What would, the smallest change first:")
        for change in plan.remedies:
            console.print(f"- {escape(change)}", highlight=False, soft_wrap=True)


def print_crossed(plan: CrossedPlan, console: Console) -> None:
    """Prints the plan of each part, then all of them together."""
    for label, one in plan.cells.items():
        console.print(f"[bold cyan]{escape(label)}[/]", highlight=False)
        print_plan(one, console)
        console.print()
    total = "not known" if plan.wall_seconds is None else shown_seconds(plan.wall_seconds)
    console.print(
        f"All {len(plan.cells)} parts, one after the other: at most about [bold]{total}[/]. "
        "Which differences a design finds is said of each part alone.",
        highlight=False,
    )


def _print_held(plan: StudyPlan, console: Console) -> None:
    """What the base takes in 16, 8 and 4 bits."""
    table = Table(box=None, pad_edge=False)
    table.add_column("base in", no_wrap=True)
    for title in ("weights", "memory", "left"):
        table.add_column(title, justify="right", no_wrap=True)
    has_cards = any(one.cards for one in plan.held)
    table.add_column("method", overflow="fold")
    if has_cards:
        table.add_column("cards that hold it", overflow="fold")
    for one in plan.held:
        name = one.precision if one.quantization == "none" else one.quantization
        left = f"{one.left:.0%}" if one.left >= 0 else "[red]does not fit[/]"
        cards = [", ".join(one.cards) or "none known"] if has_cards else []
        table.add_row(
            name,
            shown_bytes(one.base_bytes),
            shown_bytes(one.peak_memory_bytes),
            left,
            escape(one.method),
            *cards,
        )
    console.print()
    print_table(table, console)
    console.print()
