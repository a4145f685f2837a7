"""The lanes of a connection on a real path: what TCP knows of the line there, which a loopback cannot show."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from suture_simulators.link_profile import LinkProfile
from tests.cloud.harness import ROOT, RunningCloud, write_bundle

RATE_BPS = 50e6
PATH = LinkProfile.symmetric(rate_bps=RATE_BPS, delay_s=0.02)

#: Three threads keep the path full for two seconds; then what each lane would send at.
UNIT = """
    import json, sys, threading, time
    from pathlib import Path
    from suture_edge.channels import PlainChannels
    from suture_edge.client import CloudClient
    from suture_edge.sockets import Tuning
    from suture_models.bundle import open_bundle
    from tests.cloud.harness import bulk_request

    address, folder, changing = sys.argv[1:]
    tuning = Tuning(change_lanes=changing == "True")
    request = bulk_request(open_bundle(Path(folder)))
    with CloudClient(address, PlainChannels(insecure=True), tuning=tuning) as client:
        client.connect()
        until_s = time.monotonic() + 2.0

        def send():
            while time.monotonic() < until_s:
                client.infer(request)

        threads = [threading.Thread(target=send) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lanes = client._connection._lanes
        for one in (lanes.routine, lanes.express):
            one.tune(tuning, address)
        print(json.dumps({
            "controls": [one.tuned.congestion_control for one in (lanes.routine, lanes.express)],
            "express_bps": lanes.express.rates.read().sending_bps,
        }))
"""


@pytest.mark.parametrize("changing", [True, False])
def test_the_express_lane_is_one_that_bulk_has_shown_the_line(changing, make_link, tmp_path: Path):
    with RunningCloud(write_bundle(tmp_path / "bundle")) as cloud:
        link = make_link(PATH, forward=("127.0.0.1", cloud.address.port))
        command = [
            sys.executable,
            "-c",
            textwrap.dedent(UNIT),
            link.peer,
            str(tmp_path / "bundle"),
            str(changing),
        ]
        process = link.popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        told = json.loads(process.communicate(timeout=60)[0])
    if told["controls"] != ["bbr", "bbr"]:
        pytest.skip("lanes change their roles under BBR alone: modprobe tcp_bbr")
    assert (told["express_bps"] > 0.5 * RATE_BPS) is changing
