"""The agent's configuration: a TOML file in three tables, read strictly; every key is one row here. Loads no engine."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from suture_protocol.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One key: its table and name, the kind of its value, its help, its default (None where there is none)."""

    table: str
    name: str
    kind: type
    help: str
    default: Any = None
    required: bool = False

    def text(self) -> str:
        """One line for people."""
        ends = "required" if self.required else "not set" if self.default is None else f"default {_toml(self.default)}"
        return f"{self.table}.{self.name}: {self.help} ({ends})"


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentConfig:
    """The file's values; paths are absolute or relative to the file's folder. See `KEYS` for what each means."""

    bundle: Path
    engine: str
    precision: str
    threads: int
    device_factor: str | None
    cut: str
    codec: str | None
    privacy_floor: str | None
    objective: str
    accuracy_budget: str | None
    memory: str | None
    power: str | None
    address: str | None
    insecure: bool
    timeout_s: float
    watch: Path
    out: Path
    poll_s: float
    settle_s: float


#: Adding a key is one row here and one field above.
KEYS: Final = (
    Key(table="unit", name="bundle", kind=Path, required=True, help="the bundle; the cloud must hold the same"),
    Key(
        table="unit",
        name="engine",
        kind=str,
        default="openvino",
        help="openvino, onnxruntime, litert, several, or auto",
    ),
    Key(table="unit", name="precision", kind=str, default="int8", help="int8, f32 or auto: both"),
    Key(table="unit", name="threads", kind=int, default=1, help="threads of the engine"),
    Key(table="unit", name="device_factor", kind=str, help='for trials: emulate a slower device, "12" or a board'),
    Key(table="unit", name="cut", kind=str, default="auto", help="auto, 0, last or the id of a cut"),
    Key(
        table="unit",
        name="codec",
        kind=str,
        help="force a codec: raw, zstd, jpegls, lossless-fast, lossless-small; lossy: jpeg, narrow@1, zstd@4",
    ),
    Key(table="unit", name="privacy_floor", kind=str, help="a cut's id; nothing shallower is sent"),
    Key(
        table="unit",
        name="objective",
        kind=str,
        default="latency",
        help="what the plan makes small: latency, latency_quantile, throughput, energy or cloud",
    ),
    Key(
        table="unit",
        name="accuracy_budget",
        kind=str,
        help='share of calibration inputs whose answer narrowed codes may change, "1%"; without it no such codes',
    ),
    Key(table="unit", name="memory", kind=str, help='heads that take more are not planned, "200mb"'),
    Key(table="unit", name="power", kind=str, help='the unit\'s power, for the objective energy: "pi-4", "pi-4/wifi"'),
    Key(table="cloud", name="address", kind=str, help="HOST:PORT of the cloud; without it the unit works alone"),
    Key(table="cloud", name="insecure", kind=bool, default=False, help="no TLS; loopback and 198.18.0.0/15 only"),
    Key(table="cloud", name="timeout_s", kind=float, default=30.0, help="longest wait for one result"),
    Key(table="folder", name="watch", kind=Path, required=True, help="folder to take files from, with its subfolders"),
    Key(table="folder", name="out", kind=Path, required=True, help="folder for results; not within the watched one"),
    Key(table="folder", name="poll_s", kind=float, default=0.5, help="how often to look for new files"),
    Key(table="folder", name="settle_s", kind=float, default=1.0, help="a file unchanged for so long is complete"),
)


def load_config(path: Path) -> AgentConfig:
    """Reads the agent's configuration.

    Raises:
        UsageError: the file cannot be read, or a key is unknown, missing or of the wrong kind; the message says which.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}; `suture edge --help` shows what it holds"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    _check_names(raw, path)
    base = path.absolute().parent
    config = AgentConfig(**{key.name: _value(key, raw.get(key.table, {}), base, path) for key in KEYS})
    if config.out.resolve().is_relative_to(config.watch.resolve()):
        raise UsageError(f"{path}: folder.out lies within folder.watch; results would be taken for inputs")
    return config


def _check_names(raw: Mapping[str, Any], path: Path) -> None:
    tables = {key.table for key in KEYS}
    for table, values in raw.items():
        if table not in tables or not isinstance(values, dict):
            raise UsageError(f"{path}: unknown {table!r}; the tables are: {', '.join(sorted(tables))}")
        names = [key.name for key in KEYS if key.table == table]
        for name in values:
            if name not in names:
                raise UsageError(f"{path}: [{table}] has no key {name!r}; it has: {', '.join(names)}")


def _value(key: Key, table: Mapping[str, Any], base: Path, path: Path) -> Any:
    where = f"{path}: {key.table}.{key.name}"
    if key.name not in table:
        if key.required:
            raise UsageError(f"{where} is missing: {key.help}")
        return key.default
    value = table[key.name]
    if key.kind is Path and isinstance(value, str) and value:
        return base / Path(value).expanduser()
    if key.kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 < value < 1e6:
            raise UsageError(f"{where} = {value}: give seconds, more than 0")
        return float(value)
    if key.kind is int and isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise UsageError(f"{where} = {value}: give 1 or more")
        return value
    if key.kind in (str, bool) and isinstance(value, key.kind):
        return value
    words = {Path: "a path in quotes", float: "a number of seconds", int: "a whole number", str: "a text in quotes"}
    raise UsageError(f"{where} = {value!r}: give {words.get(key.kind, 'true or false')}")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
