"""A link whose router is a kernel with netem: this one, or a User-Mode Linux's (see `uml_router`).

Run by `suture_simulators.link` as `python -m suture_simulators.netem_router CONTROL_FD PARENT_PID`.

Speaks the protocol of `control` and ends like `relay`. It moves no packet itself: it tells the kernel's qdiscs what to
do, again whenever the profile says so, reads their counters, and watches how late they are.
"""

from __future__ import annotations

import json
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple

from suture_protocol.errors import SutureError
from suture_simulators import kernel
from suture_simulators.control import Control, profile_from_plain
from suture_simulators.link_profile import LinkProfile
from suture_simulators.namespaces import FAR_ADDRESS, HARDWARE_ADDRESS, NEAR_ADDRESS, end_processes_in, here
from suture_simulators.netem_ends import LEGS, WATCHED_ADDRESS, RoutedEnds, create_routed_ends
from suture_simulators.netem_machine import Machine, ThisKernel
from suture_simulators.netem_plan import Course
from suture_simulators.netem_watch import WATCH_DELAY_S, Watch
from suture_simulators.relay import Record, hurry, late_limit_s, listen_at_far, verdict

# A change of rate that comes later than this is not the trace that was set.
_CHANGE_LATE_LIMIT_S = 0.1


class Way(NamedTuple):
    """One direction's devices in the router."""

    enters: str
    line: str
    leaves: str


_WAYS = {"up": Way("to-near", "line-up", "to-far"), "down": Way("to-far", "line-down", "to-near")}


def routing_lines() -> list[str]:
    """The router but for its impairments: addresses, routes, and each way's line device. `LEGS` have to exist."""
    mac = HARDWARE_ADDRESS.hex(":")
    lines = [f"ip link set dev {leg} address {mac} arp off && ip link set dev {leg} up" for leg in LEGS]
    lines.append("echo 1 > /proc/sys/net/ipv4/ip_forward")
    lines.append(f"ip route add {NEAR_ADDRESS}/32 dev to-near && ip route add {FAR_ADDRESS}/32 dev to-far")
    lines.append(f"ip addr add {WATCHED_ADDRESS}/24 dev to-watch")
    lines.append(f"tc qdisc add dev to-watch root netem delay {WATCH_DELAY_S * 1e6:.0f}us limit 1000")
    for way in _WAYS.values():
        lines.append(f"ip link add dev {way.line} type ifb && ip link set dev {way.line} up")
        lines.append(f"tc qdisc add dev {way.enters} ingress")
        redirect = f"action mirred egress redirect dev {way.line}"
        lines.append(f"tc filter add dev {way.enters} ingress protocol ip matchall {redirect}")
    return lines


