"""One pass over the grid of links, as whoever runs it; prints a line of JSON per point. Needs no package but Suture's.

`bench_link.py` runs it as root and as an ordinary user, who may have another Python.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from suture_simulators.check import LinkCheck, check
from suture_simulators.link_profile import LinkProfile

_TRIES = 3
_LOSS = 0.01


def measure(profile: LinkProfile, **settings: Any) -> tuple[LinkCheck, int]:
    """Checks a link; again where the relay itself says that the machine was too busy. With the number of tries."""
    tries = 1
    while not (result := check(profile, **settings)).report.valid and tries < _TRIES:
        tries += 1
    return result, tries


def point(rate_bps: float, rtt_s: float, seconds: float) -> dict[str, Any]:
    """Goodput and round trip of a clean link, and the loss of the same link with 1 %."""
    clean = LinkProfile.symmetric(rate_bps=rate_bps, delay_s=rtt_s / 2)
    lossy = LinkProfile.symmetric(rate_bps=rate_bps, delay_s=rtt_s / 2, loss=_LOSS)
    found, tries = measure(clean, seconds=seconds)
    losses, loss_tries = measure(lossy, seconds=seconds, goodputs=False)
    return {
        "rate_bps": rate_bps,
        "rtt_s": rtt_s,
        "quantities": [dataclasses.asdict(q) | {"within": q.within} for q in (*found.quantities, *losses.quantities)],
        "figures": found.figures(),
        "tries": max(tries, loss_tries),
        "valid": found.report.valid and losses.report.valid,
        "late_p99_s": found.report.lateness["p99_s"],
        "backend": found.report.backend,
        "scheduler": found.report.scheduler,
        "goodput_method": found.goodput_method,
    }


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    for rate in order["rates_bps"]:
        for rtt in order["rtts_s"]:
            print(json.dumps(point(rate, rtt, order["seconds"])), flush=True)  # noqa: T201
