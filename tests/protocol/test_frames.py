"""Frames: every event survives the wire; whatever is malformed is refused when sent and when received."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest

from suture_protocol import limits, wire_pb2
from suture_protocol.events import Chunk, NamedTensor, Pong, Refusal, Result, SessionLimits, TensorHeader, Welcome
from suture_protocol.frames import decode, encode
from suture_protocol.outputs import from_result, to_named
from tests.protocol.session_samples import EVERY_EVENT, LOAD, chunk, result, start


@pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda e: type(e).__name__)
def test_every_event_survives_the_wire(event):
    assert decode(encode(event)) == event


def test_fields_of_a_later_version_are_ignored():
    unknown_field_999 = b"\xba\x3e\x03abc"
    assert decode(encode(start()) + unknown_field_999) == start()


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xff\xff", wire_pb2.Frame().SerializeToString()], ids=["empty", "noise", "no body"]
)
def test_bytes_that_are_no_event_are_refused(data):
    with pytest.raises(ValueError, match="frame"):
        decode(data)


def test_a_frame_beyond_the_limit_is_not_even_parsed():
    with pytest.raises(ValueError, match="beyond the limit"):
        decode(bytes(limits.MAX_FRAME_BYTES + 1))


def test_millions_of_empty_fields_are_refused_unseen():
    frame = wire_pb2.Frame(start=wire_pb2.Start(request_id=1, tensors=[wire_pb2.TensorHeader()] * 100_000))
    with pytest.raises(ValueError, match="100000 tensors"):
        decode(frame.SerializeToString())


def _result_with(**changes: object) -> Result:
    return dataclasses.replace(result(), **changes)


def _pong_with(**changes: object) -> Pong:
    return Pong(nonce=1, load=dataclasses.replace(LOAD, **changes))


def _tensor(**changes: object) -> TensorHeader:
    return dataclasses.replace(TensorHeader(shape=(1, 2), dtype="uint8", payload_bytes=2), **changes)


MALFORMED = {
    "no version": lambda: dataclasses.replace(EVERY_EVENT[0], version_min=3, version_max=2),
    "no software": lambda: dataclasses.replace(EVERY_EVENT[0], software=""),
    "software in control of the terminal": lambda: dataclasses.replace(EVERY_EVENT[0], software="\x1b[2J"),
    "long software": lambda: dataclasses.replace(EVERY_EVENT[0], software="x" * 2000),
    "welcome that takes nothing": lambda: Welcome(version=1, software="s", limits=SessionLimits(max_requests=0)),
    "welcome without payload": lambda: Welcome(version=1, software="s", limits=SessionLimits(max_payload_bytes=0)),
    "request id 0": lambda: start(0),
    "no bundle": lambda: start(bundle_digest=""),
    "long cut id": lambda: start(cut_id="x" * 2000),
    "long setting": lambda: start(codec_config={"level": "9" * 2000}),
    "many settings": lambda: start(codec_config={str(i): "" for i in range(17)}),
    "no tensor": lambda: start(tensors=()),
    "many tensors": lambda: start(tensors=(_tensor(),) * 65),
    "axis of length 0": lambda: start(tensors=(_tensor(shape=(1, 0)),)),
    "scalar tensor": lambda: start(tensors=(_tensor(shape=()),)),
    "many axes": lambda: start(tensors=(_tensor(shape=(1,) * 9),)),
    "object dtype": lambda: start(tensors=(_tensor(dtype="object"),)),
    "endless deadline": lambda: start(deadline_s=float("inf")),
    "negative deadline": lambda: start(deadline_s=-1.0),
    "offset beyond payload": lambda: start(upload_offset=25),
    "empty chunk in the middle": lambda: Chunk(request_id=1, offset=0, data=b""),
    "huge chunk": lambda: Chunk(request_id=1, offset=0, data=bytes(limits.MAX_CHUNK_BYTES + 1)),
    "no output": lambda: _result_with(outputs=()),
    "output of wrong size": lambda: _result_with(
        outputs=(NamedTensor(name="y", shape=(2,), dtype="float32", data=b"1234"),)
    ),
    "output named twice": lambda: _result_with(outputs=result().outputs * 2),
    "time that is no number": lambda: _result_with(tail_s=float("nan")),
    "load without end": lambda: _pong_with(routine_wait_s=float("inf")),
    "load with a wait below nothing": lambda: _pong_with(stat_wait_s=-0.1),
    "load in which STAT waits longest": lambda: _pong_with(stat_wait_s=LOAD.routine_wait_s + 0.1),
    "load with a service time that is no number": lambda: _pong_with(service_s=float("nan")),
    "load with tails that take nothing": lambda: _pong_with(tail_ratio=0.0),
    "load of more than all": lambda: _pong_with(utilisation=1.01),
    "malformed load of a result": lambda: _result_with(load=dataclasses.replace(LOAD, utilisation=-1.0)),
    "code with spaces": lambda: Refusal(request_id=1, code="not a code", message="m"),
    "refusal without a word": lambda: Refusal(request_id=1, code="limit", message=""),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_event_is_refused_when_sent_and_when_received(name, monkeypatch):
    event = MALFORMED[name]()
    with pytest.raises(ValueError):
        encode(event)
    with monkeypatch.context() as patch:
        patch.setattr("suture_protocol.frames.check", lambda event: None)  # a peer that does not check
        frame = encode(event)
    with pytest.raises(ValueError):
        decode(frame)


def test_a_peer_without_load_reports_is_understood():
    for event in (Pong(nonce=3), result()):
        frame = wire_pb2.Frame.FromString(encode(event))
        assert not getattr(frame, frame.WhichOneof("body")).HasField("load")
        assert decode(frame.SerializeToString()).load is None


def test_a_peer_that_does_not_know_load_reports_reads_the_rest():
    frame = wire_pb2.Frame.FromString(encode(_pong_with()))
    # As unknown fields look to a peer whose schema lacks them: the same bytes under a number that it does not know.
    renumbered = bytes(frame.pong.load.SerializeToString())
    older = wire_pb2.Pong(nonce=1).SerializeToString() + b"\xba\x3e" + bytes([len(renumbered)]) + renumbered
    assert decode(wire_pb2.Frame(pong=wire_pb2.Pong.FromString(older)).SerializeToString()) == Pong(nonce=1)


def test_counts_in_a_load_beyond_the_wire_are_refused():
    with pytest.raises(ValueError, match="4294967296 units"):
        encode(_pong_with(units=2**32))


def test_an_unknown_priority_is_refused():
    frame = wire_pb2.Frame.FromString(encode(start()))
    frame.start.priority = 9
    with pytest.raises(ValueError, match="9"):
        decode(frame.SerializeToString())


def test_text_that_is_no_text_is_refused():
    frame = encode(start(study_key="s" * 8)).replace(b"s" * 8, b"\xff" * 8)
    with pytest.raises(ValueError, match="no frame"):
        decode(frame)


def test_numbers_too_large_for_the_wire_are_refused():
    with pytest.raises(ValueError, match="out of range"):
        encode(chunk(2**64))


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "bool", ">f4"])
def test_outputs_survive_the_wire_whatever_their_layout(dtype):
    array = np.arange(12).reshape(1, 3, 4).astype(dtype).transpose(0, 2, 1)
    sent = Result(request_id=1, outputs=to_named({"y": array}))
    received = from_result(decode(encode(sent)))["y"]
    assert received.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(received, array)


def test_a_start_with_very_many_settings_is_refused_before_they_are_copied():
    wire = wire_pb2.Frame.FromString(encode(start()))
    wire.start.codec_config.update({str(number): "" for number in range(100_000)})
    data = wire.SerializeToString()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="allowed are 16"):
            decode(data)
        (_, peak_bytes) = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000
