"""What `suture link` promises: rates, round trips and losses as set, traces followed, nothing left behind.

python docs/benchmarks/bench_link.py            (as root: an ordinary user is measured too)
python docs/benchmarks/bench_link.py --quick    (a part of it, for a first look)
python docs/benchmarks/bench_link.py --full     (every bundled trace from end to end: half an hour more)
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from common import write_report
from link_leftovers import run_and_look

import suture_protocol
import suture_simulators
from suture_protocol.units import format_rate
from suture_simulators.check import follow
from suture_simulators.link_profile import Direction, LinkProfile
from suture_simulators.quantities import CORRELATION_MIN, GOODPUT_TOLERANCE, RTT_TOLERANCE_S, Followed
from suture_simulators.rate_trace import RateTrace
from suture_simulators.report import LinkReport
from suture_simulators.traces.library import bundled_traces, trace_facts

_RATES_BPS, _RTTS_S = (1e6, 5e6, 20e6, 50e6, 100e6), (0.005, 0.04, 0.1)
_ROOMS = os.pathsep.join(
    str(Path(package.__file__ or "").parents[1]) for package in (suture_protocol, suture_simulators)
)
_NOBODY = 65534
_WINDOW_S, _QUICK_WINDOW_S = 120.0, 40.0


def main(
    quick: Annotated[bool, typer.Option(help="Four points, short windows, fewer runs.")] = False,
    full: Annotated[bool, typer.Option(help="Each trace from end to end.")] = False,
) -> None:
    """Measures, writes docs/benchmarks/link_<machine>_<date>.md, exits 1 where a threshold is missed."""
    began_s = time.monotonic()
    lines, samples, missed = [], {}, []
    for user, grid in _grids(quick).items():
        samples[user] = grid
        lines += _grid_table(user, grid)
        missed += [f"{user}: {name}" for row in grid for name in _missed(row)]
    window_s = float("inf") if full else _QUICK_WINDOW_S if quick else _WINDOW_S
    replays = _replay(window_s)
    lines += _replay_table(replays)
    missed += [f"{name}: {q.name}" for name, done, _ in replays for q in done.quantities() if not q.within]
    counts = (10, 6) if quick else (50, 20)
    leftovers = run_and_look(*counts)
    lines += [f"{counts[0]} runs of `suture link … -- true`, {counts[1]} interrupted: {leftovers.said()}", ""]
    missed += leftovers.left
    spent = f"It took {(time.monotonic() - began_s) / 60:.0f} minutes."
    lines += [f"Missed: {'; '.join(missed)}." if missed else "All thresholds were kept.", spent]
    path = write_report("link", lines, {"command": " ".join(["python docs/benchmarks/bench_link.py", *sys.argv[1:]])})
    path.with_suffix(".json").write_text(json.dumps({"grids": samples, "missed": missed}) + "\n", encoding="utf-8")
    raise typer.Exit(int(bool(missed)))


def _grids(quick: bool) -> dict[str, list[dict[str, Any]]]:
    """The grid's points by user."""
    order = {"rates_bps": _RATES_BPS, "rtts_s": _RTTS_S, "seconds": 2.0}
    if quick:
        order |= {"rates_bps": (5e6, 50e6), "rtts_s": (0.005, 0.1)}
    script = [str(Path(__file__).with_name("link_grid.py")), json.dumps(order)]
    if os.geteuid() != 0:
        return {"ordinary user": _lines([sys.executable, *script])}
    done = {"root": _lines([sys.executable, *script])}
    ordinary: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": [], "cwd": "/"}
    for python in (sys.executable, "/usr/bin/python3"):
        if _may_run(python, ordinary):
            text = Path(script[0]).read_text(encoding="utf-8")
            return done | {"ordinary user": _lines([python, "-c", text, script[1]], **ordinary)}
    raise SystemExit("no Python that an ordinary user may run with these packages; run this as that user as well")


def _may_run(python: str, ordinary: dict[str, Any]) -> bool:
    try:
        command = [python, "-c", "import suture_simulators.check"]
        return subprocess.run(command, env=_environment(), check=False, capture_output=True, **ordinary).returncode == 0
    except OSError:
        return False


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": _ROOMS, "PATH": os.defpath}


def _lines(command: Sequence[str], **settings: Any) -> list[dict[str, Any]]:
    found = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=_environment(), **settings) as process:
        for line in process.stdout or ():
            found.append(json.loads(line))
            row = found[-1]
            sys.stderr.write(f"{format_rate(row['rate_bps'])}, {row['rtt_s'] * 1e3:g} ms: {row['figures']}\n")
    if process.returncode != 0:
        raise SystemExit("the grid did not finish; its message is above")
    return found


