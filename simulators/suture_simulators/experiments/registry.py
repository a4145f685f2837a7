"""The experiments by name. Adding one is one file and one row here."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from suture_protocol.errors import UsageError
from suture_simulators.experiments.types import Experiment

#: name → module and class, imported when asked for.
_EXPERIMENTS: Final = {
    "baselines": ("suture_simulators.experiments.baselines", "Baselines"),
    "adapt": ("suture_simulators.experiments.adapt", "Adapt"),
    "trace": ("suture_simulators.experiments.trace", "Trace"),
    "fleet": ("suture_simulators.experiments.fleet", "Fleets"),
    "overhead": ("suture_simulators.experiments.overhead", "Overhead"),
    "codec": ("suture_simulators.experiments.codec", "Codecs"),
    "oracle": ("suture_simulators.experiments.oracle", "Oracle"),
}


def experiment_names() -> list[str]:
    """Names that `suture experiment` takes."""
    return list(_EXPERIMENTS)


def get_experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        UsageError: there is none; the message lists them.
    """
    if name not in _EXPERIMENTS:
        raise UsageError(f"no experiment {name!r}; there are: {', '.join(_EXPERIMENTS)}")
    module, kind = _EXPERIMENTS[name]
    made: Experiment = getattr(import_module(module), kind)()
    return made
