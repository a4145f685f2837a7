"""Addresses: read as people write them, and refused without TLS wherever patients' data could be read on the way."""

from __future__ import annotations

import pytest

from suture_protocol.address import Address, check_insecure, parse_address, refuse_without_tls
from suture_protocol.errors import UsageError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:7000", "127.0.0.1", 7000), ("[::1]:0", "::1", 0), ("cloud.local:65535", "cloud.local", 65535)],
)
def test_an_address_is_read_and_written_alike(text, host, port):
    assert parse_address(text) == Address(host=host, port=port)
    assert str(parse_address(text)) == text


@pytest.mark.parametrize("text", ["", "7000", ":7000", "host:", "host:x", "host:65536", "::1:7000", "a b:1", "h/x:1"])
def test_what_is_no_address_is_refused_with_an_example_or_a_range(text):
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:7000|65535"):
        parse_address(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "198.18.0.1", "198.19.255.254"])
def test_loopback_and_measuring_links_need_no_tls(host):
    check_insecure(Address(host=host, port=1))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "198.20.0.1", "192.168.1.2", "cloud.local", "::2"])
def test_everything_else_does(host):
    with pytest.raises(UsageError, match="without TLS"):
        refuse_without_tls(Address(host=host, port=1), insecure=True)


def test_without_insecure_nothing_is_allowed_yet():
    with pytest.raises(UsageError, match="add --insecure"):
        refuse_without_tls(Address(host="127.0.0.1", port=1), insecure=False)
