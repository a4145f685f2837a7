"""The decision part of a unit alone, replayed: the real estimator and planner over a line's arithmetic, nothing sent.

What a request shows of the line is computed from it (when each of its chunks would have arrived), then estimated,
planned and timed by the product's own code. So an hour of requests takes a second. What only a real stream shows is
not in it: slow start, a busy receiver, heads that are not ready; `adapt` streams for real as well.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from suture_models.manifest import LAST_CUT
from suture_partitioner.link import LinkEstimator
from suture_partitioner.plan import Planner
from suture_partitioner.types import Choice
from suture_simulators.lines import TracedLine
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE
from suture_simulators.rate_trace import RateTrace

#: A payload goes in chunks of this size; the receiver reports when each arrived.
_CHUNK_BYTES: Final = 16_384
#: The line's rate is drawn anew so often.
_STEP_S: Final = 1.0
#: A draw is never below this share of the mean.
_LEAST_SHARE: Final = 0.2


@dataclass(slots=True)
class Decisions:
    """What was chosen for each image, and what each re-plan took: the estimate and the choice, in seconds."""

    chosen: list[Choice] = field(default_factory=list)
    replan_s: list[float] = field(default_factory=list)

    @property
    def switches(self) -> int:
        """How often the cut or the codec was another than for the image before."""
        return count_switches([(choice.cut_id, choice.codec) for choice in self.chosen])


def count_switches(used: Sequence[tuple[str, str]]) -> int:
    """How often one differs from the one before."""
    return sum(now != before for before, now in pairwise(used))


def noisy(mean_bps: float, share: float, length_s: float, seed: int) -> RateTrace:
    """A steady line with noise: each second a rate drawn from a normal distribution around the mean.

    Args:
        mean_bps: Its mean.
        share: Standard deviation ÷ mean.
        length_s: After that it begins again.
        seed: Draws it.
    """
    draw = random.Random(seed)
    count = max(round(length_s / _STEP_S), 1)
    rates = [mean_bps * max(draw.gauss(1.0, share), _LEAST_SHARE) for _ in range(count)]
    steps = tuple((place * _STEP_S, rate) for place, rate in enumerate(rates))
    return RateTrace(name=f"steady with {share:.0%} noise", steps=steps, period_s=count * _STEP_S)


def replay(planner: Planner, trace: RateTrace, *, rtt_s: float, period_s: float, images: int) -> Decisions:
    """One image at every period over a line that follows a trace; each learns from those before."""
    line, link, found = TracedLine(trace), LinkEstimator(), Decisions()
    at_s, current = 0.0, None
    for place in range(images):
        at_s = max(at_s, place * period_s)
        start_s = time.perf_counter()
        current = planner.choose(link.estimate(), current=current)
        found.replan_s.append(time.perf_counter() - start_s)
        found.chosen.append(current)
        at_s = _request(link, line, current, at_s, rtt_s)
    return found


def _request(link: LinkEstimator, line: TracedLine, choice: Choice, begun_s: float, rtt_s: float) -> float:
    """Feeds the estimator what the request would have shown, and tells when it would have ended."""
    steps = choice.steps
    ready_s = begun_s + steps.preprocess_s + steps.head_s + steps.encode_s
    if choice.cut_id == LAST_CUT:
        link.on_heartbeat(rtt_s, ready_s)
        return ready_s
    start_arrived_s = ready_s + rtt_s / 2
    counts = [
        min(chunk * _CHUNK_BYTES, choice.payload_bytes)
        for chunk in range(1, math.ceil(choice.payload_bytes / _CHUNK_BYTES) + 1)
    ]
    arrivals = [
        (count, line.finish(ready_s, 8 * count / TCP_PAYLOAD_SHARE) + rtt_s / 2 - start_arrived_s) for count in counts
    ]
    result_s = ready_s + arrivals[-1][1] + rtt_s + steps.decode_s + steps.tail_s
    link.on_upload(choice.payload_bytes, arrivals, arrivals[-1][1] + rtt_s, result_s)
    return result_s
