"""The session: every event through a pair, every illegal move refused on the side that sees it, bounded memory."""

from __future__ import annotations

import dataclasses

import pytest

from suture_protocol import limits
from suture_protocol.errors import LocalProtocolError, RemoteProtocolError
from suture_protocol.events import Cancel, OverLimit, Ping, Pong, TensorHeader, Uploaded
from suture_protocol.frames import encode
from suture_protocol.session import Session
from suture_protocol.states import CONNECTION, LATE, OF_REQUEST, REQUEST, SENDER, Move, Role, State, move_of
from tests.protocol.session_samples import (
    EVERY_EVENT,
    HELLO,
    PAYLOAD,
    REFUSED_CONNECTION,
    WELCOME,
    Pair,
    chunk,
    refusal,
    result,
    start,
)


def test_a_request_crosses_and_is_answered():
    pair = Pair()
    told = pair.upload()
    assert told[-1] == Uploaded(start=start(), payload=memoryview(PAYLOAD))
    assert told[:-1] == [start(), chunk(), chunk(offset=8), chunk(offset=16, last=True)]
    assert pair.cloud_sends(result()) == [result()]
    assert pair.edge.in_flight == pair.cloud.in_flight == frozenset()


def test_both_sides_settle_on_the_welcomes_version_and_limits():
    pair = Pair()
    assert pair.edge.version == pair.cloud.version == 1
    assert pair.edge.limits == pair.cloud.limits == WELCOME.limits
    assert pair.edge.state is pair.cloud.state is State.OPEN


def test_every_kind_of_move_has_a_sender_and_a_sample():
    assert {move_of(event) for event in EVERY_EVENT} == set(SENDER) == set(Move)


def test_requests_interleave():
    pair = Pair()
    pair.edge_sends(start(1), start(2), chunk(2), chunk(1), chunk(2, 8), chunk(2, 16, last=True), chunk(1, 8))
    pair.cloud_sends(result(2))
    told = pair.edge_sends(chunk(1, 16, last=True))
    assert told[-1] == Uploaded(start=start(1), payload=memoryview(PAYLOAD))
    pair.cloud_sends(refusal(1))
    assert not pair.edge.in_flight


def test_pings_are_answered_in_order():
    pair = Pair()
    assert pair.edge_sends(Ping(nonce=1), Ping(nonce=2)) == [Ping(nonce=1), Ping(nonce=2)]
    with pytest.raises(LocalProtocolError, match="no Ping"):
        pair.cloud.send(Pong(nonce=2))
    assert pair.cloud_sends(Pong(nonce=1), Pong(nonce=2)) == [Pong(nonce=1), Pong(nonce=2)]


def test_a_resumed_upload_begins_where_it_broke_off():
    pair = Pair()
    told = pair.edge_sends(start(upload_offset=16), chunk(offset=16, last=True))
    assert told[-1] == Uploaded(start=start(upload_offset=16), payload=memoryview(PAYLOAD[16:]))


def test_what_crosses_an_answer_on_the_way_is_dropped():
    pair = Pair()
    pair.edge_sends(start())
    on_the_way = [pair.edge.send(e) for e in (chunk(), chunk(offset=8), Cancel(request_id=1))]
    pair.cloud_sends(refusal())
    assert [pair.cloud.receive(frame) for frame in on_the_way] == [[], [], []]
    assert pair.cloud.held_bytes == 0
    pair.upload(2)


def test_a_cancelled_request_is_still_answered_once():
    pair = Pair()
    pair.edge_sends(start(), chunk(), Cancel(request_id=1))
    assert pair.cloud.held_bytes == 0
    with pytest.raises(LocalProtocolError):
        pair.edge.send(chunk(offset=8))
    pair.cloud_sends(refusal())
    with pytest.raises(LocalProtocolError, match="not in flight"):
        pair.cloud.send(refusal())


