"""Requests on their way out: chunk sizes, order, and what opens a request."""

from __future__ import annotations

import numpy as np
import pytest

from suture_edge.uploads import CHUNKS, MIN_CHUNK_BYTES, WHOLE_BYTES, CloudRequest, Upload, chunk_bytes, request_of
from suture_protocol.codecs.registry import get_codec
from suture_protocol.events import Chunk, Priority, Start
from suture_protocol.limits import MAX_CHUNK_BYTES


def _request(size: int, priority: Priority = Priority.ROUTINE) -> CloudRequest:
    codes = np.arange(size, dtype=np.uint8).reshape(1, size)
    return request_of(
        [codes], get_codec("raw"), bundle_digest="d", cut_id="c", variant_id="v", priority=priority, study_key="s"
    )


@pytest.mark.parametrize("size", [1, 5_000, 50_000, 60_000])
def test_the_chunks_make_up_the_payload(size):
    upload = Upload(_request(size))
    start = upload.next_event(7)
    assert isinstance(start, Start)
    assert (start.request_id, start.payload_bytes, start.study_key) == (7, size, "s")
    chunks = []
    while not upload.done:
        chunks.append(upload.next_event(99))
    assert all(isinstance(chunk, Chunk) and chunk.request_id == 7 for chunk in chunks)
    assert b"".join(chunk.data for chunk in chunks) == upload.request.payload
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert len(chunks) <= CHUNKS


def test_an_empty_payload_is_one_last_chunk():
    upload = Upload(CloudRequest(bundle_digest="d", cut_id="c", variant_id="", codec="raw", tensors=(), payload=b""))
    upload.next_event(1)
    assert upload.next_event(1) == Chunk(request_id=1, offset=0, data=b"", last=True)


@pytest.mark.parametrize(
    ("payload", "chunk"),
    [(100, WHOLE_BYTES), (WHOLE_BYTES + 1, MIN_CHUNK_BYTES), (1_200_000, 100_000), (1 << 30, MAX_CHUNK_BYTES)],
)
def test_chunks_are_neither_tiny_nor_beyond_the_limit(payload, chunk):
    assert chunk_bytes(payload) == chunk


def test_the_urgent_goes_first_and_then_what_was_begun():
    routine, begun, stat = Upload(_request(1)), Upload(_request(1)), Upload(_request(1, Priority.STAT))
    begun.next_event(1)
    assert sorted((routine, begun, stat), key=lambda u: u.rank) == [stat, begun, routine]
