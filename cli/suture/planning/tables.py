"""What `suture plan` prints for people: the plan's table, the Pareto front's, and the plan in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from suture.console import size_text, stdout_console
from suture_partitioner.explain import explain
from suture_partitioner.objective import BEST, in_words
from suture_partitioner.plan import Planner
from suture_partitioner.types import Choice, Plan
from suture_protocol.units import format_rate, format_share, format_time

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN: Final = 6
_LEFT: Final = ("cut", "codec", "engine", "why not")


def show_plan(made: Plan) -> None:
    """The chosen first, then the best of what lost, each with its steps and its reason."""
    steps = [field.name for field in dataclasses.fields(made.chosen.steps)]
    several = len({choice.variant_id for choice in (made.chosen, *made.rejected)}) > 1
    by_objective = made.objective not in ("latency", "latency_quantile")
    table = _table("chosen first, then what lost, fastest first")
    names = [
        "cut",
        "codec",
        *(["engine"] if several else []),
        "payload",
        *(s.removesuffix("_s") for s in steps),
        "total",
    ]
    _columns(table, [*names, *([made.objective] if by_objective else []), "why not"])
    rivals = [choice for choice in made.rejected if not choice.broken]
    for choice in (made.chosen, *rivals[:_SHOWN]):
        cells = [
            choice.cut_id,
            choice.codec,
            *([choice.variant_id] if several else []),
            size_text(choice.payload_bytes),
        ]
        cells += [format_time(getattr(choice.steps, step)) for step in steps]
        cells.append(format_time(choice.steps.total_s))
        if by_objective:
            cells.append(in_words(choice, made.objective))
        table.add_row(*cells, choice.reason or "chosen")
    stdout_console().print(table)
    forbidden = len(made.rejected) - len(rivals)
    if forbidden:
        _say(f"and {forbidden:,} that the constraints forbid; --explain says which and why")


def show_front(front: Sequence[Choice], chosen: Choice) -> None:
    """The Pareto front, fastest first; the chosen one is marked."""
    columns: dict[str, Callable[[Choice], str]] = {
        "cut": lambda c: c.cut_id,
        "codec": lambda c: c.codec,
        "engine": lambda c: c.variant_id,
        "total": lambda c: format_time(c.steps.total_s),
        "cloud": lambda c: format_time(c.cloud_s),
        "payload": lambda c: size_text(c.payload_bytes),
    }
    if front[0].energy_j is not None:
        columns["energy"] = lambda c: f"{c.energy_j:.3g} J"
    if any(choice.changed_share for choice in front):
        columns["answers changed"] = lambda c: format_share(c.changed_share)
    table = _table(
        f"Pareto front, {len(front)} of all ways: what beats one of them in something loses in something else"
    )
    _columns(table, [*columns, ""])
    for choice in front:
        same = (choice.cut_id, choice.codec, choice.variant_id) == (chosen.cut_id, chosen.codec, chosen.variant_id)
        table.add_row(*(cell(choice) for cell in columns.values()), "chosen" if same else "")
    stdout_console().print(table)


def show_words(made: Plan) -> None:
    """Why this choice, and why not the others."""
    why, *others = explain(made)
    _say(why)
    for line in others[: len(others) - len(made.notes)]:
        _say(f"- {line}")


def show_notes(planner: Planner, made: Plan) -> None:
    """Where the choice changes, and what the plan could not know."""
    if made.objective == "latency":
        crossings = [format_rate(c.bandwidth_bps) for c in planner.crossovers(rtt_s=made.link.rtt_s)]
        changes = f"the choice changes at {', '.join(crossings)}" if crossings else ""
        _say(changes or "the choice is the same at every bandwidth")
    else:
        _say(f"chosen: {BEST[made.objective]}, {in_words(made.chosen, made.objective)}")
    for note in made.notes:
        _say(note)


def _table(title: str) -> Table:
    from rich.table import Table

    return Table(title=title, title_justify="left")


def _columns(table: Table, names: Sequence[str]) -> None:
    for name in names:
        table.add_column(name, justify="left" if name in _LEFT else "right")


def _say(text: str) -> None:
    stdout_console().print(text, markup=False, soft_wrap=True)