# Each party's connection states, and how to bring a pair there.
def _connection(state: State, party: Role) -> Pair:
    pair = Pair(connected=False)
    if state is State.START:
        return pair
    pair.edge_sends(HELLO)
    if state in (State.WAITING, State.ANSWERING):
        return pair
    if state is State.OPEN:
        pair.cloud_sends(WELCOME)
        pair.upload(1)
        pair.edge_sends(start(2), Ping(nonce=7))
        return pair
    pair.cloud_sends(REFUSED_CONNECTION)
    return pair


_SAMPLE = {
    Move.HELLO: HELLO,
    Move.WELCOME: WELCOME,
    Move.REFUSE_CONNECTION: REFUSED_CONNECTION,
    Move.START: start(3),
    Move.CHUNK: chunk(2),
    Move.LAST_CHUNK: dataclasses.replace(chunk(2), data=PAYLOAD, last=True),
    Move.CANCEL: Cancel(request_id=1),
    Move.RESULT: result(1),
    Move.REFUSE_REQUEST: refusal(2),
    Move.PING: Ping(nonce=8),
    Move.PONG: Pong(nonce=7),
}

CONNECTION_CASES = [
    (party, state, move) for party, states in CONNECTION.items() for state in states for move in Move
    if state is not State.ERROR
]  # fmt: skip


@pytest.mark.parametrize(("party", "state", "move"), CONNECTION_CASES, ids=str)
def test_the_connections_table_is_kept_on_both_sides(party, state, move):
    pair = _connection(state, party)
    sender, receiver = (pair.edge, pair.cloud) if party is Role.EDGE else (pair.cloud, pair.edge)
    assert sender.state is state
    event = _SAMPLE[move]
    if move in CONNECTION[party][state]:
        receiver.receive(sender.send(event))
        assert sender.state is CONNECTION[party][state][move]
        return
    with pytest.raises(LocalProtocolError, match=move.value):
        sender.send(event)
    assert sender.state is state
    with pytest.raises(RemoteProtocolError, match=f"the {party.value} broke the protocol"):
        receiver.receive(encode(event))


def _request(party: Role, state: State) -> Pair:
    pair = Pair()
    pair.edge_sends(start())
    if state in (State.SENT, State.READY):
        pair.edge_sends(chunk(), chunk(offset=8), chunk(offset=16, last=True))
    if state is State.CANCELLED:
        pair.edge_sends(chunk(), Cancel(request_id=1))
    if state is State.ANSWERED:
        pair.cloud_sends(refusal())
    return pair


REQUEST_CASES = [
    (party, state, move)
    for party, states in REQUEST.items()
    for state in (*(s for s in states if s is not State.START), State.ANSWERED)
    for move in OF_REQUEST
    if SENDER[move] is party
]


@pytest.mark.parametrize(("party", "state", "move"), REQUEST_CASES, ids=str)
def test_the_requests_table_is_kept_on_both_sides(party, state, move):
    pair = _request(party, state)
    sender, receiver = (pair.edge, pair.cloud) if party is Role.EDGE else (pair.cloud, pair.edge)
    event = {
        Move.START: start(),
        Move.CHUNK: chunk(),
        Move.LAST_CHUNK: dataclasses.replace(chunk(), data=PAYLOAD, last=True),
        Move.CANCEL: Cancel(request_id=1),
        Move.RESULT: result(),
        Move.REFUSE_REQUEST: refusal(),
    }[move]
    if move in REQUEST[party].get(state, {}):
        assert receiver.receive(sender.send(event))
        return
    with pytest.raises(LocalProtocolError):
        sender.send(event)
    if state is State.ANSWERED and move in LATE:
        assert receiver.receive(encode(event)) == []
        return
    with pytest.raises(RemoteProtocolError):
        receiver.receive(encode(event))


