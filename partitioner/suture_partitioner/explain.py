"""A plan in words: why this choice, and why not the others, which are grouped by what they lose through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from suture_models.manifest import LAST_CUT
from suture_partitioner.caution import cautious
from suture_partitioner.objective import BEST, cost_of, cost_text, in_words
from suture_partitioner.plan import FORCED_ONLY
from suture_partitioner.reasons import largest_step
from suture_partitioner.types import Choice, Objective, Plan, Steps
from suture_protocol.units import format_rate, format_size, format_time

_STEPS: Final = (
    ("preprocessing", "preprocess_s"),
    ("head", "head_s"),
    ("encoding", "encode_s"),
    ("transfer", "transfer_s"),
    ("queue", "queue_s"),
    ("decoding", "decode_s"),
    ("tail", "tail_s"),
)

#: The step that costs most → what is said of those that lose through it.
_THROUGH: Final = {
    "transfer": "their transfer takes longer",
    "head": "their head takes longer",
    "encoding": "their encoding takes longer",
    "decoding": "their decoding takes longer",
    "queue": "they wait in the cloud's queue",
    "tail": "their tail takes longer",
    "others": "they make other units wait for a busy cloud",
    "": "they are no better in any step",
}

#: Constraint → what is said of those that it forbids.
_FORBIDDEN: Final = {
    "privacy_floor": "shallower than the privacy floor",
    "codecs": "their codec is not allowed",
    "memory_bytes": "their head takes too much memory",
    "accuracy_budget": "their narrowed codes go beyond the accuracy budget",
    "unmeasured": "what their narrowed codes change was never measured",
    "deadline_s": "too late for the deadline",
    "energy_j": "over the energy limit",
    FORCED_ONLY: "can be forced only: another cut sends no more and computes no more",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Alternatives that lost for the same reason, the nearest to winning first."""

    title: str
    choices: tuple[Choice, ...]
    objective: Objective

    @property
    def text(self) -> str:
        """The group in one paragraph: how many, the nearest of them with its figures, and how far the farthest is."""
        nearest = self.choices[0]
        said = f"{self.title}: {_count(self.choices)}"
        about = nearest.reason if self._tells_more else in_words(nearest, self.objective)
        said += f"; nearest {name_of(nearest)}: {about}" if len(self.choices) > 1 else f": {name_of(nearest)}: {about}"
        if len(self.choices) > 2:
            farthest = max(cost_of(choice, self.objective) for choice in self.choices)
            said += f"; up to {cost_text(farthest, self.objective)}"
        return f"{said[0].upper()}{said[1:]}."

    @property
    def _tells_more(self) -> bool:
        return self.choices[0].broken not in ((FORCED_ONLY,), ("privacy_floor",))


def explain(plan: Plan) -> tuple[str, ...]:
    """Why this choice in a first paragraph, then one for each group of others, then what the plan could not know."""
    chosen, link = plan.chosen, cautious(plan.link)
    steps = ", ".join(f"{word} {format_time(s)}" for word, s in _steps(chosen.steps))
    over = "" if chosen.cut_id == LAST_CUT else f" for {format_size(chosen.payload_bytes)}"
    rivals = sum(not choice.broken for choice in plan.rejected)
    better = any(cost_of(c, plan.objective) < cost_of(chosen, plan.objective) for c in plan.rejected if not c.broken)
    fairly = ", with what other units would wait," if any(c.others_s for c in (chosen, *plan.rejected)) else ""
    kept = (
        "kept, because nothing is better by enough to leave it, of" if better else f"{BEST[plan.objective]}{fairly} of"
    )
    aim = "" if plan.objective == "latency" else f", {in_words(chosen, plan.objective)}"
    why = (
        f"{name_of(chosen)[0].upper()}{name_of(chosen)[1:]}{over}: {format_time(chosen.steps.total_s)}{aim}, {kept}"
        f" {rivals + 1:,} ways that the constraints allow over {format_rate(link.bandwidth_bps)} and"
        f" {format_time(link.rtt_s)} of round trip. {steps[0].upper()}{steps[1:]}."
    )
    return (why, *(group.text for group in grouped(plan)), *plan.notes)


def grouped(plan: Plan) -> tuple[Group, ...]:
    """The alternatives by why they lost: those that the constraints allow first, then by constraint."""
    groups: dict[str, list[Choice]] = {}
    best_at: dict[tuple[str, str], Choice] = {}
    for choice in _by_cost(plan.rejected, plan.objective):
        first = best_at.setdefault((choice.cut_id, choice.variant_id), choice) if not choice.broken else choice
        groups.setdefault(_title(choice, plan, first), []).append(choice)
    made = [Group(title=title, choices=tuple(choices), objective=plan.objective) for title, choices in groups.items()]
    made.sort(key=lambda group: (bool(group.choices[0].broken), cost_of(group.choices[0], plan.objective)))
    return tuple(made)


def name_of(choice: Choice) -> str:
    """What a choice is called in a sentence."""
    if choice.cut_id == LAST_CUT:
        return f"all on the unit ({choice.variant_id})"
    sent = "the image" if choice.cut_id == "0" else f"cut {choice.cut_id}"
    by = "" if choice.cut_id == "0" else f" ({choice.variant_id})"
    return f"{sent} by {choice.codec}{by}"


def _title(choice: Choice, plan: Plan, best_there: Choice) -> str:
    if choice.broken:
        return _FORBIDDEN[choice.broken[0]] if len(choice.broken) == 1 else "forbidden by several constraints at once"
    chosen = plan.chosen
    if cost_of(choice, plan.objective) < cost_of(chosen, plan.objective):
        return "better, but not by enough to leave the choice in force"
    if choice.cut_id == chosen.cut_id:
        return "another codec at this cut" if choice.variant_id == chosen.variant_id else "another engine at this cut"
    if choice is not best_there:
        return "not the best codec at their own cut"
    return _THROUGH[largest_step(choice, chosen)]


def _by_cost(choices: Iterable[Choice], objective: Objective) -> list[Choice]:
    return sorted(choices, key=lambda choice: cost_of(choice, objective))


def _count(choices: Sequence[Choice]) -> str:
    cuts = len({choice.cut_id for choice in choices})
    ways = f"{len(choices):,} {'way' if len(choices) == 1 else 'ways'}"
    return ways if cuts == len(choices) == 1 else f"{ways} at {cuts} {'cut' if cuts == 1 else 'cuts'}"


def _steps(steps: Steps) -> list[tuple[str, float]]:
    """The steps that take a noticeable part, longest first."""
    named = [(word, float(getattr(steps, name))) for word, name in _STEPS]
    return sorted((step for step in named if step[1] > steps.total_s / 1000), key=lambda step: -step[1])
