"""The backends as this machine has them: what is missing is named with its way out, what is there does the same."""

from __future__ import annotations

import pytest

from suture_protocol.errors import CapabilityMissing
from suture_simulators.backends import usable_backends
from suture_simulators.check import check
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import LinkProfile

PROFILE = LinkProfile.symmetric(rate_bps=10e6, delay_s=0.015)


def test_every_backend_is_either_usable_or_says_what_to_do():
    found = usable_backends()
    assert set(found) == {"tun", "netem", "uml"}
    for reason in filter(None, found.values()):
        assert "Try: " in reason or "Run it as root" in reason


@pytest.mark.parametrize("backend", ["netem", "uml"])
def test_missing_backend_refuses_with_the_reason_that_was_announced(backend):
    reason = usable_backends()[backend]
    if reason is None:
        pytest.skip(f"this machine has {backend}")
    with pytest.raises(CapabilityMissing) as refused, EmulatedLink(PROFILE, backend=backend):
        pass
    assert str(refused.value) == reason


@pytest.mark.parametrize("backend", ["netem", "uml"])
def test_each_backend_delays_and_paces_as_set(backend, make_link):
    make_link(PROFILE, backend=backend).close()
    result = check(PROFILE, seconds=1.0, backend=backend)
    measured = {quantity.name: quantity.measured for quantity in result.quantities}
    assert measured["round trip"] == pytest.approx(0.03, rel=0.25)
    assert measured["goodput up"] == pytest.approx(9.56e6, rel=0.15)
    assert measured["goodput down"] == pytest.approx(9.56e6, rel=0.15)
    assert measured["loss up"] == measured["loss down"] == 0