BAD_CHUNKS = {
    "gap": chunk(offset=9),
    "overlap": chunk(offset=4),
    "beyond the declared size": dataclasses.replace(chunk(offset=8), data=bytes(17)),
    "last too early": chunk(offset=8, last=True),
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_chunks_that_do_not_follow_each_other_are_refused(name):
    pair = Pair()
    pair.edge_sends(start(), chunk())
    with pytest.raises(LocalProtocolError):
        pair.edge.send(BAD_CHUNKS[name])
    with pytest.raises(RemoteProtocolError):
        pair.cloud.receive(encode(BAD_CHUNKS[name]))
    pair.edge.send(chunk(offset=8))  # a local mistake changes nothing


def test_after_a_remote_error_nothing_is_received_and_only_a_refusal_can_be_sent():
    pair = Pair()
    pair.upload()
    with pytest.raises(RemoteProtocolError):
        pair.cloud.receive(b"\xff")
    with pytest.raises(RemoteProtocolError):
        pair.cloud.receive(encode(Ping(nonce=1)))
    assert not pair.cloud.in_flight
    assert pair.cloud_sends(REFUSED_CONNECTION) == [REFUSED_CONNECTION]
    assert pair.edge.state is pair.cloud.state is State.CLOSED
    assert not pair.edge.in_flight


def test_a_version_that_was_not_offered_cannot_be_settled_on():
    pair = Pair(connected=False)
    pair.edge_sends(HELLO)
    other = dataclasses.replace(WELCOME, version=2)
    with pytest.raises(LocalProtocolError, match="did not offer"):
        pair.cloud.send(other)
    with pytest.raises(RemoteProtocolError, match="did not offer"):
        pair.edge.receive(encode(other))


def test_request_ids_rise():
    pair = Pair()
    pair.edge_sends(start(5))
    for used in (5, 4):
        with pytest.raises(LocalProtocolError, match="does not rise"):
            pair.edge.send(start(used))
    with pytest.raises(RemoteProtocolError, match="does not rise"):
        pair.cloud.receive(encode(start(4)))


def test_no_more_requests_than_the_welcome_allows():
    pair = Pair()
    pair.edge_sends(start(1), start(2), start(3))
    assert not pair.edge.room_for(start(4, 0))
    with pytest.raises(LocalProtocolError, match="3 requests"):
        pair.edge.send(start(4))
    with pytest.raises(RemoteProtocolError, match="3 requests"):
        pair.cloud.receive(encode(start(4)))


HUGE = TensorHeader(shape=(1, 65535, 65535), dtype="float32", payload_bytes=10)

BEYOND = {
    "payload of one": start(2, 65),
    "payloads together": start(2, 64),
    "decoded size": start(2, tensors=(HUGE,)),
    "decoded size of several": start(
        2, tensors=(TensorHeader(shape=(1, 2**24), dtype="float32", payload_bytes=5),) * 5
    ),
}


@pytest.mark.parametrize("name", BEYOND)
def test_a_request_beyond_a_limit_is_told_apart_and_nothing_of_it_is_kept(name):
    pair = Pair()
    pair.edge_sends(start(1, 50))
    beyond = BEYOND[name]
    with pytest.raises(LocalProtocolError, match="allowed are"):
        pair.edge.send(beyond)
    told = pair.cloud.receive(encode(beyond))
    assert isinstance(told[0], OverLimit)
    assert "allowed are" in told[0].reason
    size = beyond.payload_bytes
    last = dataclasses.replace(chunk(2), data=bytes(size), last=True)
    assert pair.cloud.receive(encode(last)) == [last]
    assert pair.cloud.held_bytes == 0
    pair.cloud.send(refusal(2))
    assert pair.cloud.in_flight == {1}


def test_pings_cannot_pile_up():
    pair = Pair()
    for nonce in range(64):
        pair.edge_sends(Ping(nonce=nonce))
    with pytest.raises(LocalProtocolError, match="unanswered"):
        pair.edge.send(Ping(nonce=64))
    with pytest.raises(RemoteProtocolError, match="unanswered"):
        pair.cloud.receive(encode(Ping(nonce=64)))


def test_an_edge_cannot_send_a_frame_as_large_as_a_result():
    cloud = Session(Role.CLOUD)
    with pytest.raises(RemoteProtocolError, match="beyond the limit"):
        cloud.receive(bytes(limits.MAX_EDGE_FRAME_BYTES + 1))


def test_an_event_of_the_other_side_is_never_sent():
    with pytest.raises(LocalProtocolError, match="edge never sends Welcome"):
        Session(Role.EDGE).send(WELCOME)
