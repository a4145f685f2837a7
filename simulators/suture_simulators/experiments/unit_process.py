"""The unit's process as its parent sees it: started at the near end of a link, asked over a socket, ended."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from suture_protocol import errors
from suture_simulators.experiments.processes import CloudProcess, last_words, start_module, stop
from suture_simulators.experiments.types import ExperimentFailed, Report
from suture_simulators.link import EmulatedLink

#: No command takes longer: a full-size file at the slowest rate, or profiling the largest network.
_ANSWER_S: Final = 300.0
_MODULE: Final = "suture_simulators.experiments.unit"


class UnitProcess:
    """The unit at the near end of a link, and the socket to it."""

    def __init__(
        self,
        link: EmulatedLink,
        config: Mapping[str, Any],
        environment: Mapping[str, str],
        log_path: Path,
        cloud: CloudProcess,
    ) -> None:
        """Starts it."""
        self._log_path = log_path
        self._cloud = cloud
        ours, theirs = socket.socketpair()
        with theirs, log_path.open("wb") as log:
            module = [_MODULE, str(theirs.fileno())]
            self._process: subprocess.Popen[bytes] = start_module(
                module, stderr=log, link=link, pass_fds=[theirs.fileno()], environment=environment
            )
        self._socket = ours
        ours.settimeout(_ANSWER_S)
        self._stream = ours.makefile("rw", encoding="utf-8")
        self._write(config)

    def ask(
        self,
        command: str,
        arguments: Mapping[str, Any],
        report: Report,
        event: Callable[[Mapping[str, Any]], None] | None,
    ) -> Any:
        """See `Bench.ask`."""
        self._write({"do": command, "with": dict(arguments)})
        while True:
            reply = self._read(command)
            if "progress" in reply:
                report(*reply["progress"])
            elif "event" in reply:
                if event is not None:
                    event(reply["event"])
            elif "error" in reply:
                raise _raised(reply)
            else:
                return reply["result"]

    def close(self) -> None:
        """Ends it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        stop(self._process)
        with contextlib.suppress(OSError):
            self._stream.close()
        self._socket.close()

    def _write(self, message: Mapping[str, Any]) -> None:
        try:
            self._stream.write(json.dumps(message) + "\n")
            self._stream.flush()
        except OSError as error:
            raise self._ended() from error

    def _read(self, command: str) -> dict[str, Any]:
        try:
            line = self._stream.readline()
        except TimeoutError as error:
            text = f"the unit did not answer {command!r} within {_ANSWER_S:.0f} s"
            raise ExperimentFailed(text) from error
        except OSError as error:
            raise self._ended() from error
        if not line:
            raise self._ended()
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _ended(self) -> ExperimentFailed:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        try:
            self._cloud.check()
        except ExperimentFailed as failed:
            return failed
        status = self._process.returncode
        return ExperimentFailed(f"the unit's process ended with status {status}{last_words(self._log_path)}")


def _raised(reply: Mapping[str, Any]) -> errors.SutureError:
    kind = getattr(errors, reply["error"], errors.SutureError)
    if kind is errors.InputRefused:
        name, _, reason = reply["message"].partition(": ")
        return errors.InputRefused(name, reason)
    if kind is errors.Refused:
        return errors.Refused("refused", reply["message"])
    made: errors.SutureError = kind(reply["message"])
    return made
