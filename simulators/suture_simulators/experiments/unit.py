"""The unit's process, at the near end of the link: `python -m suture_simulators.experiments.unit DESCRIPTOR`.

Its parent writes one JSON object a line to the descriptor, a socket: first the configuration (`address`, or null for
SUTURE_PEER; `device`; `images`), then commands: `{"do": NAME, "with": {…}}`. Each is answered by any number of
`{"progress": [done, total, text]}` and `{"event": {…}}`, and by one `{"result": …}` or `{"error": KIND, "message": …}`.
A command is a function in this package and a row in `COMMANDS`. The process ends when the socket does.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TextIO

from suture_protocol.errors import SutureError
from suture_simulators.experiments import fleet_unit, overhead_unit
from suture_simulators.experiments.child import end_with_parent
from suture_simulators.experiments.station import Station
from suture_simulators.experiments.stream import open_stream, run_stream
from suture_simulators.experiments.types import Report
from suture_simulators.experiments.ways import Outcome, Ways

#: So many of the plan's alternatives are made ready, in case it changes its mind between samples.
_NEXT: Final = 4
#: Sends an event to the parent.
Emit = Callable[[Mapping[str, Any]], None]
Command = Callable[[Station, Mapping[str, Any], Report, Emit], Any]


def main() -> int:
    """Serves until the parent hangs up."""
    end_with_parent()
    # Ctrl-C is for the parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING)
    with socket.socket(fileno=int(sys.argv[1])) as line, line.makefile("rw", encoding="utf-8") as stream:
        config = json.loads(stream.readline())
        address = config["address"] or os.environ["SUTURE_PEER"]
        station = Station(
            address=address,
            device=config["device"],
            images=config["images"],
            accuracy_budget=config["accuracy_budget"],
        )
        try:
            for request in stream:
                _answer(station, json.loads(request), stream)
        finally:
            station.close()
    return 0


def _answer(station: Station, request: Mapping[str, Any], stream: TextIO) -> None:
    def write(reply: Mapping[str, Any]) -> None:
        stream.write(json.dumps(reply, allow_nan=False) + "\n")
        stream.flush()

    def tell(done: int, total: int, text: str) -> None:
        write({"progress": [done, total, text]})

    def emit(event: Mapping[str, Any]) -> None:
        write({"event": event})

    try:
        result = COMMANDS[request["do"]](station, request.get("with", {}), tell, emit)
    except SutureError as error:
        write({"error": type(error).__name__, "message": str(error)})
    else:
        write({"result": result})


def _current(station: Station) -> Ways:
    if station.current is None:
        raise ValueError("no point was begun")
    return station.current


def _infer(station: Station, given: Mapping[str, Any], _tell: Report, _emit: Emit) -> dict[str, Any]:
    config = tuple((str(name), str(value)) for name, value in given.get("config", {}).items())
    return _plain(_current(station).infer(given["cut"], given.get("codec", ""), config))


def _prepare(station: Station, given: Mapping[str, Any], tell: Report, _emit: Emit) -> None:
    """Compiles heads ahead and runs each once, so that no sample pays for it."""
    for place, cut in enumerate(given["cuts"]):
        tell(place, len(given["cuts"]), f"compiling cut {cut}")
        station.prepare(cut)


def _plain(outcome: Outcome) -> dict[str, Any]:
    return asdict(outcome)


def _plan(station: Station, _given: Mapping[str, Any], _tell: Report, _emit: Emit) -> dict[str, Any]:
    """The plan, and the cuts that it might change to next."""
    plan = _current(station).plan()
    following = [choice.cut_id for choice in plan.rejected[:_NEXT]]
    return {"chosen": asdict(plan.chosen), "link": asdict(plan.link), "next": list(dict.fromkeys(following))}


#: Name of a command → what does it.
COMMANDS: Final[Mapping[str, Command]] = {
    "open": lambda station, given, _tell, _emit: station.open(Path(given["bundle"]), given["images"]),
    "connect": lambda station, _given, _tell, _emit: station.connect(),
    "calibrate": lambda station, _given, _tell, _emit: station.calibrate(),
    "profile": lambda station, _given, tell, _emit: station.profile(tell),
    "begin": lambda station, given, _tell, _emit: station.begin(given["image"], given["rate_bps"]),
    "prepare": _prepare,
    "plan": _plan,
    "infer": _infer,
    "send_file": lambda station, _given, _tell, _emit: _plain(_current(station).send_file()),
    "local": lambda station, _given, _tell, _emit: [local.to_json() for local in station.local()],
    "fleet_join": lambda station, given, _tell, _emit: fleet_unit.join(station, given),
    "fleet_begin": lambda station, given, _tell, _emit: fleet_unit.begin(station, given),
    "fleet_run": lambda station, given, _tell, emit: fleet_unit.run(station, given, emit),
    "round_trip": lambda station, _given, _tell, _emit: overhead_unit.round_trip_s(_current(station)),
    "series": lambda station, given, _tell, _emit: overhead_unit.series(station, given),
    "stat": lambda station, given, _tell, _emit: overhead_unit.stat(_current(station), given),
    "stream_open": lambda station, given, _tell, _emit: open_stream(station, given),
    "stream": lambda station, given, _tell, emit: run_stream(station, given, emit),
    "alone": lambda station, _given, _tell, _emit: _plain(_current(station).alone(station.local()[0].heads)),
}


if __name__ == "__main__":
    raise SystemExit(main())
