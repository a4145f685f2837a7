"""What a User-Mode Linux router boots from: a file system in memory, made of this machine's busybox and iproute2."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from suture_protocol.errors import CapabilityMissing
from suture_simulators.netem_ends import SYSTEM_PATH

HOW_TO_INSTALL = "apt-get install user-mode-linux busybox-static iproute2"
#: Modules that the router needs, in the order they are loaded.
MODULES = ("ifb", "sch_ingress", "cls_matchall", "act_mirred", "sch_tbf", "sch_netem")
_MODULE_FOLDERS = (Path("/usr/lib/uml/modules"), Path("/lib/modules"))
_FOLDER, _PROGRAM = 0o040755, 0o100755

# The shell answers each line on its serial line with the output and a last line `= STATUS`. Starting a program takes
# up to 50 ms here, so a second line leads to a tc that stays.
_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /bin /proc /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
exec 0<>/dev/ttyS0 3<>/dev/ttyS1
for line in /dev/ttyS0 /dev/ttyS1; do stty -F $line raw -echo; done
exec >&0 2>&1
export PATH=/bin
# Busybox would otherwise prefer its own, which know no netem.
ip() {{ /router/ip "$@"; }}
tc() {{ /router/tc "$@"; }}
{load}
/router/tc -force -batch - <&3 >&3 2>&3 &
echo ready
while read -r line; do eval "$line"; echo "= $?"; done
poweroff -f
"""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class UmlParts:
    """Where this machine keeps what a router is made of."""

    linux: Path
    busybox: Path
    tools: tuple[Path, ...]
    modules: tuple[Path, ...]


def find_parts() -> UmlParts:
    """Looks for User-Mode Linux, its modules, a static busybox, and iproute2.

    Raises:
        CapabilityMissing: something is not installed; the message says what and how to get it.
    """
    linux = _program("linux.uml", "User-Mode Linux")
    version = subprocess.run([linux, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    busybox = _program("busybox", "a static busybox")
    if _libraries([busybox]):
        raise CapabilityMissing(
            f"the `uml` backend needs a static busybox; {busybox} is linked to libraries. Try: {HOW_TO_INSTALL}"
        )
    tools = tuple(_program(name, "iproute2") for name in ("ip", "tc"))
    return UmlParts(linux=linux, busybox=busybox, tools=tools, modules=_modules(version))


def _program(name: str, what: str) -> Path:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), SYSTEM_PATH]))
    if found is None:
        raise CapabilityMissing(f"the `uml` backend needs {what}: there is no {name}. Try: {HOW_TO_INSTALL}")
    return Path(found)


def _modules(version: str) -> tuple[Path, ...]:
    found = {path.stem: path for root in _MODULE_FOLDERS for path in (root / version / "kernel").rglob("*.ko")}
    if missing := [name for name in MODULES if name not in found]:
        raise CapabilityMissing(
            f"the `uml` backend needs modules of User-Mode Linux {version} that are not in {_MODULE_FOLDERS[0]}: "
            f"{', '.join(missing)}. Try: {HOW_TO_INSTALL}"
        )
    return tuple(found[name] for name in MODULES)


def build_image(parts: UmlParts) -> bytes:
    """The first file system as a cpio archive; nothing of it is shared with the host afterwards."""
    programs = {"bin/busybox": parts.busybox}
    programs |= {f"router/{tool.name}": tool for tool in parts.tools}
    programs |= {f"modules/{module.name}": module for module in parts.modules}
    programs |= {str(library).lstrip("/"): library for library in _libraries(parts.tools)}
    options = {"ifb": " numifbs=0"}
    load = "\n".join(f"insmod /modules/{m.name}{options.get(m.stem, '')}" for m in parts.modules)
    contents = {name: path.read_bytes() for name, path in programs.items()}
    contents["init"] = _INIT.format(load=load).encode()
    folders = {str(folder) for name in contents for folder in Path(name).parents if folder != Path()}
    entries = [(name, _FOLDER, b"") for name in sorted(folders)]
    return _cpio([*entries, *((name, _PROGRAM, content) for name, content in contents.items())])


def _libraries(programs: Iterable[Path]) -> set[Path]:
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", listed)}


def _cpio(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """An archive in the kernel's `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    archive = bytearray()
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields) + path
        archive += b"\0" * (-len(archive) % 4) + content
        archive += b"\0" * (-len(archive) % 4)
    return bytes(archive)