class Router:
    """The profile in force on a router."""

    def __init__(self, ends: RoutedEnds, profile: LinkProfile, machine: Machine) -> None:
        self._ends, self._machine = ends, machine
        self._records = {"up": Record(), "down": Record()}
        self._recorded = {"up": 0, "down": 0}
        self._said: dict[str, str] = {}
        self._change_late_s = self._change_late_now_s = 0.0
        self._limit_s = self._limit_now_s = late_limit_s(profile)
        self._lost_before_change = 0
        self._courses = _courses(profile)
        self._from_s = 0.0
        self.epoch_s = time.monotonic()
        self._advance(0.0)
        self._watch = Watch(ends.watch)
        self._watch.wait_first()
        self.epoch_s = time.monotonic()
        self._base = (ends.near.traffic(), ends.far.traffic())

    def run(self, wake: list[int], on_wake: Callable[[int], bool]) -> None:
        """Keeps to the profile until `on_wake`, called with each readable descriptor of `wake`, returns False."""
        watched = [self._watch.descriptor, *wake]
        while True:
            now_s = time.monotonic() - self.epoch_s
            due_s = min(course.next_s for course in self._courses.values()) + self._from_s
            if due_s <= now_s:
                self._change_late_now_s = max(self._change_late_now_s, self._advance(now_s) - due_s)
            if self._watch.next_s <= time.monotonic():
                self._watch.probe()
                self._record(time.monotonic() - self.epoch_s)
            until_s = min(self._watch.next_s, due_s + self.epoch_s)
            for descriptor in select.select(watched, [], [], max(until_s - time.monotonic(), 0.0))[0]:
                if descriptor == self._watch.descriptor:
                    self._watch.take()
                elif not on_wake(descriptor):
                    return

    def _advance(self, now_s: float) -> float:
        """Tells tc what is new at `now_s`; returns when that was done."""
        words = []
        for name, course in self._courses.items():
            settings = course.advance(now_s - self._from_s)
            for device, setting in zip((_WAYS[name].line, _WAYS[name].leaves), settings, strict=True):
                if self._said.get(device) != setting:
                    self._said[device] = setting
                    words.append(f"qdisc replace dev {device} root {setting}")
        if words:
            self._machine.tell_tc(words)
        return time.monotonic() - self.epoch_s

    def change(self, profile: LinkProfile) -> dict[str, Any]:
        """Puts a new profile in force, at once; returns when that was, in seconds since the link came up."""
        self._courses = _courses(profile)
        self._from_s = time.monotonic() - self.epoch_s
        self._change_late_s = max(self._change_late_s, self._change_late_now_s)
        self._change_late_now_s = 0.0
        self._advance(self._from_s)
        self._limit_now_s = late_limit_s(profile)
        self._limit_s = min(self._limit_s, self._limit_now_s)
        self._watch.begin_anew()
        self._lost_before_change = self._outside_losses(self._counters())
        return {"from_s": self._from_s}

    def report(self) -> dict[str, Any]:
        """Counters, lateness and whether the run counts, as plain data."""
        now_s = time.monotonic() - self.epoch_s
        self._record(now_s)
        counters = self._counters()
        lost = self._outside_losses(counters)
        late_s = max(self._change_late_s, self._change_late_now_s)
        return {
            "duration_s": now_s,
            **{way: {name: n for name, n in counts.items() if name != "waiting"} for way, counts in counters.items()},
            "up_bytes_per_s": self._records["up"].bytes_per_s,
            "down_bytes_per_s": self._records["down"].bytes_per_s,
            "cpu_s": time.process_time() + self._machine.cpu_s(),
            **_judged(verdict(self._watch.lateness, self._limit_s, lost), late_s),
            "since_change": _judged(
                verdict(self._watch.since_change, self._limit_now_s, max(lost - self._lost_before_change, 0)),
                self._change_late_now_s,
            ),
        }

    def _record(self, now_s: float) -> None:
        for name, seat in (("up", self._ends.far), ("down", self._ends.near)):
            heard_bytes = seat.traffic().heard_bytes
            self._records[name].add(now_s, heard_bytes - self._recorded[name])
            self._recorded[name] = heard_bytes

    def _counters(self) -> dict[str, dict[str, int]]:
        # What entered is read first and what left last: else a packet in between would look like one lost.
        near, far = self._ends.near.traffic(), self._ends.far.traffic()
        entered = {"up": near, "down": far}
        qdiscs = {
            qdisc["dev"]: qdisc
            for qdisc in json.loads(self._machine.run("tc -s -j qdisc show"))
            if qdisc.get("root", False)
        }
        left = {"up": self._ends.far.traffic(), "down": self._ends.near.traffic()}
        base_near, base_far = self._base
        base = {"up": (base_near, base_far), "down": (base_far, base_near)}
        return {
            name: {
                "packets_in": entered[name].sent_packets - base[name][0].sent_packets,
                "bytes_in": entered[name].sent_bytes - base[name][0].sent_bytes,
                "packets_out": left[name].heard_packets - base[name][1].heard_packets,
                "bytes_out": left[name].heard_bytes - base[name][1].heard_bytes,
                "dropped_queue": qdiscs[way.line]["drops"],
                "lost": qdiscs[way.leaves]["drops"],
                "waiting": qdiscs[way.line]["qlen"] + qdiscs[way.leaves]["qlen"],
            }
            for name, way in _WAYS.items()
        }

    def _outside_losses(self, counters: dict[str, dict[str, int]]) -> int:
        """Packets that neither the queue nor the loss accounts for."""
        losses = self._ends.near.traffic().dropped + self._ends.far.traffic().dropped
        for c in counters.values():
            missing = c["packets_in"] - c["packets_out"] - c["dropped_queue"] - c["lost"] - c["waiting"]
            losses += max(missing, 0)
        return losses


