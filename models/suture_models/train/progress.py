"""How a recipe tells what it is doing; who shows it, and how, is not its business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """`done` of `total` units of `stage`; `note` is a figure worth showing beside it, or empty."""

    stage: str
    done: int
    total: int
    note: str = ""


OnProgress = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Shows nothing."""
