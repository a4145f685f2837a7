"""How well the link's estimate serves planning, over recorded links: SIMULATED, in seconds instead of hours.

    python docs/benchmarks/bench_estimator.py BUNDLE --edge-profile F --cloud-profile F [--trace NAME ...] [--write]

Real: the estimator, the planner, the profiles, the traces. Simulated: the link is a fluid that fills at the recorded
rate, without slow start, loss or queue; see `suture_simulators.fluid`. Each stream begins at several offsets of the
trace, the same for every arm. The measured counterpart is `suture experiment trace`.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common import write_report

from suture.console import stdout_console
from suture_models.bundle import open_bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_partitioner.link import LinkEstimator
from suture_partitioner.plan import Planner
from suture_partitioner.profile_file import load_profile
from suture_partitioner.types import Choice, LinkEstimate
from suture_simulators.fluid import Course, Done, finish_s, fixed, foreseen, mean_begun_s, mean_s, planned, run
from suture_simulators.traces.library import bundled_traces, find_trace

#: As the experiments have it.
_PERIOD_S: Final = 0.5
_SPARE: Final = 1.25
_RIVALS: Final = 4
_MOMENTS: Final = 60
_ANY_LINK: Final = LinkEstimate(bandwidth_bps=10e6, rtt_s=0.04)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One trace: the planned stream against the best fixed choice and against a clairvoyant, by means.

    `vs_clairvoyant` leaves out images during which the line stood still; `outages` is their share.
    """

    trace: str
    planned_s: float
    vs_best_fixed: float
    best_fixed: str
    vs_clairvoyant: float
    alone: float
    outages: float
    cuts: int


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--edge-profile", type=Path, action="append", required=True)
    parser.add_argument("--cloud-profile", type=Path, required=True)
    parser.add_argument(
        "--trace", action="append", help="a bundled trace's name or a file; by default all bundled ones"
    )
    parser.add_argument("--rtt-s", type=float, default=0.04)
    parser.add_argument("--length-s", type=float, default=180.0)
    parser.add_argument("--offsets", type=int, default=3)
    parser.add_argument("--no-hedge", action="store_true")
    parser.add_argument("--write", action="store_true", help="keep the result beside this file")
    args = parser.parse_args()
    edges = [load_profile(path) for path in args.edge_profile]
    planner = Planner(open_bundle(args.bundle).manifest, edges, load_profile(args.cloud_profile))
    subject = planner, usable(planner)
    names = args.trace or [trace.name for trace in bundled_traces()]
    rows = [judge(*subject, name, args.rtt_s, args.length_s, args.offsets, hedge=not args.no_hedge) for name in names]
    lines = table(rows)
    if args.write:
        write_report(f"estimator-{args.bundle.name}", lines, {key: str(value) for key, value in vars(args).items()})
    else:
        stdout_console().print("\n".join(lines), markup=False, soft_wrap=True)


def judge(
    planner: Planner, options: Sequence[Choice], name: str, rtt_s: float, length_s: float, offsets: int, *, hedge: bool
) -> Row:
    """One trace, from several offsets."""
    trace = find_trace(name)
    local = next((option for option in options if option.cut_id == LAST_CUT), None)
    slowest_s = options[0].steps.total_s if local is None else local.steps.total_s
    ours: list[Done] = []
    seen: list[float] = []
    fixed_s: dict[str, list[float]] = {}
    for turn in range(offsets):
        begun = trace.starting_at(trace.period_s * turn / offsets)
        course = Course(trace=begun, rtt_s=rtt_s, period_s=max(_PERIOD_S, _SPARE * slowest_s), length_s=length_s)
        found = run(course, planned(planner), LinkEstimator(), local=local, hedge=hedge)
        ours += found
        best = foreseen(options, course)
        seen += [
            finish_s(best(one.start_s, LinkEstimator()), course, one.start_s) - one.start_s
            for one in found
            if not one.outage
        ]
        for option in rivals(options, course):
            arm = run(course, fixed(option), LinkEstimator(), local=local, hedge=False)
            fixed_s.setdefault(f"{option.cut_id} {option.codec}".strip(), []).append(mean_s(arm))
    means = {arm: statistics.fmean(values) for arm, values in fixed_s.items() if len(values) == offsets}
    best_arm = min(means, key=means.__getitem__)
    clear = [one for one in ours if not one.outage]
    return Row(
        trace=trace.name,
        planned_s=mean_s(ours),
        vs_best_fixed=mean_s(ours) / means[best_arm],
        best_fixed=best_arm,
        vs_clairvoyant=mean_begun_s(clear) / statistics.fmean(seen) if clear else float("nan"),
        alone=sum(one.alone for one in ours) / len(ours),
        outages=1 - len(clear) / len(ours),
        cuts=len({one.cut for one in ours}),
    )


def rivals(options: Sequence[Choice], course: Course) -> list[Choice]:
    """The fixed choices that may be the best: both ends, and those that are best by the mean over the drive."""
    moments = [course.length_s * i / _MOMENTS for i in range(_MOMENTS)]
    ranked = sorted(options, key=lambda o: statistics.fmean(finish_s(o, course, at_s) - at_s for at_s in moments))
    return [o for i, o in enumerate(ranked) if i < _RIVALS or o.cut_id in (INPUT_CUT, LAST_CUT)]


def usable(planner: Planner) -> list[Choice]:
    """What the planner may choose on some link, as choices; their transfers are of no particular one."""
    return [candidate.choice(_ANY_LINK, 0.0) for candidate, forbidden in planner.ways if not forbidden]


def table(rows: Sequence[Row]) -> list[str]:
    """For people."""
    lines = [
        "SIMULATED link (a fluid at the recorded rate); real estimator, planner, profiles and traces.",
        "",
        "| trace | planned | vs best fixed | best fixed | vs clairvoyant | finished alone | outages | cuts |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.trace} | {r.planned_s * 1e3:.0f} ms | {r.vs_best_fixed:.3f} | {r.best_fixed} | {r.vs_clairvoyant:.3f} |"
        f" {r.alone:.1%} | {r.outages:.1%} | {r.cuts} |"
        for r in rows
    ]
    fixed_ratio = [row.vs_best_fixed for row in rows]
    seen_ratio = [row.vs_clairvoyant for row in rows]
    lines += [
        "",
        f"vs_best_fixed: worst {max(fixed_ratio):.3f}, median {statistics.median(fixed_ratio):.3f};"
        f" vs_clairvoyant: worst {max(seen_ratio):.3f}, median {statistics.median(seen_ratio):.3f}",
    ]
    return lines


if __name__ == "__main__":
    main()
