"""A command whose first word may name a command of its own: `suture link check`, `suture experiment compare`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand


@dataclass(frozen=True, kw_only=True, slots=True)
class Subcommand:
    """One of them. `load` gives its function, imported only when it is called; `epilog` ends its help."""

    load: Callable[[], Callable[..., None]]
    epilog: str


class CommandWithSubcommands(TyperCommand):
    """A first word out of `subcommands` is a command of its own; anything else belongs to the command itself."""

    subcommands: ClassVar[Mapping[str, Subcommand]]

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """As its parent does, or as the sub-command does."""
        if not args or args[0] not in self.subcommands:
            return super().make_context(info_name, args, parent=parent, **extra)
        found = self.subcommands[args[0]]
        app = typer.Typer(rich_markup_mode="rich", add_completion=False)
        app.command(args[0], epilog=found.epilog)(found.load())
        return typer.main.get_command(app).make_context(f"{info_name} {args[0]}", args[1:], parent=parent, **extra)
