"""The last link to each cloud, kept in a small file, so that a unit's first plan is not a guess."""

from __future__ import annotations

import json
import logging
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from suture_partitioner.link import PRIOR, PRIOR_SPREAD
from suture_partitioner.types import LinkEstimate

_log = logging.getLogger(__name__)

#: What a remembered link still says halves in so many seconds: a day, after which the unit may stand elsewhere.
HALF_LIFE_S: Final = 24 * 3600.0
#: Links remembered: a unit talks to a few clouds.
_MOST: Final = 32


def remembered(path: Path, cloud: str, now_s: float) -> LinkEstimate:
    """What to assume of the link to `cloud` before anything was sent: the last one, aged towards the stated prior.

    Args:
        path: The file.
        cloud: The cloud's address.
        now_s: Seconds since the epoch.

    Returns:
        An estimate with no samples; the stated prior where nothing is remembered or the file is damaged.
    """
    entry = _read(path).get(cloud)
    try:
        bandwidth_bps, rtt_s, at_s = (float(entry[name]) for name in ("bandwidth_bps", "rtt_s", "at_s"))  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return PRIOR
    if not (0 < bandwidth_bps < math.inf and 0 <= rtt_s < math.inf and math.isfinite(at_s)):
        return PRIOR
    known = 0.5 ** (max(now_s - at_s, 0.0) / HALF_LIFE_S)
    mean_bps = math.exp(known * math.log(bandwidth_bps) + (1 - known) * math.log(PRIOR.bandwidth_bps))
    return replace(
        PRIOR,
        bandwidth_bps=mean_bps,
        spread_bps=PRIOR_SPREAD * mean_bps,
        rtt_s=known * rtt_s + (1 - known) * PRIOR.rtt_s,
    )


def remember(path: Path, cloud: str, link: LinkEstimate, now_s: float) -> None:
    """Keeps `link` for the next start. A file that cannot be written is told of in the log, and no more.

    Args:
        path: The file.
        cloud: The cloud's address.
        link: As estimated; one without samples is not kept.
        now_s: Seconds since the epoch.
    """
    if not link.samples:
        return
    entries = _read(path)
    entries[cloud] = {"bandwidth_bps": link.bandwidth_bps, "rtt_s": link.rtt_s, "at_s": now_s}
    newest = sorted(entries.items(), key=lambda item: _at_s(item[1]), reverse=True)[:_MOST]
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(dict(newest), indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        _log.info("%s: the link cannot be remembered: %s", path, error.strerror)


def _read(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _at_s(entry: Any) -> float:
    try:
        return float(entry["at_s"])
    except (TypeError, KeyError, ValueError):
        return -math.inf
