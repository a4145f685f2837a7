"""Version negotiation: the highest common version, or a refusal that names both sides."""

from __future__ import annotations

import pytest

from suture_protocol.errors import Refused
from suture_protocol.events import Hello
from suture_protocol.version import agree


def _offer(low: int, high: int) -> Hello:
    return Hello(version_min=low, version_max=high, software="suture 7")


@pytest.mark.parametrize(("edge", "cloud", "settled"), [((1, 1), (1, 1), 1), ((1, 4), (2, 3), 3), ((3, 9), (1, 3), 3)])
def test_the_highest_common_version_is_chosen(edge, cloud, settled):
    assert agree(_offer(*edge), "suture 8", version_min=cloud[0], version_max=cloud[1]) == settled


@pytest.mark.parametrize(
    ("edge", "cloud", "words"),
    [
        ((3, 4), (1, 2), ["version 3 to 4", "1 to 2", "update the cloud"]),
        ((1, 1), (2, 2), ["version 1,", "(suture 8) 2", "update the edge"]),
    ],
)
def test_no_common_version_is_refused_naming_both_sides(edge, cloud, words):
    with pytest.raises(Refused) as refused:
        agree(_offer(*edge), "suture 8", version_min=cloud[0], version_max=cloud[1])
    assert refused.value.code == "version"
    for word in [*words, "suture 7", "suture 8"]:
        assert word in str(refused.value)
