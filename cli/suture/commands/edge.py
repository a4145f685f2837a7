"""`suture edge`: the unit's agent. Watches a folder, infers on each file that arrives, writes a result for each."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from suture.console import examples
from suture.units import aims, emulated, in_force, open_client, open_variants, profiling_bar, slowed
from suture_edge.config import KEYS, load_config
from suture_protocol.errors import UsageError

if TYPE_CHECKING:
    from suture_edge.agent import Agent
    from suture_edge.config import AgentConfig
    from suture_partitioner.energy import PowerModel
    from suture_partitioner.types import Constraints, Objective

SOME_REFUSED = 1


def register(app: typer.Typer) -> None:
    """Adds `edge` to the command."""
    keys = "\n\n".join(f"  {key.text()}".replace("[", "\\[") for key in KEYS)
    shown = examples(
        "suture edge --config deploy/edge.toml",
        "suture edge --config /etc/suture/edge.toml --once",
    )
    app.command(
        "edge", epilog=f"[bold]Keys of the configuration (TOML: \\[table], key = value)[/bold]\n\n{keys}\n\n{shown}"
    )(edge)


def edge(
    config: Annotated[Path, typer.Option(help="The configuration, TOML; paths in it are relative to its folder.")],
    once: Annotated[
        bool, typer.Option("--once", help="Do what is there and end; status 1 if some of it was refused.")
    ] = False,
) -> None:
    """Watch a folder, infer on each file that arrives, write one JSON result for each.

    Results have the fields of `suture infer --json`; what cannot be used has its reason under `error`. A file is not
    done twice, also after a restart. Where the cloud is out of reach the unit finishes alone, and uses it again when it
    is back. Ctrl-C or SIGTERM ends it after the image at hand, a second one at once.
    """
    settings = load_config(config)
    with _log_on_stderr(), _Told() as told:
        refused = _run(settings, once, told)
    if once and refused:
        raise typer.Exit(SOME_REFUSED)


class _Told:
    """Whether a signal asked for the end. A plain flag: a signal handler must take no lock that its thread may hold."""

    def __init__(self) -> None:
        self.to_stop = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:  # noqa: ARG002 - a handler's signature
        self.to_stop = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(settings: AgentConfig, once: bool, told: _Told) -> int:
    """Runs the agent to its end; how many instances were refused."""
    from suture_edge.agent import Agent
    from suture_edge.folder import Inbox, ResultFolder
    from suture_edge.unit import Unit, UnitSettings

    if not settings.watch.is_dir():
        raise UsageError(f"folder.watch: {settings.watch} is no folder; make it, or name another")
    client = open_client(settings.address, insecure=settings.insecure)
    device = emulated(settings.device_factor)
    slow = slowed(device)
    heads = open_variants(settings.bundle, settings.engine, settings.precision, settings.threads, slow)
    constraints, objective, power = _aims(settings)
    with in_force(device, heads[0]) as said, profiling_bar() as progress:
        how = UnitSettings(
            codec=settings.codec,
            constraints=constraints,
            objective=objective,
            power=power,
            timeout_s=settings.timeout_s,
            device_factor=1.0 if device is None else device.factor,
            emulated=said,
            out=settings.out,
        )
        unit = Unit(heads, client, how, slow=slow, progress=progress)
        unit.check(settings.cut)
        results = ResultFolder(settings.out, settings.watch)
        try:
            inbox = Inbox(settings.watch, settings.settle_s)
            agent = Agent(unit, inbox, results, cut=settings.cut, stopping=lambda: told.to_stop)
            _work(agent, settings, once)
        finally:
            results.close()
            unit.close()
            if client is not None:
                client.close()
    return agent.refused


def _aims(settings: AgentConfig) -> tuple[Constraints, Objective, PowerModel | None]:
    try:
        return aims(
            objective=settings.objective,
            accuracy_budget=settings.accuracy_budget,
            memory=settings.memory,
            power=settings.power,
            privacy_floor=settings.privacy_floor,
            codec=settings.codec,
        )
    except UsageError as error:
        # In a file the options are keys.
        named = str(error).replace("--accuracy-budget", "--accuracy_budget")
        raise UsageError(named.replace("--", "unit.")) from error


def _work(agent: Agent, settings: AgentConfig, once: bool) -> None:
    log = logging.getLogger("suture_edge")
    log.info("watching %s, results in %s, cloud %s", settings.watch, settings.out, settings.address or "none")
    if once:
        agent.run_once(settings.settle_s)
    else:
        agent.run(settings.poll_s)
    log.info("ended; %d done, %d of them refused", agent.done, agent.refused)


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("suture_edge")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
