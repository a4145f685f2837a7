"""A cloud that somebody else keeps busy: the unit's plan moves to the edge, and back when the cloud is free again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.engines.registry import choose_variant, get_engine
from suture_edge.heads import Heads
from suture_edge.record import Inference
from suture_edge.unit import Unit
from suture_edge.uploads import CloudRequest, request_of
from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_models.picture import Picture
from suture_partitioner.device import processor_class
from suture_partitioner.load import CloudLoad
from suture_partitioner.profile_file import profile_to_json
from suture_partitioner.types import CutTiming, Profile
from suture_protocol.codecs.registry import get_codec
from suture_simulators.experiments.fleet_unit import Pace, PacedHeads
from suture_simulators.experiments.station import OpenedNetwork
from tests.cloud.harness import RunningCloud

#: What the emulated unit takes for all of the network: many times what the idle cloud takes, few times a busy one's.
ALONE_S = 0.6
#: Requests that the neighbour always has there: ten tails' worth of waiting.
DEPTH = 10
HEADS_S = {INPUT_CUT: 0.0, LAST_CUT: ALONE_S}
ENCODE_S = {INPUT_CUT: {"zstd": 0.001}}


def profile(bundle: Bundle, side: Literal["edge", "cloud"], cuts: dict[str, CutTiming]) -> Profile:
    """As it would have been measured, of the image upload and of the unit alone."""
    return Profile(
        side=side,
        bundle_digest=bundle.digest,
        network=bundle.name,
        engine="openvino" if side == "edge" else "torch",
        variant_id=choose_variant(bundle, "openvino", processor_class()).id if side == "edge" else "",
        device={},
        versions={},
        threads=1,
        device_factor=1.0,
        measured_at="2026-01-01T00:00:00+00:00",
        preprocess_s=0.0,
        cuts=cuts,
    )


class Known:
    """A cloud's profile that is there from the start; the tails themselves are real and take what they take."""

    def __init__(self, bundle: Bundle) -> None:
        upload = CutTiming(compute_s=0.03, compute_min_s=0.03, samples=9, codec_s={"zstd": 0.001})
        last = CutTiming(compute_s=0.0, compute_min_s=0.0, samples=9)
        self._text = profile_to_json(profile(bundle, "cloud", {INPUT_CUT: upload, LAST_CUT: last}))

    def profile_json(self, bundle_digest: str) -> str:
        return self._text


@pytest.fixture
def cloud(pneumonia_bundle: Bundle) -> Iterator[RunningCloud]:
    """A cloud in this process with real tails."""
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'suture[cloud]'")
    from suture_cloud.tail import LocalExecutor

    made = RunningCloud(pneumonia_bundle, profiles=Known(pneumonia_bundle))
    made.executor = LocalExecutor([pneumonia_bundle], torch.device("cpu"))  # type: ignore[assignment]
    with made:
        yield made


@pytest.fixture
def unit(pneumonia_bundle: Bundle, cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unit]:
    """An emulated slow unit whose profile says what its pace is."""
    upload = CutTiming(
        compute_s=0.0, compute_min_s=0.0, samples=9, codec_s=ENCODE_S[INPUT_CUT], payload_bytes={"zstd": 30_000}
    )
    alone = CutTiming(compute_s=ALONE_S, compute_min_s=ALONE_S, samples=9)
    known = profile(pneumonia_bundle, "edge", {INPUT_CUT: upload, LAST_CUT: alone})
    monkeypatch.setattr("suture_edge.planning.cached_profile", lambda *_args, **_fields: known)
    variant = choose_variant(pneumonia_bundle, "openvino", processor_class())
    opened = OpenedNetwork(bundle=pneumonia_bundle, heads=Heads(pneumonia_bundle, get_engine("openvino"), variant))
    pace = Pace(HEADS_S, ENCODE_S)
    with CloudClient(cloud.address, PlainChannels(insecure=True)) as client:
        made = Unit(PacedHeads(opened, pace), client, slow=pace, load=CloudLoad(seed=1))
        yield made
        made.close()


class Neighbour:
    """Somebody else's real requests: always `DEPTH` of them there, until told to stop."""

    def __init__(self, cloud: RunningCloud, bundle: Bundle) -> None:
        spec = bundle.manifest.network.input
        image = np.random.default_rng(1).integers(0, 256, spec.shape).astype(spec.dtype)
        self._request: CloudRequest = request_of(
            [image], get_codec("raw"), bundle_digest=bundle.digest, cut_id=INPUT_CUT, variant_id=""
        )
        self._cloud = cloud
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with CloudClient(self._cloud.address, PlainChannels(insecure=True), pulse=None) as client:
            client.connect()
            pending = [client.submit(self._request) for _ in range(DEPTH)]
            while not self._over.is_set():
                pending.pop(0).wait(30)
                pending.append(client.submit(self._request))
            for request in pending:
                request.wait(30)


def images_until(unit: Unit, cut: str, *, most: int) -> list[Inference]:
    """Images one after the other, until one is cut there."""
    values = np.tile(np.arange(224, dtype=np.uint8), (224, 1))
    picture = Picture(name="ramp", kind="image", values=values, bits=8, value_range=(0.0, 255.0))
    found: list[Inference] = []
    while len(found) < most and (not found or found[-1].cut != cut):
        found.append(unit.infer("ramp", lambda: picture))
        assert not found[-1].error
        assert not found[-1].note
    return found


def test_the_plan_moves_to_the_unit_while_the_cloud_is_busy_and_back_afterwards(
    unit: Unit, cloud: RunningCloud, pneumonia_bundle: Bundle
) -> None:
    idle = images_until(unit, INPUT_CUT, most=20)
    assert idle[-1].where == "cloud"
    with Neighbour(cloud, pneumonia_bundle):
        busy = images_until(unit, LAST_CUT, most=60)
        assert busy[-1].where == "edge"
        # It stays there although it sends nothing: the pongs tell.
        assert {images_until(unit, LAST_CUT, most=1)[0].where for _ in range(5)} == {"edge"}
    back = images_until(unit, INPUT_CUT, most=60)
    assert back[-1].where == "cloud"
