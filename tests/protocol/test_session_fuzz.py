"""The session under random bytes and random frame orders: only protocol errors, and never more held than allowed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from suture_protocol.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from suture_protocol.events import Cancel, Chunk, Ping, Pong
from suture_protocol.frames import encode
from suture_protocol.session import Session
from suture_protocol.states import Role
from tests.protocol.session_samples import EVERY_EVENT, HELLO, PAYLOAD, WELCOME, Pair, refusal, result, start

_ids = st.integers(1, 5)
_chunks = st.builds(
    lambda i, offset, size, last: Chunk(
        request_id=i, offset=offset, data=PAYLOAD[:size] or b"x", last=last or size == 0
    ),
    _ids,
    st.sampled_from([0, 8, 16, 24]),
    st.sampled_from([0, 8, 24]),
    st.booleans(),
)
_starts = st.builds(start, _ids, st.sampled_from([0, 8, 24, 50, 64, 65, 10**9]))
_edge_events = st.one_of(
    st.just(HELLO), _starts, _chunks, st.builds(Cancel, request_id=_ids), st.builds(Ping, nonce=_ids)
)
_cloud_events = st.one_of(
    st.just(WELCOME), st.builds(result, _ids), st.builds(refusal, st.integers(0, 5)), st.builds(Pong, nonce=_ids)
)
_noise = st.one_of(
    st.binary(max_size=200),
    st.tuples(st.sampled_from([encode(e) for e in EVERY_EVENT]), st.integers(0, 400), st.integers(0, 255)).map(
        lambda t: bytes(b ^ t[2] if i == t[1] % len(t[0]) else b for i, b in enumerate(t[0]))
    ),
)


def _receive(session: Session, frame: bytes) -> bool:
    try:
        session.receive(frame)
    except RemoteProtocolError:
        return False
    assert session.held_bytes <= session.limits.max_buffered_bytes
    assert len(session.in_flight) <= session.limits.max_requests
    return True


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(Role), st.booleans(), st.lists(_noise, max_size=12))
def test_noise_raises_nothing_but_protocol_errors(role, connected, frames):
    pair = Pair(connected=connected)
    session = pair.edge if role is Role.EDGE else pair.cloud
    for frame in frames:
        _receive(session, frame)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(_edge_events, _cloud_events), max_size=40))
def test_frames_in_any_order_raise_nothing_but_protocol_errors_and_stay_bounded(events):
    for session in (Pair().edge, Pair().cloud, Session(Role.EDGE), Session(Role.CLOUD)):
        for event in events:
            if not _receive(session, encode(event)):
                break
            try:
                session.send(event)
            except LocalProtocolError:
                continue


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(_edge_events, _cloud_events), max_size=60))
def test_what_one_side_may_send_the_other_takes(events):
    pair = Pair()
    for event in events:
        for sender, receiver in ((pair.edge, pair.cloud), (pair.cloud, pair.edge)):
            try:
                frame = sender.send(event)
            except ProtocolError:
                continue
            receiver.receive(frame)
            assert sender.in_flight == receiver.in_flight
            assert pair.cloud.held_bytes <= pair.cloud.limits.max_buffered_bytes
