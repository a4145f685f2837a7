"""A helper process's side of a link's control socket; every backend's helper speaks it, whatever moves its packets.

The parent sends one line of JSON, the set-up: `profile` (as `dataclasses.asdict` gives it), `device`,
`congestion_control` and `forward_port`. The helper answers with one line of JSON: facts with open descriptors (near
namespace, far namespace, the user namespace where `in_user_namespace`, the listener where a port is forwarded), or
`error` (a class of `suture_protocol.errors`) and `message`. Then each line is a request, answered by one line of JSON:
`report`, or `change PROFILE`. The link is over when the socket closes or the parent dies.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from suture_protocol.errors import SutureError
from suture_simulators.link_profile import BurstLoss, Direction, LinkProfile
from suture_simulators.rate_trace import RateTrace


class Control:
    """The helper's end of the control socket. `wake` are the descriptors to watch; see `serve`."""

    def __init__(self, control_fd: int, parent: int) -> None:
        self.wake = [control_fd, *_watch_parent(parent)]
        self._descriptor = control_fd
        self._socket = socket.socket(fileno=control_fd)
        self._lines = self._read_lines()

    def _read_lines(self) -> Iterator[str]:
        with self._socket.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                yield line.strip()

    def set_up(self) -> dict[str, Any] | None:
        """The parent's first line; None when it changed its mind."""
        line = next(self._lines, None)
        return None if line is None else json.loads(line)

    def hand_over(self, facts: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Says that the link is up, and hands over its ends."""
        socket.send_fds(self._socket, [json.dumps(facts).encode() + b"\n"], descriptors)

    def refuse(self, error: SutureError) -> None:
        """Says why there is no link."""
        self._answer({"error": type(error).__name__, "message": str(error)})

    def serve(
        self, descriptor: int, report: Callable[[], dict[str, Any]], change: Callable[[LinkProfile], dict[str, Any]]
    ) -> bool:
        """Answers the request behind a descriptor of `wake` that became readable; False when the link is over."""
        if descriptor != self._descriptor:
            return False
        request, _, rest = next(self._lines, "stop").partition(" ")
        if request == "report":
            self._answer(report())
        elif request == "change":
            try:
                self._answer(change(profile_from_plain(json.loads(rest))))
            except SutureError as error:
                self.refuse(error)
        else:
            return False
        return True

    def _answer(self, answer: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps(answer).encode() + b"\n")


def _watch_parent(parent: int) -> list[int]:
    """A descriptor that becomes readable when the parent dies; none on kernels without pidfd (control's end serves)."""
    try:
        descriptor = os.pidfd_open(parent)
    except OSError:
        return []
    if os.getppid() != parent:  # it died before we could look
        raise SystemExit(0)
    return [descriptor]


def profile_from_plain(plain: dict[str, Any]) -> LinkProfile:
    """The profile that `dataclasses.asdict` and JSON have taken apart."""

    def direction(settings: dict[str, Any]) -> Direction:
        trace = settings["trace"]
        if trace is not None:
            trace = RateTrace(**{**trace, "steps": tuple((at_s, rate) for at_s, rate in trace["steps"])})
        burst = settings["burst_loss"]
        outages = tuple((begin_s, length_s) for begin_s, length_s in settings["outages"])
        made = {"trace": trace, "burst_loss": None if burst is None else BurstLoss(**burst), "outages": outages}
        return Direction(**{**settings, **made})

    return LinkProfile(up=direction(plain["up"]), down=direction(plain["down"]), seed=plain["seed"])
