"""Connections to the cloud: the one seam through which channels are made, so that TLS is one more factory."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final, Protocol

from suture_protocol.address import Address, refuse_without_tls
from suture_protocol.limits import MAX_FRAME_BYTES

#: Settings of every channel.
CHANNEL_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.max_receive_message_length", MAX_FRAME_BYTES),
    ("grpc.max_send_message_length", MAX_FRAME_BYTES),
    # Otherwise gRPC lets channels to the same address share one connection, and a heartbeat waits behind an upload.
    ("grpc.use_local_subchannel_pool", 1),
    # `min_reconnect_backoff_ms` stays at its 20 s: it is also how long an attempt to connect may take, and 100 ms there
    # makes every path with a longer round trip unreachable.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Keeps NAT entries alive. The heartbeat notices a dead path far sooner, and knows an upload that fills a slow
    # link from a dead one; this is the second line, and must not fire before it.
    ("grpc.keepalive_time_ms", 3_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A unit's way to its cloud is not a web request; a proxy from the environment would only be in the way.
    ("grpc.enable_http_proxy", 0),
)


#: What `CHANNEL_OPTIONS` has under this name, and the numbers that channels of their own may add to it.
_MARK_OPTION: Final = "grpc.keepalive_timeout_ms"
_MARKS: Final = 5_000
_made = itertools.count()


def marked_options() -> tuple[int, list[tuple[str, int]]]:
    """Options of a channel whose socket `suture_edge.sockets` can find, and the mark to find it by."""
    options = dict(CHANNEL_OPTIONS)
    options[_MARK_OPTION] += 1 + next(_made) % (_MARKS - 1)  # never 0: that is every other channel's
    return options[_MARK_OPTION], list(options.items())


class ChannelFactory(Protocol):
    """Makes channels to a cloud."""

    def open(self, address: Address, options: Sequence[tuple[str, int]] = CHANNEL_OPTIONS) -> Any:
        """A new `grpc.Channel`; nothing is connected yet.

        Raises:
            UsageError: the address must not be used so.
        """
        ...


class PlainChannels:
    """Channels without TLS, to loopback and measuring links only.

    Args:
        insecure: Whether the user said `--insecure`.
    """

    def __init__(self, *, insecure: bool) -> None:
        self._insecure = insecure

    def open(self, address: Address, options: Sequence[tuple[str, int]] = CHANNEL_OPTIONS) -> Any:
        refuse_without_tls(address, insecure=self._insecure)
        import grpc  # 60 ms that `--help` need not pay

        return grpc.insecure_channel(str(address), options=list(options))
