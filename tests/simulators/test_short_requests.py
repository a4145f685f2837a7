"""What short requests leave the sender's kernel knowing of a line that loses packets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import suture_edge
from suture_simulators.helpers import module_environment
from suture_simulators.link_profile import LinkProfile
from tests.simulators import short_requests
from tests.simulators.conftest import first_words

CONTROLS = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")


@pytest.mark.skipif(
    "bbr" not in (CONTROLS.read_text() if CONTROLS.exists() else ""), reason="needs BBR: modprobe tcp_bbr"
)
def test_the_rate_of_the_line_is_still_known_after_short_requests_that_lost_packets(make_link) -> None:
    link = make_link(LinkProfile.symmetric(rate_bps=40e6, delay_s=0.03, loss=0.02, seed=3))
    environment = module_environment()
    environment["PYTHONPATH"] += f":{Path(suture_edge.__file__).parents[1]}"
    script = short_requests.__file__
    far = link.popen([sys.executable, script, "serve"], at="far", env=environment, stdout=subprocess.PIPE)
    with far:
        first_words(far, 1)
        near = link.popen([sys.executable, script, "send", link.peer, "tell"], env=environment, stdout=subprocess.PIPE)
        filled_mbps, known_mbps = map(float, near.communicate(timeout=60)[0].split())
    assert filled_mbps > 30
    assert known_mbps > filled_mbps / 2
    assert link.report().up["lost"] > 0
