"""The `netem` backend on a kernel that has netem: a User-Mode Linux that runs this very Python, on the host's files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import suture_protocol
import suture_simulators
from suture_protocol.errors import CapabilityMissing
from suture_simulators.uml_guest import compile_shim
from suture_simulators.uml_image import UmlParts, find_parts

ROOMS = [str(Path(package.__file__).parents[1]) for package in (suture_protocol, suture_simulators)]
_BOOTED_S = 150.0
#: A link that counts its packets, a change of its loss, and what is left when it is gone.
INSIDE = """
    import json, os, sys
    from suture_simulators.backends import usable_backends
    from suture_simulators.link import EmulatedLink
    from suture_simulators.link_profile import Direction, LinkProfile
    send = (
        "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        " [(s.sendto(bytes(500), ('198.18.0.2', 9)), time.sleep(0.01)) for _ in range(100)]"
    )
    with EmulatedLink(LinkProfile.symmetric(rate_bps=5e6, delay_s=0.01), backend="netem") as link:
        link.run([sys.executable, "-c", send])
        whole = link.report()
        link.change(LinkProfile(up=Direction(loss=1.0)))
        link.run([sys.executable, "-c", send])
        lossy = link.report()
    left = [line.split(":")[1].strip() for line in os.popen("ip -o link")]
    print(json.dumps({
        "usable": usable_backends()["netem"], "backend": whole.backend, "in": whole.up["packets_in"],
        "out": whole.up["packets_out"], "lost": lossy.up["lost"], "outside": lossy.kernel_dropped, "left": left,
    }))
"""


def _parts() -> UmlParts:
    try:
        parts = find_parts()
    except CapabilityMissing as missing:
        pytest.skip(str(missing))
    veth = next(parts.modules[0].parents[2].rglob("veth.ko"), None)
    if veth is None or shutil.which("unshare") is None:
        pytest.skip("needs unshare(1) and User-Mode Linux's veth module")
    return UmlParts(linux=parts.linux, busybox=parts.busybox, tools=parts.tools, modules=(*parts.modules, veth))


def test_link_counts_changes_and_vanishes_on_a_kernel_with_netem(tmp_path):
    parts = _parts()
    inside, start = tmp_path / "inside.py", tmp_path / "start"
    inside.write_text(textwrap.dedent(INSIDE))
    lines = [
        "#!/bin/sh",
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "mount -t proc proc /proc; mount -t devtmpfs dev /dev; exec </dev/null >/dev/ttyS0 2>&1",
        f"export HOME=/proc PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={os.pathsep.join(ROOMS)}",
        "mkdir -p /dev/shm; mount -t tmpfs shm /dev/shm; export TMPDIR=/dev/shm",
        *(f"{parts.busybox} insmod {module}" for module in parts.modules),
        f"{sys.executable} {inside}",
        f"{parts.busybox} poweroff -f",
    ]
    start.write_text("\n".join(lines) + "\n")
    start.chmod(0o755)
    shim = compile_shim()
    files = ["mem=512M", "rootfstype=hostfs", "rootflags=/", "ro", "root=/dev/root", f"init={start}"]
    lines_out = ["con=null", "con0=null,null", "ssl=null", "ssl0=null,fd:1", f"uml_dir={tmp_path}/", "quiet", "panic=1"]
    alone = ["unshare", *([] if os.geteuid() == 0 else ["-Ur"]), "--fork", "--pid", "--kill-child"]
    said = tmp_path / "said"
    with said.open("wb") as file:
        subprocess.run(
            [*alone, parts.linux, *files, *lines_out],
            env={**os.environ, **({"LD_PRELOAD": str(shim)} if shim else {})},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            check=False,
            timeout=_BOOTED_S,
        )
    text = said.read_text(errors="replace")
    answers = [line for line in text.splitlines() if line.startswith("{")]
    assert answers, text[-3000:]
    found = json.loads(answers[-1])
    assert found["usable"] is None
    assert found["backend"] == "netem"
    assert found["in"] == 100
    assert found["out"] >= 95  # those sent last may still be on their way
    assert found["lost"] >= 95
    assert found["outside"] == 0
    assert [name for name in found["left"] if not name.startswith("ifb")] == ["lo"]
