"""An emulated link around commands: `with EmulatedLink(profile) as link: link.popen([...])`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Literal, Self

from suture_protocol import errors
from suture_protocol.errors import LinkError
from suture_simulators import enter
from suture_simulators.backends import usable_backends
from suture_simulators.helpers import command_environment, end_helper, start_helper
from suture_simulators.link_profile import LinkProfile
from suture_simulators.namespaces import FAR_ADDRESS, NEAR_ADDRESS, Device, end_processes_in
from suture_simulators.report import LinkReport

End = Literal["near", "far"]
Backend = Literal["auto", "tun", "netem", "uml"]
#: The module that runs as each backend's helper process; all speak the control protocol of `control`.
_HELPERS = {"tun": "relay", "netem": "netem_router", "uml": "uml_router"}
_START_S = 20.0
_ANSWER_S = 10.0
_TERM_S = 5.0


class EmulatedLink:
    """A near and a far end with a link between them, for as long as the `with` block lasts.

    Commands run at either end as the calling user. The near end reaches the far one at `peer`; neither reaches anything
    else, but Unix sockets and files are shared with the host. On leaving, every process at either end is ended. If this
    process dies, even by SIGKILL, the same happens within about a second.

    Args:
        profile: What to emulate; `change` sets another one later.
        forward: A (host, port) of the host's own network. The far end listens on the same port and carries its TCP
            connections there, past the bottleneck.
        congestion_control: TCP's at both ends; None leaves the system's default. Recorded in the report either way.
        device: What packets enter by; `auto` takes TUN, and veth where a user may not open /dev/net/tun. Only `tun`'s.
        backend: What shapes the packets: `tun` is this package's relay, `netem` the kernel's own, `uml` the same in a
            User-Mode Linux; `auto` takes `netem` where the kernel has it, else `tun`.

    Raises (on entering):
        CapabilityMissing: this machine forbids network namespaces, or has neither TUN nor veth.
        UsageError: the forwarded port cannot be listened on.
        LinkError: the relay did not come up.
    """

    def __init__(
        self,
        profile: LinkProfile,
        *,
        forward: tuple[str, int] | None = None,
        congestion_control: str | None = None,
        device: Device = "auto",
        backend: Backend = "auto",
    ) -> None:
        self.profile = profile
        self._backend = backend
        self._device = device
        self._forward = forward
        self._congestion_control = congestion_control
        self._stack = contextlib.ExitStack()
        self._commands: list[subprocess.Popen[Any]] = []
        self._final: LinkReport | None = None
        self._closed = False
        self._user: int | None = None
        self._descriptors: list[int] = []
        self._profiles: list[dict[str, Any]] = [{"from_s": 0.0, "profile": profile.to_json()}]
        self._asking = threading.Lock()

    @property
    def peer(self) -> str:
        """Address of the far end as the near one sees it, with the forwarded port if there is one."""
        return FAR_ADDRESS if self._forward is None else f"{FAR_ADDRESS}:{self._forward[1]}"

    @property
    def epoch_monotonic_s(self) -> float:
        """When the link came up (and its trace began), on `time.monotonic`."""
        return float(self._facts["epoch_monotonic_s"])

    @property
    def relay_pid(self) -> int:
        """Process id of the relay, for watching it."""
        return self._relay.pid

    def __enter__(self) -> Self:
        if sys.platform != "linux":
            raise errors.CapabilityMissing(f"emulated links need Linux; this is {sys.platform}")
        with contextlib.ExitStack() as stack:
            self._start_relay(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the commands, then the link. The report stays available, if the relay lived to give it."""
        if self._closed:
            return
        self._closed = True
        with self._stack:
            self._end_commands()
            if self._final is None:
                with contextlib.suppress(LinkError):
                    self._final = self.report()

    def popen(
        self, command: Sequence[str | os.PathLike[str]], *, at: End = "near", env: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> subprocess.Popen[Any]:  # fmt: skip
        """Starts a command at one end, like `subprocess.Popen`; its process is the command's own.

        `SUTURE_PEER` in its environment names the other end. A command that cannot be executed exits with 127 or 126,
        like a shell's.
        """
        if not command:
            raise ValueError("no command given")
        network = self._near if at == "near" else self._far
        descriptors = [network] if self._user is None else [self._user, network]
        launcher = [sys.executable, "-I", "-S", enter.__file__]
        user = "-" if self._user is None else str(self._user)
        process = subprocess.Popen(
            [*launcher, user, str(network), str(os.getpid()), *(os.fspath(word) for word in command)],
            env=command_environment(os.environ if env is None else env, self.peer if at == "near" else NEAR_ADDRESS),
            pass_fds=(*descriptors, *settings.pop("pass_fds", ())),
            **settings,
        )
        self._commands.append(process)
        return process

    def run(self, command: Sequence[str | os.PathLike[str]]) -> int:
        """Runs a command at the near end with this process's streams; returns its exit status as a shell gives it.

        Ctrl-C reaches the command from the terminal, so here it only waits; SIGTERM and SIGHUP are passed on. Outside
        the main thread signals stay as they are.
        """
        process = self.popen(command)
        if threading.current_thread() is not threading.main_thread():
            return _shell_status(process.wait())

        def pass_on(number: int, _frame: FrameType | None) -> None:
            if number != signal.SIGINT:
                process.send_signal(number)

        before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            return _shell_status(process.wait())
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def change(self, profile: LinkProfile) -> float:
        """Puts another profile in force on the living link; connections live on and no packet is lost by it.

        What waits in the queue leaves at the new rate; what is past the line arrives when it would have. The profile's
        trace and outages begin now. The congestion control and the forwarded port stay.

        Returns:
            When it came into force, in seconds since the link came up (`epoch_monotonic_s`).

        Raises:
            LinkError: the relay is gone.
            CapabilityMissing: this backend cannot emulate that.
        """
        answer = self._ask(f"change {json.dumps(dataclasses.asdict(profile))}")
        self.profile = profile
        self._profiles.append({"from_s": answer["from_s"], "profile": profile.to_json()})
        return float(answer["from_s"])

    def report(self) -> LinkReport:
        """What the link has done so far; after closing, what it did.

        Raises:
            LinkError: the relay is gone.
        """
        if self._final is not None:
            return self._final
        answer = self._ask("report")
        names = {field.name for field in dataclasses.fields(LinkReport)}
        return LinkReport(
            profile=self.profile.to_json(),
            profiles=list(self._profiles),
            kernel=platform.release(),
            **{name: value for name, value in answer.items() if name in names},
        )

    def _start_relay(self, stack: contextlib.ExitStack) -> None:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        ours.settimeout(_START_S)
        self._control = ours
        self._noise = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        with theirs:
            helper = _HELPERS[_choose(self._backend)]
            self._relay = start_helper(helper, [theirs.fileno()], [theirs.fileno(), os.getpid()], self._noise)
        stack.callback(self._end_relay)
        request = {
            "profile": dataclasses.asdict(self.profile),
            "device": self._device,
            "congestion_control": self._congestion_control,
            "forward_port": None if self._forward is None else self._forward[1],
        }
        try:
            ours.sendall(json.dumps(request).encode() + b"\n")
            message, descriptors, _, _ = socket.recv_fds(ours, 65536, 4)
        except OSError as error:
            raise LinkError(f"the emulated link's relay did not come up: {error}{self._relay_noise()}") from error
        self._descriptors = descriptors
        if not message:
            raise LinkError(f"the emulated link's relay ended at once{self._relay_noise()}")
        self._facts: dict[str, Any] = json.loads(message)
        if "error" in self._facts:
            raise getattr(errors, self._facts["error"])(self._facts["message"])
        ours.settimeout(_ANSWER_S)
        self._answers = stack.enter_context(ours.makefile("r", encoding="utf-8"))
        self._near, self._far, *rest = descriptors
        self._user = rest.pop(0) if self._facts["in_user_namespace"] else None
        if self._forward is not None:
            host, port = self._forward
            forwarder = start_helper("forward", [rest[0]], [rest[0], host, port, os.getpid()], self._noise)
            stack.callback(end_helper, forwarder)

    def _ask(self, request: str) -> dict[str, Any]:
        try:
            with self._asking:
                self._control.sendall(request.encode() + b"\n")
                answer = self._answers.readline()
        except (OSError, ValueError) as error:
            raise LinkError(f"the emulated link is gone: its relay ended: {error}{self._relay_noise()}") from error
        if not answer:
            raise LinkError(f"the emulated link is gone: its relay ended{self._relay_noise()}")
        result: dict[str, Any] = json.loads(answer)
        if "error" in result:
            raise getattr(errors, result["error"])(result["message"])
        return result

    def _relay_noise(self) -> str:
        if self._noise.closed:
            return ""
        self._noise.seek(0)
        lines = self._noise.read().decode(errors="replace").strip().splitlines()
        return f" ({lines[-1]})" if lines else ""

    def _end_commands(self) -> None:
        for process in self._commands:
            if process.poll() is None:
                process.terminate()
        deadline_s = time.monotonic() + _TERM_S
        for process in self._commands:
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _end_relay(self) -> None:
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        try:
            self._relay.wait(_TERM_S)
        except subprocess.TimeoutExpired:
            self._relay.kill()
            self._relay.wait()
        if self._relay.returncode != 0 and self._descriptors:  # it could not tidy up itself
            end_processes_in(self._descriptors[:2])
        for descriptor in self._descriptors:
            os.close(descriptor)


def _choose(backend: Backend) -> str:
    if backend != "auto":
        return backend
    return "netem" if usable_backends("netem")["netem"] is None else "tun"


def _shell_status(returncode: int) -> int:
    return returncode if returncode >= 0 else 128 - returncode
