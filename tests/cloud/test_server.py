"""The cloud's front end over TCP, met by a peer that need not behave: refusals, limits, health, files."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from suture_cloud.admission import Admitted
from suture_cloud.budget import Budget
from suture_cloud.decoding import decode as decode_payload
from suture_cloud.dispatch import Dispatcher
from suture_cloud.executor import TailRequest
from suture_cloud.holdings import Holdings
from suture_cloud.server import serve
from suture_cloud.stream import Services, Stream
from suture_cloud.under_way import ARRIVALS_KEPT
from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.uploads import CloudRequest, request_of
from suture_models.bundle import Bundle
from suture_protocol import version
from suture_protocol.codecs.registry import codec_of, get_codec
from suture_protocol.errors import Refused, UsageError
from suture_protocol.events import (
    Cancel,
    Chunk,
    Event,
    Kind,
    Ping,
    Pong,
    Priority,
    Refusal,
    Result,
    TensorHeader,
    Welcome,
)
from suture_protocol.frames import decode, encode
from suture_protocol.limits import MAX_EDGE_FRAME_BYTES
from tests.cloud.harness import (
    SIDE,
    NumpyExecutor,
    RunningCloud,
    changed,
    head,
    mid_request,
    score,
    until,
    whole,
    wide_request,
    write_bundle,
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def cloud(bundle: Bundle) -> Iterator[RunningCloud]:
    with RunningCloud(bundle) as running:
        yield running


@pytest.fixture
def edge(cloud: RunningCloud) -> Iterator[CloudClient]:
    with CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as connected:
        connected.connect()
        yield connected


def answers(cloud: RunningCloud, *frames: bytes) -> list[Event]:
    """What the cloud answers to a stream of exactly these frames, which need not follow the protocol."""
    with grpc.insecure_channel(str(cloud.address)) as channel:
        call = channel.stream_stream("/suture.v1.Suture/Session")
        return [decode(answer) for answer in call(iter(frames), timeout=10)]


HELLO = encode(version.hello("suture test"))


def test_the_health_service_says_serving(cloud):
    with grpc.insecure_channel(str(cloud.address)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "suture.v1.Suture"):
            reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_pings_are_answered(cloud):
    told = answers(cloud, HELLO, encode(Ping(nonce=5)))
    assert isinstance(told[0], Welcome)
    assert [(type(pong), pong.nonce) for pong in told[1:]] == [(Pong, 5)]


@pytest.mark.parametrize(
    "frame", [b"\xff\xff", encode(Ping(nonce=1)), encode(Refusal(request_id=1, code="x", message="m"))]
)
def test_a_peer_that_breaks_the_protocol_is_told_so_and_let_go(cloud, frame):
    (refusal,) = answers(cloud, frame)
    assert refusal.code == "protocol"
    assert refusal.request_id == 0
    assert "the edge broke the protocol" in refusal.message


def _raw(request: CloudRequest, **changes: object) -> tuple[bytes, bytes]:
    start = dataclasses.replace(request.start(1), **changes)
    size = min(start.payload_bytes, 1000)
    return encode(start), encode(Chunk(request_id=1, offset=start.upload_offset, data=bytes(size)))


OVERSIZED = {
    "payload": (TensorHeader(shape=(1, 4), dtype="uint8", payload_bytes=1 << 40),),
    "decoded": (TensorHeader(shape=(1, 65_535, 65_535), dtype="float32", payload_bytes=910),),
}


@pytest.mark.parametrize("name", OVERSIZED)
def test_oversized_headers_are_refused_and_what_follows_is_dropped(cloud, bundle, name):
    oversized = _raw(mid_request(bundle)[0], tensors=OVERSIZED[name])
    welcome, refusal, pong = answers(cloud, HELLO, *oversized, encode(Ping(nonce=1)))
    assert isinstance(welcome, Welcome)
    assert (refusal.request_id, refusal.code) == (1, "limit")
    assert "allowed are" in refusal.message
    assert (type(pong), pong.nonce) == (Pong, 1)
    until(lambda: cloud.server._services.budget.used_bytes == 0)


def test_a_partial_upload_is_refused(cloud, bundle):
    told = answers(cloud, HELLO, *_raw(mid_request(bundle)[0], upload_offset=4))
    assert (told[1].code, told[1].request_id) == ("unsupported", 1)


REFUSED = {
    "unknown_cut": {"cut_id": "nowhere"},
    "unknown_variant": {"variant_id": "tpu-int4"},
    "unknown_codec": {"codec": "brotli"},
    "unknown_codec setting": {"codec_config": {"depth": "1"}},
    "unsupported": {"kind": Kind.EXPLAIN},
    "unsupported lossy": {"codec": "jpeg"},
    "bad_tensor count": {"tensors": (TensorHeader(shape=(1, 1, 8, 8), dtype="uint8", payload_bytes=64),)},
    "bad_tensor shape": {"cut_id": "wide", "tensors": (TensorHeader(shape=(1, 8), dtype="uint8", payload_bytes=8),)},
    "bad_tensor dtype": {
        "cut_id": "wide",
        "tensors": (TensorHeader(shape=(1, 16, 56, 56), dtype="float32", payload_bytes=8),),
    },
    "bad_tensor for the codec": {
        "cut_id": "last",
        "codec": "jpegls",
        "tensors": (TensorHeader(shape=(1, 2), dtype="float32", payload_bytes=8),),
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_headers_that_do_not_fit_the_bundle_are_refused_with_a_reason(edge, bundle, case):
    request, expected = mid_request(bundle)
    changes = REFUSED[case]
    if "tensors" in changes:
        changes = {**changes, "payload": bytes(sum(t.payload_bytes for t in changes["tensors"]))}
    with pytest.raises(Refused) as refused:
        edge.infer(changed(request, **changes))
    assert refused.value.code == case.split()[0]
    assert len(str(refused.value)) > 20
    np.testing.assert_array_equal(edge.infer(request).outputs["score"], expected)


def test_a_damaged_payload_is_refused(edge, bundle):
    request, expected = mid_request(bundle)
    with pytest.raises(Refused) as refused:
        edge.infer(changed(request, payload=bytes(len(request.payload))))
    assert refused.value.code == "bad_payload"
    np.testing.assert_array_equal(edge.infer(request).outputs["score"], expected)


def _raise(request: TailRequest) -> str:
    raise RuntimeError("secret detail of the tail")


@pytest.mark.parametrize("fail", [lambda request: "secret detail of the tail", _raise], ids=["error", "raised"])
def test_a_failing_tail_is_refused_without_detail_and_logged(edge, cloud, bundle, caplog, fail):
    request, expected = mid_request(bundle)
    cloud.executor.fail = fail
    with pytest.raises(Refused) as refused:
        edge.infer(request)
    assert refused.value.code == "internal"
    assert "secret" not in str(refused.value)
    assert "secret detail of the tail" in caplog.text
    cloud.executor.fail = lambda request: ""
    np.testing.assert_array_equal(edge.infer(request).outputs["score"], expected)


def test_requests_beyond_the_clouds_memory_are_refused_as_busy(edge, cloud, bundle):
    budget = cloud.server._services.budget
    budget.total_bytes = 60_000
    with pytest.raises(Refused) as refused:
        edge.infer(wide_request(bundle))  # its payload and its decoded tensor together
    assert refused.value.code == "busy"
    edge.infer(mid_request(bundle)[0])
    until(lambda: budget.used_bytes == 0)


def test_memory_that_routine_requests_hold_leaves_a_share_to_urgent_ones(edge, cloud, bundle):
    request = wide_request(bundle)
    cloud.executor.hold()
    pending = [edge.submit(request)]
    assert cloud.executor.started.wait(10)
    budget = cloud.server._services.budget
    budget.total_bytes = 2 * budget.used_bytes  # of which a routine request may not take the last eighth
    with pytest.raises(Refused) as refused:
        edge.infer(request)
    assert refused.value.code == "busy"
    pending.append(edge.submit(changed(request, priority=Priority.STAT)))
    until(lambda: len(cloud.server._dispatcher._to_run) == 1)
    with pytest.raises(Refused) as refused:
        edge.infer(changed(request, priority=Priority.STAT))
    assert refused.value.code == "busy"
    cloud.executor.let_go()
    for one in pending:
        one.wait(10)


def test_a_full_line_lets_an_urgent_request_in_and_refuses_the_last_routine_one(bundle, monkeypatch):
    monkeypatch.setattr("suture_cloud.dispatch.MAX_WAITING", 2)
    with (
        RunningCloud(bundle) as cloud,
        CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as edge,
    ):
        edge.connect()
        cloud.executor.hold()
        request, expected = mid_request(bundle)
        pending = [edge.submit(request)]
        assert cloud.executor.started.wait(10)
        line = cloud.server._dispatcher._to_run
        pending.append(edge.submit(request))
        until(lambda: len(line) == 1)
        last = edge.submit(request)
        until(lambda: len(line) == 2)
        pending.append(edge.submit(changed(request, priority=Priority.STAT)))
        with pytest.raises(Refused) as refused:
            last.wait(10)
        assert refused.value.code == "busy"
        cloud.executor.let_go()
        for one in pending:
            np.testing.assert_array_equal(one.wait(10).outputs["score"], expected)


def test_memory_is_given_back_when_an_edge_vanishes(edge, cloud, bundle):
    cloud.executor.hold()
    edge.submit(wide_request(bundle))
    assert cloud.executor.started.wait(10)
    assert cloud.server._services.budget.used_bytes > 0
    edge.close()
    cloud.executor.let_go()
    with CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as other:
        other.connect()
        other.infer(mid_request(bundle)[0])
    assert len(cloud.server._streams) <= 1
    until(lambda: cloud.server._services.budget.used_bytes == 0)


def test_memory_of_a_cancelled_request_is_not_free_before_the_decoder_is_done_with_it(edge, cloud, bundle, monkeypatch):
    begun, may_go_on = threading.Event(), threading.Event()

    def decode_slowly(admitted: Admitted, payload: memoryview) -> TailRequest:
        begun.set()
        assert may_go_on.wait(20)
        return decode_payload(admitted, payload)

    monkeypatch.setattr("suture_cloud.dispatch.decode", decode_slowly)
    budget = cloud.server._services.budget
    pending = edge.submit(mid_request(bundle)[0])
    assert begun.wait(10)
    held_bytes = budget.used_bytes
    pending.cancel()
    until(lambda: not any(stream.open_requests for stream in cloud.server._streams))
    assert budget.used_bytes == held_bytes > 0
    may_go_on.set()
    until(lambda: budget.used_bytes == 0)


def test_of_a_payload_in_single_bytes_few_arrivals_are_kept(cloud, bundle):
    request, _ = mid_request(bundle, codec="raw")
    size = len(request.payload)
    start, _ = _raw(request)
    chunks = [Chunk(request_id=1, offset=i, data=request.payload[i : i + 1], last=i + 1 == size) for i in range(size)]
    channel, answers, over = _uploading(cloud, HELLO, start, *map(encode, chunks))
    with channel:
        assert isinstance(decode(next(answers)), Welcome)
        result = decode(next(answers))
        over.set()
    assert isinstance(result, Result)
    offsets = [arrival.offset_end for arrival in result.arrivals]
    assert len(offsets) <= ARRIVALS_KEPT < size
    assert offsets == sorted(set(offsets))
    assert (offsets[0], offsets[-1]) == (1, size)


def test_what_waits_goes_with_its_edge(edge, cloud, bundle):
    cloud.executor.hold()
    budget = cloud.server._services.budget
    edge.submit(wide_request(bundle))
    assert cloud.executor.started.wait(10)
    running_bytes = budget.used_bytes
    for _ in range(3):
        edge.submit(wide_request(bundle))
    until(lambda: len(cloud.server._dispatcher._to_run) == 3)
    edge.close()
    until(lambda: budget.used_bytes == running_bytes)
    assert len(cloud.server._dispatcher._to_run) == 0
    cloud.executor.let_go()
    with CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as other:
        other.connect()
        other.infer(mid_request(bundle)[0])
    assert sum(map(len, cloud.executor.ran)) == 2  # the one that was with the executor already, and the other's
    until(lambda: budget.used_bytes == 0)


def _uploading(cloud: RunningCloud, *frames: bytes) -> tuple[grpc.Channel, Iterator[bytes], threading.Event]:
    """A session that has sent these frames and sends nothing more until it is told to end."""
    over = threading.Event()

    def sent() -> Iterator[bytes]:
        yield from frames
        over.wait(20)

    channel = grpc.insecure_channel(str(cloud.address))
    return channel, channel.stream_stream("/suture.v1.Suture/Session")(sent(), timeout=20), over


@pytest.mark.parametrize(
    ("how", "code"), [("cancelled", "cancelled"), ("past its deadline", "deadline"), ("of a peer that is gone", "")]
)
def test_an_upload_half_way_is_given_up_at_once_and_its_memory_is_free(cloud, bundle, how, code):
    request = wide_request(bundle, deadline_s=0.05 if code == "deadline" else 0.0)
    frames = [HELLO, *_raw(request), *([encode(Cancel(request_id=1))] if code == "cancelled" else [])]
    budget = cloud.server._services.budget
    channel, answers, over = _uploading(cloud, *frames)
    with channel:
        assert isinstance(decode(next(answers)), Welcome)
        if code:
            refusal = decode(next(answers))
            assert (refusal.request_id, refusal.code) == (1, code)
        else:
            until(lambda: budget.used_bytes > 0)
            answers.cancel()
        until(lambda: budget.used_bytes == 0)
        over.set()


def test_two_bundles_are_served_side_by_side(tmp_path):
    bundles = [write_bundle(tmp_path / name, name) for name in ("old", "new")]
    with RunningCloud(*bundles) as cloud, CloudClient(cloud.address, PlainChannels(insecure=True)) as edge:
        welcome = edge.connect()
        assert [b.network for b in welcome.bundles] == ["old", "new"]
        for bundle in bundles:
            request, expected = mid_request(bundle)
            np.testing.assert_array_equal(edge.infer(request).outputs["score"], expected)
        with pytest.raises(Refused, match=r"the cloud has old \w+, new \w+;"):
            edge.infer(changed(request, bundle_digest="0" * 64))


def _picture() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (1, 1, SIDE, SIDE), dtype=np.uint8)


@pytest.mark.parametrize("codec", ["raw", "zstd", "jpegls", "jpeg"])
def test_the_input_itself_may_be_sent(edge, bundle, codec):
    picture = _picture()
    coder = get_codec(codec)
    request = request_of([picture], coder, bundle_digest=bundle.digest, cut_id="0", variant_id="")
    seen = coder.decode(request.payload, picture.shape, "uint8")
    assert np.array_equal(seen, picture) is coder.lossless
    np.testing.assert_array_equal(edge.infer(request).outputs["score"], whole(seen))


def test_codes_may_be_narrowed(edge, bundle):
    codes = head(_picture())
    coder = codec_of("zstd@4")
    request = request_of(codes, coder, bundle_digest=bundle.digest, cut_id="mid", variant_id="numpy-int8")
    assert (request.codec, request.codec_config) == ("zstd", {"bits": "4"})
    seen = tuple(coder.decode(coder.encode(c), c.shape, "uint8") for c in codes)
    assert not np.array_equal(seen[0], codes[0])
    np.testing.assert_array_equal(edge.infer(request).outputs["score"], score(*seen))


@pytest.mark.parametrize("config", [{"bits": "9"}, {"bits": "1"}, {"bits": "four"}, {"width": "4"}])
def test_a_width_that_this_cloud_does_not_know_is_refused(edge, bundle, config):
    with pytest.raises(Refused, match="zstd") as refused:
        edge.infer(changed(mid_request(bundle)[0], codec_config=config))
    assert refused.value.code == "unknown_codec"


def test_an_image_is_never_narrowed(edge, bundle):
    request = request_of([_picture()], codec_of("zstd@4"), bundle_digest=bundle.digest, cut_id="0", variant_id="")
    with pytest.raises(Refused, match="narrows codes, not images") as refused:
        edge.infer(request)
    assert refused.value.code == "unsupported"


def _file(data: bytes, bundle: Bundle) -> CloudRequest:
    header = TensorHeader(shape=(len(data),), dtype="uint8", payload_bytes=len(data))
    return CloudRequest(
        bundle_digest=bundle.digest, cut_id="0", variant_id="", codec="file", tensors=(header,), payload=data
    )


def _png(side: int = SIDE) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 256, (side, side), dtype=np.uint8)
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def test_a_file_is_refused_unless_the_cloud_was_started_to_take_it(edge, bundle):
    with pytest.raises(Refused, match="identifiers") as refused:
        edge.infer(_file(_png(), bundle))
    assert refused.value.code == "files_not_allowed"


@pytest.mark.parametrize("codec", ["jpegxl", "webp"])
def test_codecs_for_experiments_are_refused_unless_the_cloud_was_started_for_them(edge, bundle, codec):
    pytest.importorskip("imagecodecs", reason="needs the experiments' libraries: pip install 'suture[experiment]'")
    request = request_of([_picture()], get_codec(codec), bundle_digest=bundle.digest, cut_id="0", variant_id="")
    with pytest.raises(Refused, match="only where it was started") as refused:
        edge.infer(request)
    assert refused.value.code == "unsupported"
    with (
        RunningCloud(bundle, allow_files=True) as cloud,
        CloudClient(cloud.address, PlainChannels(insecure=True)) as willing,
    ):
        willing.connect()
        seen = get_codec(codec).decode(request.payload, _picture().shape, "uint8")
        np.testing.assert_array_equal(willing.infer(request).outputs["score"], whole(seen))


def test_a_file_is_read_preprocessed_and_computed_whole(bundle):
    with (
        RunningCloud(bundle, allow_files=True) as cloud,
        CloudClient(cloud.address, PlainChannels(insecure=True)) as edge,
    ):
        edge.connect()
        score = edge.infer(_file(_png(), bundle)).outputs["score"]
        pixels = np.asarray(Image.open(io.BytesIO(_png())))
        np.testing.assert_array_equal(score, whole(pixels[None, None]))
        assert edge.infer(_file(_png(300), bundle)).payload_bytes > 65_535
        with pytest.raises(Refused, match="the uploaded file") as refused:
            edge.infer(_file(b"no picture at all", bundle))
        assert refused.value.code == "bad_input"
        request = _file(_png(), bundle)
        for wrong in (
            {"cut_id": "last", "variant_id": "numpy-int8"},
            {"tensors": (*request.tensors, request.tensors[0])},
        ):
            payload = request.payload * len(wrong.get("tensors", (0,)))
            with pytest.raises(Refused, match="a file is"):
                edge.infer(changed(request, payload=payload, **wrong))


def test_head_and_tail_make_the_whole_network(edge, bundle):
    picture = _picture()
    request = request_of(
        head(picture), get_codec("raw"), bundle_digest=bundle.digest, cut_id="mid", variant_id="numpy-int8"
    )
    np.testing.assert_array_equal(edge.infer(request).outputs["score"], whole(picture))


def test_a_peer_that_says_nothing_is_let_go(cloud, monkeypatch):
    monkeypatch.setattr("suture_cloud.stream.HELLO_TIMEOUT_S", 0.1)
    over = threading.Event()

    def silence() -> Iterator[bytes]:
        over.wait(10)
        yield from ()

    with grpc.insecure_channel(str(cloud.address)) as channel:
        call = channel.stream_stream("/suture.v1.Suture/Session")(silence(), timeout=10)
        (refusal,) = [decode(answer) for answer in call]
        over.set()
    assert refusal.code == "protocol"
    assert "no Hello" in refusal.message


def test_a_frame_beyond_the_limit_ends_the_session(cloud):
    with pytest.raises(grpc.RpcError) as refused:
        answers(cloud, HELLO, bytes(MAX_EDGE_FRAME_BYTES + 1))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_port_that_is_taken_is_a_usage_error(cloud, bundle):
    with pytest.raises(UsageError, match=f"cannot listen on {cloud.address}: the port is taken"):
        asyncio.run(serve([bundle], str(cloud.address), "cpu", True, NumpyExecutor()))


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "10.0.0.1:0", "cloud.example:0"])
def test_listening_beyond_loopback_without_tls_is_refused(bundle, listen):
    with pytest.raises(UsageError, match="without TLS"):
        asyncio.run(serve([bundle], listen, "cpu", True, NumpyExecutor()))


def test_a_cloud_without_bundles_is_refused():
    with pytest.raises(UsageError, match="--bundle"):
        asyncio.run(serve([], "127.0.0.1:0", "cpu", True, NumpyExecutor()))


def test_requests_of_one_cut_run_as_a_batch_where_that_is_allowed(bundle):
    with (
        RunningCloud(bundle, max_batch=3) as cloud,
        CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as edge,
    ):
        edge.connect()
        cloud.executor.hold()
        first = edge.submit(wide_request(bundle))
        assert cloud.executor.started.wait(10)
        requests = [mid_request(bundle, seed) for seed in range(4)]
        pending = [edge.submit(request) for request, _ in requests]
        line = cloud.server._dispatcher._to_run
        until(lambda: len(line) == 4)
        cloud.executor.let_go()
        first.wait(10)
        for waiting, (_, expected) in zip(pending, requests, strict=True):
            np.testing.assert_array_equal(waiting.wait(10).outputs["score"], expected)
        assert [len(batch) for batch in cloud.executor.ran] == [1, 3, 1]


def test_memory_of_an_expired_upload_is_not_free_while_a_peer_that_reads_nothing_keeps_it(bundle):
    request = wide_request(bundle, deadline_s=0.05)

    async def check() -> None:
        budget = Budget(1 << 20)
        services = Services(
            holdings=Holdings([bundle]),
            dispatcher=Dispatcher(NumpyExecutor()),
            budget=budget,
            software="suture test",
            device="cpu",
            allow_files=False,
        )
        # The answer to the ping is never taken, so that nothing behind it can be written.
        frames, reads = [HELLO, *_raw(request), encode(Ping(nonce=1))], asyncio.Event()
        written: list[bytes] = []

        async def read() -> bytes | None:
            if frames:
                return frames.pop(0)
            await asyncio.Event().wait()
            return None

        async def write(frame: bytes) -> None:
            if written:
                await reads.wait()
            written.append(frame)

        stream = Stream(services, "a peer", read, write)
        running = asyncio.create_task(stream.run())
        while not stream.open_requests:
            await asyncio.sleep(0.01)
        while stream.open_requests:
            await asyncio.sleep(0.01)
        assert budget.used_bytes >= stream._session.held_bytes > 0
        reads.set()
        while budget.used_bytes:
            await asyncio.sleep(0.01)
        assert stream._session.held_bytes == 0
        assert decode(written[-1]).code == "deadline"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(check())


@pytest.mark.parametrize(("limit_bytes", "beside"), [(0, True), (1 << 20, False)])
def test_what_takes_long_to_copy_is_not_copied_on_the_event_loop(cloud, edge, bundle, monkeypatch, limit_bytes, beside):
    threads: list[str] = []

    def decode_noted(admitted: Admitted, payload: memoryview) -> TailRequest:
        threads.append(threading.current_thread().name)
        return decode_payload(admitted, payload)

    monkeypatch.setattr("suture_cloud.dispatch.decode", decode_noted)
    monkeypatch.setattr("suture_cloud.dispatch._COPIED_BYTES", limit_bytes)
    edge.infer(mid_request(bundle, codec="raw")[0])
    (name,) = threads
    assert name.startswith("suture-decode") == beside
