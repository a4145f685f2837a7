"""The kernel's quota as a slow device: where a group is made, how it is refused, and that none stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from suture_protocol.errors import CapabilityMissing
from suture_simulators.devices.quota import Place, ProcessorQuota, find_place

V2_MOUNT = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"
V1_MOUNT = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\n"


def host(root: Path, mounts: str, own: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mounts").write_text(mounts)
    (root / "proc/self/cgroup").write_text(own)
    return root


def group(path: Path, handed_on: str | None = None) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "cgroup.procs").write_text("")
    if handed_on is not None:
        (path / "cgroup.subtree_control").write_text(handed_on)
    return path


def test_version_2_takes_the_nearest_group_that_hands_the_controller_on(tmp_path):
    root = host(tmp_path, V2_MOUNT, "0::/user.slice/app.slice/run.scope\n")
    top = group(root / "sys/fs/cgroup", "cpu memory")
    group(top / "user.slice", "cpu memory")
    slice_ = group(top / "user.slice/app.slice", "cpu memory pids\n")
    scope = group(slice_ / "run.scope", "")
    assert find_place(root) == Place(parent=slice_, home=scope, version=2)


def test_version_2_root_serves_a_process_that_is_in_it(tmp_path):
    root = host(tmp_path, V2_MOUNT, "0::/\n")
    top = group(root / "sys/fs/cgroup", "cpu\n")
    assert find_place(root) == Place(parent=top, home=top, version=2)


def test_controllers_that_only_begin_alike_do_not_count(tmp_path):
    root = host(tmp_path, V2_MOUNT, "0::/a/b\n")
    group(root / "sys/fs/cgroup", "cpuset memory")
    group(root / "sys/fs/cgroup/a/b")
    with pytest.raises(CapabilityMissing):
        find_place(root)


def test_version_1_serves_where_version_2_has_no_processor_controller(tmp_path):
    mounts = V1_MOUNT + "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
    root = host(tmp_path, mounts, "3:cpu,cpuacct:/jobs\n0::/\n")
    group(root / "sys/fs/cgroup/unified", "")
    home = group(root / "sys/fs/cgroup/cpu/jobs")
    assert find_place(root) == Place(parent=home, home=home, version=1)


def test_host_without_rights_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(CapabilityMissing, match=r"as root.*Delegate=cpu.*dilation"):
        ProcessorQuota(8.0, root=host(tmp_path, "tmpfs /run tmpfs rw 0 0\n", "0::/\n"))


@pytest.mark.parametrize("factor", [0.5, 1001.0, float("nan")])
def test_factor_that_the_kernel_has_no_period_for_is_refused(factor):
    with pytest.raises(ValueError, match="1 to 1000"):
        ProcessorQuota(factor)


def test_process_is_in_a_group_with_its_quota_and_none_stays_behind():
    code = (
        "import os, pathlib; from suture_simulators.devices.quota import ProcessorQuota\n"
        "own = pathlib.Path('/proc/self/cgroup').read_text; before = own()\n"
        "with ProcessorQuota(4.0) as quota:\n"
        "    group = quota._group; inside = own() != before\n"
        "    limit = (group / 'cpu.max') if quota._place.version == 2 else (group / 'cpu.cfs_period_us')\n"
        "    print(inside, limit.read_text().split()[-1])\n"
        "print(own() == before, group.exists())\n"
    )
    try:
        find_place()
    except CapabilityMissing as missing:
        pytest.skip(str(missing))
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        pytest.skip("a real-time process has no quota")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["True", "4000", "True", "False"]
