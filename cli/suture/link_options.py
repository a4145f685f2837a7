"""The options that describe an emulated link: one for both ways, and each again for up or down only."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from suture_protocol.errors import UsageError
from suture_protocol.units import format_rate, format_time, parse_rate_bps, parse_share, parse_size_bytes, parse_time_s

if TYPE_CHECKING:
    from suture_simulators.link_profile import BurstLoss, Direction, LinkProfile

_T = TypeVar("_T")
_BOTH, _UP, _DOWN = "The link, both ways", "Up only, from the near end", "Down only, to the near end"
_OPTIONS = {
    "rate": ("RATE", "Line rate, e.g. 20mbit; without it or a trace: unlimited."),
    "trace": ("TRACE", "A recorded rate instead: a file or a name out of `suture link traces`."),
    "delay": ("TIME", "Delay one way, e.g. 20ms: half the round trip."),
    "jitter": ("TIME", "The delay wanders slowly by this much."),
    "loss": ("LOSS", "Packets lost: 1% independently; gemodel:P,R[,BAD[,GOOD]] in bursts, e.g. gemodel:1%,25%."),
    "reorder": ("SHARE", "Packets that skip the delay and overtake others, e.g. 1%."),
    "queue": ("SIZE", "Room before the line; default: one round trip of it, at least 100 ms."),
    "outage": ("BEGIN+LENGTH", "Nothing leaves, e.g. 10s+3s: from 10 s for 3 s; several with commas."),
}
_GEMODEL = "gemodel:"


def with_link_options(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `--rate`, `--up-rate`, `--down-rate` and so on, and passes the link as its argument `profile`."""
    function.__annotations__.pop("profile")  # no option, and of a type that is not imported here
    parameters = [p for name, p in inspect.signature(function, eval_str=True).parameters.items() if name != "profile"]
    options = [
        _parameter(f"{prefix}{name}", metavar, text if panel == _BOTH else f"As --{name}, in its place.", panel)
        for prefix, panel in (("", _BOTH), ("up_", _UP), ("down_", _DOWN))
        for name, (metavar, text) in _OPTIONS.items()
    ]
    seed = Annotated[int, typer.Option("--seed", help="Draws losses and jitter.", rich_help_panel=_BOTH)]
    options.append(inspect.Parameter("seed", inspect.Parameter.KEYWORD_ONLY, default=1, annotation=seed))
    positional = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        texts = {option.name: given.pop(option.name) for option in options}
        function(profile=read_profile(texts.pop("seed"), texts), **given)

    command.__signature__ = inspect.Signature([*positional, *options])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in (*positional, *options)}
    return command


def read_profile(seed: int, texts: dict[str, str | None]) -> LinkProfile:
    """The link that options describe; `texts` by their names, `up_…` and `down_…` included.

    Raises:
        UsageError: one cannot be read, or together they make no link; the message names it.
    """
    from suture_simulators.link_profile import LinkProfile

    try:
        return LinkProfile(up=_direction("up", texts), down=_direction("down", texts), seed=seed)
    except ValueError as error:
        raise UsageError(f"this link cannot be: {error}") from error


def _parameter(name: str, metavar: str, text: str, panel: str) -> inspect.Parameter:
    option = typer.Option(f"--{name.replace('_', '-')}", metavar=metavar, help=text, rich_help_panel=panel)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def _direction(way: str, texts: dict[str, str | None]) -> Direction:
    from suture_simulators.link_profile import Direction
    from suture_simulators.traces.library import find_trace

    own_rate = any(texts.get(f"{way}_{name}") is not None for name in ("rate", "trace"))

    def read(name: str, parse: Callable[[str], _T], default: _T) -> _T:
        option, text = f"--{way}-{name}", texts.get(f"{way}_{name}")
        if text is None and not (own_rate and name in ("rate", "trace")):
            option, text = f"--{name}", texts.get(name)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as error:
            raise UsageError(f"{option} {error}") from error

    no_loss: tuple[float, BurstLoss | None] = (0.0, None)
    loss, burst_loss = read("loss", _parse_loss, no_loss)
    return Direction(
        rate_bps=read("rate", parse_rate_bps, None),
        trace=read("trace", find_trace, None),
        delay_s=read("delay", parse_time_s, 0.0),
        jitter_s=read("jitter", parse_time_s, 0.0),
        loss=loss,
        burst_loss=burst_loss,
        reorder=read("reorder", parse_share, 0.0),
        queue_bytes=read("queue", parse_size_bytes, None),
        outages=read("outage", _parse_outages, ()),
    )


def _parse_loss(text: str) -> tuple[float, BurstLoss | None]:
    from suture_simulators.link_profile import BurstLoss

    if not text.startswith(_GEMODEL):
        return parse_share(text), None
    shares = [parse_share(part) for part in text.removeprefix(_GEMODEL).split(",")]
    if not 2 <= len(shares) <= 4:
        raise ValueError(
            f"{text!r}: loss in bursts is written gemodel:P,R[,BAD[,GOOD]], such as gemodel:1%,25%: into the bad "
            "state, out of it, loss in the bad state (100%) and in the good one (0%)"
        )
    return 0.0, BurstLoss(**dict(zip(("p", "r", "loss_bad", "loss_good"), shares, strict=False)))


def _parse_outages(text: str) -> tuple[tuple[float, float], ...]:
    outages = []
    for part in text.split(","):
        begin, mark, length = part.partition("+")
        if not mark:
            raise ValueError(f"{part!r}: an outage is written BEGIN+LENGTH, such as 10s+3s")
        outages.append((parse_time_s(begin), parse_time_s(length)))
    return tuple(outages)


def trace_remarks(profile: LinkProfile) -> list[str]:
    """What to tell a person about traces that were read from files: the columns taken, the length and the mean."""
    remarks = {}
    for direction in (profile.up, profile.down):
        if (trace := direction.trace) is not None:
            facts = f"{format_time(trace.period_s)}, mean {format_rate(trace.mean_bps())}"
            remarks[trace.name] = f"trace {trace.name}: {trace.read_as}; {facts}"
    return list(remarks.values())
