"""Which versions of the protocol this software speaks, and how two sides settle on one.

A field that a peer may leave out and may ignore (the load in Result and Pong, Ping's padding) needs no new version:
what an older peer does not send reads as absent, and what it does not know it skips.
"""

from __future__ import annotations

from importlib.metadata import version as package_version

from suture_protocol import codes
from suture_protocol.errors import Refused
from suture_protocol.events import Hello

VERSION_MIN = 1
VERSION_MAX = 1


def software() -> str:
    """This software's name and version, as the two sides tell each other."""
    return f"suture {package_version('suture')}"


def hello(software: str, *, version_min: int = VERSION_MIN, version_max: int = VERSION_MAX) -> Hello:
    """The Hello of this version of the software."""
    return Hello(version_min=version_min, version_max=version_max, software=software)


def agree(offer: Hello, software: str, *, version_min: int = VERSION_MIN, version_max: int = VERSION_MAX) -> int:
    """The highest version that both the edge (`offer`) and this side (`software`) speak.

    Raises:
        Refused: there is none (code `version`); the message says what each side speaks and which one to update.
    """
    version = min(offer.version_max, version_max)
    if version >= max(offer.version_min, version_min):
        return version
    older = "cloud" if offer.version_min > version_max else "edge"
    raise Refused(
        codes.VERSION,
        f"the edge ({offer.software}) speaks protocol version {_span(offer.version_min, offer.version_max)}, "
        f"the cloud ({software}) {_span(version_min, version_max)}; update the {older}",
    )


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"