def _missed(row: dict[str, Any]) -> list[str]:
    where = f"{format_rate(row['rate_bps'])} {row['rtt_s'] * 1e3:g} ms"
    found = [
        f"{where} {q['name']} {q['measured']:.6g} (set {q['set_value']:.6g})"
        for q in row["quantities"]
        if not q["within"]
    ]
    return found if row["valid"] else [*found, f"{where} invalid"]


def _grid_table(user: str, grid: list[dict[str, Any]]) -> list[str]:
    first = grid[0]
    lines = [
        f"## As {user}",
        "",
        f"{first['backend']}, relay's scheduler {first['scheduler']}. Goodput of {first['goodput_method']}, against "
        "rate x payload share; median of 40 round trips; loss on the same link set to 1 %, "
        "2,000 probes (fewer at 1 Mbit/s), with its binomial interval.",
        "",
        "| rate | RTT | goodput up | down | RTT | loss up | down | late p99 | tries |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in grid:
        by_name = {q["name"]: q for q in row["quantities"]}  # the lossy link's come last, so its loss is shown
        up, down = (
            by_name[f"goodput {way}"]["measured"] / by_name[f"goodput {way}"]["set_value"] - 1 for way in ("up", "down")
        )
        trip_s = row["figures"]["rtt_error_s_max"]
        losses = " | ".join(
            f"{by_name[f'loss {way}']['measured']:.2%}{'' if by_name[f'loss {way}']['within'] else ' off'}"
            for way in ("up", "down")
        )
        lines.append(
            f"| {format_rate(row['rate_bps'])} | {row['rtt_s'] * 1e3:g} ms | {up:+.2%} | {down:+.2%} | "
            f"{trip_s * 1e3:.2f} ms off | {losses} | {row['late_p99_s'] * 1e3:.2f} ms | {row['tries']} |"
        )
    worst = max(row["figures"]["goodput_error_max"] for row in grid)
    trip_s = max(row["figures"]["rtt_error_s_max"] for row in grid)
    lines += ["", f"Worst: goodput {worst:.2%} off (threshold {GOODPUT_TOLERANCE:.0%}), RTT {trip_s * 1e3:.2f} ms off "]
    lines[-1] += f"(threshold {RTT_TOLERANCE_S * 1e3:g} ms)."
    return [*lines, ""]


def _window(trace: RateTrace, window_s: float) -> RateTrace:
    """The trace begun where the window that follows holds the most outage."""
    if trace.period_s <= window_s:
        return trace
    starts = [index * 10.0 for index in range(int((trace.period_s - window_s) / 10) + 1)]
    dead = {
        start: sum(trace.mean_between(start + k, start + k + 1) == 0 for k in range(int(window_s))) for start in starts
    }
    best = max(starts, key=lambda start: dead[start])
    return trace.starting_at(max(best - 3.0, 0.0))


def _replay(window_s: float) -> list[tuple[str, Followed, LinkReport]]:
    """Each bundled trace, two to a link (one a way), three links at once: they are slow."""
    traces = [(bundled.name, bundled.load()) for bundled in bundled_traces()]

    def one(pair: tuple[tuple[str, RateTrace], ...]) -> list[tuple[str, Followed, LinkReport]]:
        names = [name for name, _ in pair]
        ways = [Direction(trace=_window(trace, window_s), delay_s=0.02) for _, trace in pair]
        seconds = min(window_s, max(trace.period_s for _, trace in pair)) - 3
        done, report = follow(LinkProfile(up=ways[0], down=ways[-1]), seconds=int(seconds))
        return [(name, result, report) for name, result in zip(names, done, strict=False)]

    pairs = [tuple(traces[at : at + 2]) for at in range(0, len(traces), 2)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        return [row for rows in pool.map(one, pairs) for row in rows]


def _replay_table(replays: list[tuple[str, Followed, LinkReport]]) -> list[str]:
    lines = [
        "## Traces replayed",
        "",
        "Kept full by UDP; payload that arrived in each second against what the trace allows. From where the window "
        "holds the most outage.",
        "",
        "| trace | seconds | of them without any rate | total | correlation | valid |",
        "|---|---|---|---|---|---|",
    ]
    for name, done, report in replays:
        by_unit = {q.unit: q for q in done.quantities()}
        total = by_unit["bit/s"].measured / (by_unit["bit/s"].set_value or 1) - 1
        like = f"{by_unit['r'].measured:.4f}" if "r" in by_unit else "hardly varies"
        dead = sum(value == 0 for value in done.set_bytes)
        lines.append(f"| {name} | {len(done.set_bytes)} | {dead} | {total:+.2%} | {like} | {report.valid} |")
    shares = ", ".join(f"{b.name} {trace_facts(b.load()).outage_share:.1%}" for b in bundled_traces())
    return [
        *lines,
        "",
        f"Thresholds: {GOODPUT_TOLERANCE:.0%}, {CORRELATION_MIN}. Outage in the whole traces: {shares}.",
        "",
    ]


if __name__ == "__main__":
    typer.run(main)
