"""What a run writes: each sample at once, so that a run goes on where it stopped, and the results in the end.

OUT/configuration.json says what is being measured; OUT/samples.jsonl gains a line per sample and per finished point, in
the order they came, and is never rewritten. A line that was half written when the process was killed is dropped. A
point that was not finished is measured again as a whole, under the next sitting's number, so that all samples that
count were taken in one warmed-up sitting.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from suture_protocol.errors import UsageError
from suture_simulators.experiments.types import Point, PointRecord, Sample, record_from_json, sample_from_json

CONFIGURATION: Final = "configuration.json"
SAMPLES: Final = "samples.jsonl"
RESULTS: Final = "results.json"
REPORT: Final = "report.html"


class Store:
    """One run's folder, from entering to leaving."""

    def __init__(self, out: Path, configuration: Mapping[str, Any]) -> None:
        """Prepares; nothing is read or written yet."""
        self._out = out
        self._configuration = json.loads(json.dumps(configuration, sort_keys=True))
        self._file: IO[str] | None = None
        self.records: dict[str, PointRecord] = {}
        self.facts: dict[str, Any] = {}
        self._samples: dict[tuple[str, int], list[Sample]] = {}
        self._sittings: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Opens the folder and reads what an earlier run left.

        Raises:
            UsageError: the folder holds another configuration's run, is damaged, or cannot be written.
        """
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            self._check_configuration()
            self._read()
            self._file = (self._out / SAMPLES).open("a", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--out {self._out}: cannot be used: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def begin(self, point: Point) -> int:
        """A new sitting for a point; gives its number."""
        sitting = self._sittings.get(point.key, 0) + 1
        self._sittings[point.key] = sitting
        self._write({"kind": "begin", "key": point.key, "sitting": sitting})
        return sitting

    def add(self, sample: Sample, sitting: int) -> None:
        """Keeps a sample; when this returns, the file has it."""
        self._samples.setdefault((sample.point, sitting), []).append(sample)
        self._write({"kind": "sample", "sitting": sitting, **sample.to_json()})

    def finish(self, record: PointRecord) -> None:
        """Keeps a finished point in place of an earlier sitting's."""
        self.records[record.point.key] = record
        self._write({"kind": "point", **record.to_json()})

    def note(self, facts: Mapping[str, Any]) -> None:
        """Keeps circumstances of the run; later ones replace earlier ones of the same name."""
        self.facts |= facts
        self._write({"kind": "facts", "facts": dict(facts)})

    def samples(self) -> dict[str, tuple[Sample, ...]]:
        """Key of each finished point → the samples of the sitting that counts."""
        return {key: tuple(self._samples.get((key, r.sitting), ())) for key, r in self.records.items()}

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Writes results.json; a reader sees the old file or the new one."""
        write_whole(self._out / RESULTS, json.dumps(results, indent=1, allow_nan=False) + "\n")

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._file is None:
            raise ValueError("the store is not open")
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()

    def _check_configuration(self) -> None:
        path = self._out / CONFIGURATION
        digest = hashlib.sha256(json.dumps(self._configuration, sort_keys=True).encode()).hexdigest()
        body = {"digest": digest, "configuration": self._configuration}
        if not path.exists():
            if (self._out / SAMPLES).exists():
                raise UsageError(f"{self._out} holds samples without {CONFIGURATION}; give another --out")
            write_whole(path, json.dumps(body, indent=1, sort_keys=True) + "\n")
            return
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            same, before = kept["digest"] == digest, kept["configuration"]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is damaged ({error}); give another --out, or delete the folder") from error
        if not same:
            what = "; ".join(differences(before, self._configuration)) or "a value in it"
            raise UsageError(
                f"{self._out} holds the run of another configuration: {what}. "
                "Give another --out, or the options of then to go on with it"
            )

    def _read(self) -> None:
        """Reads what is there; what follows the last whole line is cut off."""
        path = self._out / SAMPLES
        if not path.exists():
            return
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(path, len(whole))
        for number, line in enumerate(whole.decode("utf-8").splitlines(), start=1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, AttributeError) as error:
                text = f"{path}: line {number} is damaged ({error}); give another --out, or delete the folder"
                raise UsageError(text) from error

    def _take(self, raw: dict[str, Any]) -> None:
        kind = raw.pop("kind")
        if kind == "begin":
            self._sittings[raw["key"]] = raw["sitting"]
        elif kind == "sample":
            sitting = raw.pop("sitting")
            sample = sample_from_json(raw)
            self._samples.setdefault((sample.point, sitting), []).append(sample)
        elif kind == "facts":
            self.facts |= raw["facts"]
        elif kind == "point":
            record = record_from_json(raw)
            self.records[record.point.key] = record
        else:
            raise ValueError(f"kind {kind!r}")


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """What differs between two configurations, one phrase each: `samples was 8, is 5`."""
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            found += differences(before.get(key), now.get(key), inner)
        return found
    if before == now:
        return []
    return [f"{name} was {_short(before)}, is {_short(now)}"]


def write_whole(path: Path, text: str) -> None:
    """Writes a file that a reader finds complete or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _short(value: Any) -> str:
    text = "not set" if value is None else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
