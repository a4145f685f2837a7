"""A User-Mode Linux without a disk, as a child that cannot outlive this process, with a shell to give commands to."""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from suture_protocol.errors import CapabilityMissing, LinkError
from suture_simulators import kernel
from suture_simulators.relay import SLICE_NS
from suture_simulators.uml_image import build_image, find_parts

_BOOT_S = 15.0
_ANSWER_S = 10.0
_MEMORY = "96M"
_NOTHING = "/proc/nothing"
_NOISE_LINES = 3
# Ends a batch of commands, which say nothing when all is well.
_TC_SAYS_SOMETHING = "qdisc show dev to-watch"


class UmlGuest:
    """Boots on entering; `run` gives its shell a line; on leaving it is killed with all that it started.

    It has a process namespace of its own, whose first process it is, so that it and its helpers die together, and
    with this process, even by SIGKILL. It sees no file of the host's.

    Args:
        ports: Descriptors of TAP devices; the guest has them as vec0, vec1, …

    Raises (on entering):
        CapabilityMissing: something is not installed, or it does not boot here.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = tuple(ports)

    @property
    def pid(self) -> int:
        """The guest's first process."""
        return self._process.pid

    def __enter__(self) -> Self:
        parts = find_parts()
        shim = compile_shim()
        self._noise: IO[bytes] = tempfile.TemporaryFile()
        image = os.memfd_create("router")
        self._serials = (_SerialLine(), _SerialLine())
        serials = [serial.theirs.fileno() for serial in self._serials]
        try:
            os.write(image, build_image(parts))
            with tempfile.TemporaryDirectory(prefix="suture-uml-") as scratch:
                command = self._command(parts.linux, image, serials, scratch)
                self._process = self._start(command, shim, (image, *serials, *self._ports))
                for serial in self._serials:  # so that its end is heard
                    serial.theirs.close()
                self._wait_ready(shim)
        except BaseException:
            self._close()
            raise
        finally:
            os.close(image)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()
        self._close()

    def hurry(self) -> str:
        """Lets the guest's kernel, not its programs, run before all else where allowed; returns its scheduler."""
        try:
            # Its programs not: they would take four times as long, changing processors with each system call.
            os.sched_setscheduler(self.pid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(10))
            return "fifo"
        except PermissionError:
            pass
        try:
            kernel.ask_for_short_slices(SLICE_NS, self.pid, children=False)
        except OSError:
            return "other"
        return "other, short slices"

    def run(self, line: str) -> str:
        """Runs one line of shell in the guest; returns what it wrote.

        Raises:
            LinkError: it failed, or the guest is gone.
        """
        self._send(0, line)
        lines: list[str] = []
        deadline_s = time.monotonic() + _ANSWER_S
        while not (answer := self._line(0, deadline_s)).startswith("= "):
            lines.append(answer)
        output = "\n".join(lines)
        if answer != "= 0":
            raise LinkError(f"in User-Mode Linux, `{line}` failed: {output.strip()}")
        return output

    def tell_tc(self, commands: Sequence[str]) -> None:
        """Gives commands to the guest's `tc`, without its name, at once; a millisecond each.

        Raises:
            LinkError: it refused one, or the guest is gone.
        """
        self._send(1, "\n".join([*commands, _TC_SAYS_SOMETHING]))
        lines: list[str] = []
        deadline_s = time.monotonic() + _ANSWER_S
        while not (answer := self._line(1, deadline_s)).startswith("qdisc "):
            lines.append(answer)
        if lines:
            raise LinkError(f"in User-Mode Linux, tc refused one of {list(commands)}: {' '.join(lines)}")

    def cpu_s(self) -> float:
        """Processor time that the guest's kernel has taken; its programs' is nothing beside."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _command(self, linux: Path, image: int, serials: Sequence[int], scratch: str) -> list[str]:
        ports = [f"vec{n}:transport=fd,fd={port},vec=0" for n, port in enumerate(self._ports)]
        memory = [f"mem={_MEMORY}", f"initrd=/proc/self/fd/{image}", "root=/dev/ram0", "rdinit=/init"]
        serial_lines = ["con=null", "con0=null,null", "ssl=null"]
        serial_lines += [f"ssl{number}=fd:{serial},fd:{serial}" for number, serial in enumerate(serials)]
        # A host's folder is mounted by nobody, but were it, there would be nothing in it.
        fences = [f"hostfs={_NOTHING}", f"uml_dir={scratch}/", "noreboot", "panic=1", "quiet"]
        return [str(linux), *memory, *serial_lines, *fences, *ports]

    def _start(self, command: list[str], shim: Path | None, descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
        def prepare() -> None:
            kernel.die_with_parent()
            kernel.set_timer_slack_ns(1)

        # Of this process's children from here on the first is the namespace's first process, and the only one.
        try:
            kernel.unshare(kernel.CLONE_NEWPID)
        except OSError as error:
            raise CapabilityMissing(
                f"the `uml` backend needs a process namespace, which this machine refuses ({error.strerror}). Run it "
                "as root, or in a container started with --privileged; or use --backend tun"
            ) from error
        environment = {"PATH": os.defpath, "HOME": _NOTHING}
        return subprocess.Popen(
            command,
            env=environment if shim is None else {**environment, "LD_PRELOAD": str(shim)},
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=self._noise,
            stderr=self._noise,
            start_new_session=True,
            preexec_fn=prepare,
        )

    def _wait_ready(self, shim: Path | None) -> None:
        try:
            deadline_s = time.monotonic() + _BOOT_S
            while (line := self._line(0, deadline_s)) != "ready":
                if line.startswith("insmod:"):
                    raise LinkError(line)
        except LinkError as error:
            self._kill()
            compiler = "" if shim else ". Without a C compiler it could not be mended for this processor: install gcc"
            raise CapabilityMissing(
                f"User-Mode Linux does not boot here: {error}{compiler}. Use --backend tun instead"
            ) from error

    def _send(self, serial: int, text: str) -> None:
        try:
            self._serials[serial].ours.sendall(text.encode() + b"\n")
        except OSError as error:
            raise LinkError(f"User-Mode Linux has ended{self._last_words()}") from error

    def _line(self, serial: int, deadline_s: float) -> str:
        line = self._serials[serial].line(deadline_s)
        if line is None:
            what = "has ended" if self._serials[serial].ended else "does not answer"
            raise LinkError(f"User-Mode Linux {what}{self._last_words()}")
        return line

    def _last_words(self) -> str:
        self._noise.seek(0)
        text = self._noise.read().decode(errors="replace")
        lines = [line for line in text.splitlines() if "panic" in line.lower() or "fatal" in line.lower()]
        return f" ({'; '.join((lines or text.splitlines())[-_NOISE_LINES:])})" if text else ""

    def _kill(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _close(self) -> None:
        for serial in self._serials:
            serial.ours.close()
            serial.theirs.close()
        self._noise.close()


class _SerialLine:
    """One of the guest's serial lines: `theirs` is for the guest to inherit."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self._unread = b""
        self.ended = False

    def line(self, deadline_s: float) -> str | None:
        """The next line; None when it does not come in time, or never will."""
        while b"\n" not in self._unread:
            wait_s = max(deadline_s - time.monotonic(), 0.0)
            ready = select.select([self.ours], [], [], wait_s)[0]
            chunk = self.ours.recv(65536) if ready else b""
            if not chunk:
                self.ended = bool(ready)
                return None
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")


def compile_shim() -> Path | None:
    """The compiled `uml_shim.c`, made on first use and kept in the cache; None without a C compiler."""
    source = resources.files("suture_simulators").joinpath("uml_shim.c").read_bytes()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "suture" / f"uml-shim-{hashlib.sha256(source).hexdigest()[:12]}.so"
    if path.is_file():
        return path
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            made = Path(scratch) / "shim.so"
            done = subprocess.run(
                [compiler, "-O2", "-shared", "-fPIC", "-x", "c", "-", "-o", made, "-ldl"],
                input=source,
                capture_output=True,
                check=False,
            )
            if done.returncode != 0:
                words = done.stderr.decode(errors="replace").strip()
                raise CapabilityMissing(f"the `uml` backend's shim does not compile with {compiler}: {words}")
            made.replace(path)  # whole or not at all, for those who start at the same time
    except OSError as error:
        raise CapabilityMissing(
            f"{path}: the `uml` backend cannot keep its shim there ({error.strerror}); set XDG_CACHE_HOME to a folder "
            "that can be written"
        ) from error
    return path