def _courses(profile: LinkProfile) -> dict[str, Course]:
    return {
        "up": Course(profile.up, seed=2 * profile.seed),
        "down": Course(profile.down, seed=2 * profile.seed + 1),
    }


def _judged(judgement: dict[str, Any], change_late_s: float) -> dict[str, Any]:
    """The verdict on the probes, with that on the changes of rate."""
    judgement["lateness"]["change_max_s"] = change_late_s
    if change_late_s > _CHANGE_LATE_LIMIT_S:
        limit = f"limit {_CHANGE_LATE_LIMIT_S * 1e3:g} ms"
        reason = f"a change of rate or delay came {change_late_s * 1e3:.0f} ms late ({limit})"
        judgement["invalid_reason"] = "; ".join(filter(None, [judgement["invalid_reason"], reason]))
        judgement["valid"] = False
    return judgement


class Backend(NamedTuple):
    """What differs between this kernel's netem and another's."""

    name: str
    by: Literal["tap", "veth"]
    #: Given the ends, and a stack for what has to be undone: the router, which has its `LEGS`, and its scheduler.
    open: Callable[[RoutedEnds, ExitStack], tuple[Machine, str]]


def serve(backend: Backend, control_fd: int, parent: int) -> int:
    """Builds the link that the parent asks for over its control socket, then keeps it until it is over."""
    control = Control(control_fd, parent)
    request = control.set_up()
    if request is None:
        return 0

    def leave(_number: int, _frame: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    with ExitStack() as stack:
        try:
            ends, router, facts = _set_up(backend, request, stack)
            between = here()
            listener, facts["congestion_control"] = listen_at_far(ends.far.namespace, request["forward_port"])
            kernel.enter_namespace(between)
        except SutureError as error:
            control.refuse(error)
            return 3
        descriptors = [ends.near.namespace, ends.far.namespace, *([ends.user] if ends.user is not None else [])]
        control.hand_over(facts, descriptors + ([listener.fileno()] if listener is not None else []))
        if listener is not None:
            listener.close()
        try:
            router.run(control.wake, lambda ready: control.serve(ready, lambda: facts | router.report(), router.change))
        finally:
            end_processes_in([ends.near.namespace, ends.far.namespace])
    return 0


def _set_up(backend: Backend, request: dict[str, Any], stack: ExitStack) -> tuple[RoutedEnds, Router, dict[str, Any]]:
    profile = profile_from_plain(request["profile"])
    _courses(profile)  # refuses what tc cannot do before anything is built
    ends = create_routed_ends(backend.by, request["congestion_control"])
    machine, scheduler = backend.open(ends, stack)
    for line in routing_lines():
        machine.run(line)
    hurry()
    router = Router(ends, profile, machine)
    facts = {
        "backend": backend.name,
        "router": " ".join(machine.run("uname -sr; tc -V").split()),
        "scheduler": scheduler,
        "epoch_monotonic_s": router.epoch_s,
        "in_user_namespace": ends.user is not None,
    }
    return ends, router, facts


def _open_here(_ends: RoutedEnds, _stack: ExitStack) -> tuple[Machine, str]:
    machine = ThisKernel()
    machine.require_netem()
    return machine, "the kernel's own"


def main(control_fd: int, parent: int) -> int:
    """The `netem` backend's helper."""
    return serve(Backend("netem", "veth", _open_here), control_fd, parent)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2])))
