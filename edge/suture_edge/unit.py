"""The unit: reads an image, runs the head, sends codes, reads the answer; plans, and finishes alone without a cloud."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from suture_edge.client import CloudClient
from suture_edge.heads import Heads
from suture_edge.outputs import readable
from suture_edge.profiling import cached_profile
from suture_edge.record import Inference
from suture_edge.results import CloudResult
from suture_edge.slowdown import Slowdown, SlowedCodec, full_speed
from suture_edge.uploads import request_of
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut
from suture_models.picture import Picture
from suture_models.preprocess import preprocess
from suture_partitioner.link import LinkEstimator
from suture_partitioner.plan import Planner
from suture_partitioner.profile import Progress
from suture_partitioner.profile_file import profile_from_json
from suture_partitioner.types import Choice, Constraints, Plan, Profile, Steps
from suture_protocol.codecs.registry import default_codec, get_codec
from suture_protocol.errors import InputRefused, LinkError
from suture_protocol.events import Priority

#: How long the first plan waits for the cloud to finish measuring its tails.
PROFILE_WAIT_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitSettings:
    """How the unit works. `codec` None takes the planned or the tensor's default one."""

    codec: str | None = None
    codec_config: tuple[tuple[str, str], ...] = ()
    constraints: Constraints = field(default_factory=Constraints)
    priority: Priority = Priority.ROUTINE
    timeout_s: float = 30.0
    device_factor: float = 1.0
    out: Path | None = None


class Unit:
    """One bundle on one engine, with or without a cloud. Not thread-safe."""

    def __init__(
        self,
        heads: Heads,
        cloud: CloudClient | None,
        settings: UnitSettings | None = None,
        *,
        slow: Slowdown = full_speed,
        progress: Progress | None = None,
    ) -> None:
        """Prepares; nothing is loaded or connected yet.

        Args:
            heads: Bundle, engine and variant.
            cloud: The cloud, or None to work alone.
            settings: How to work.
            slow: The emulated slow device, for what `heads` does not cover (reading, preprocessing, encoding).
            progress: Told how profiling goes.
        """
        self.heads = heads
        self.bundle = heads.bundle
        self.cloud = cloud
        self.settings = settings or UnitSettings()
        self.link = LinkEstimator()
        self._slow = slow
        self._progress = progress
        self._planner: Planner | None = None
        self._current: Choice | None = None
        self._heard_s = float("-inf")

    def infer(self, name: str, read: Callable[[], Picture], cut: str = "auto") -> Inference:
        """Does one image and records it.

        Where the cloud cannot be reached or declines, the unit finishes alone and `note` says why; a forced cut other
        than the last does so too.

        Args:
            name: The input, for the record.
            read: Reads it.
            cut: A cut's id, or `auto` to plan.

        Raises:
            BundleError: the bundle has no such cut.
        """
        start_s = time.perf_counter()
        try:
            picture, image = self._slow(lambda: self._read(read))()
        except InputRefused as refusal:
            return Inference(path=name, error=refusal.reason)
        preprocess_s = time.perf_counter() - start_s
        note, chosen = "", self.bundle.cut(LAST_CUT)
        if self.cloud is not None or cut != "auto":
            try:
                choice = self.choose(cut, [image], preprocess_s)
                chosen = self.bundle.cut(choice.cut_id if choice else cut)
                if chosen.id != LAST_CUT:
                    # Planning is paid once and not a step of the image.
                    start_s = time.perf_counter() - preprocess_s
                    return self._split(name, picture, image, chosen, choice, start_s, preprocess_s)
            except LinkError as error:
                note = str(error)
            start_s = time.perf_counter() - preprocess_s
        return self._alone(name, picture, image, start_s, preprocess_s, note)

    def choose(self, cut: str, images: Sequence[NDArray[Any]], preprocess_s: float) -> Choice | None:
        """The choice for the next image; None for a forced cut, which needs no plan.

        Raises:
            LinkError: the cloud cannot be reached, or does not give its profile.
            PlanError: nothing satisfies the constraints.
        """
        if cut != "auto":
            return None
        if self._planner is None:
            self._planner = self._make_planner(images, preprocess_s)
        self._listen()
        self._current = self._planner.choose(self.link.estimate(), current=self._current)
        return self._current

    def plan(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Plan:
        """The plan in full, with what was rejected and why; raises as `choose`."""
        if self._planner is None:
            self._planner = self._make_planner(images, preprocess_s)
        self._listen()
        return self._planner.plan(self.link.estimate(), current=self._current)

    def edge_profile(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Profile:
        """This unit's profile, measured on first use and kept."""
        return cached_profile(
            self.heads,
            lambda: images,
            device_factor=self.settings.device_factor,
            slow=self._slow,
            preprocess_s=preprocess_s,
            progress=self._progress,
        )

    def _read(self, read: Callable[[], Picture]) -> tuple[Picture, NDArray[Any]]:
        picture = read()
        return picture, preprocess(picture, self.bundle.manifest.network)

    def _make_planner(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Planner:
        cloud = self._cloud_profile()
        edge = self.edge_profile(images, preprocess_s)
        return Planner(self.bundle.manifest, [edge], cloud, self.settings.constraints)

    def _cloud_profile(self) -> Profile | None:
        if self.cloud is None:
            return None
        self.cloud.ensure_connected()
        until_s = time.monotonic() + PROFILE_WAIT_S
        while True:
            found = self.cloud.fetch_profile(self.bundle.digest)
            if found.ready:
                try:
                    return profile_from_json(found.profile_json, f"the profile of the cloud at {self.cloud.address}")
                except ValueError as error:
                    raise LinkError(str(error)) from error
            if time.monotonic() > until_s:
                raise LinkError(
                    f"the cloud at {self.cloud.address} has not measured its tails within {PROFILE_WAIT_S:.0f} s"
                )
            time.sleep(0.1)

    def _listen(self) -> None:
        """Feeds the heartbeat's new round trips to the link estimate."""
        if self.cloud is None:
            return
        for sample in self.cloud.rtt_samples():
            if sample.at_s > self._heard_s:
                self.link.on_heartbeat(sample.rtt_s, sample.at_s)
                self._heard_s = sample.at_s

    def _split(
        self,
        name: str,
        picture: Picture,
        image: NDArray[Any],
        cut: Cut,
        choice: Choice | None,
        start_s: float,
        preprocess_s: float,
    ) -> Inference:
        if self.cloud is None:
            raise LinkError("no cloud was named; give --cloud HOST:PORT")
        self.cloud.ensure_connected()
        head_start_s = time.perf_counter()
        boundary = self.heads.run(cut, image)
        head_s = time.perf_counter() - head_start_s
        encode_start_s = time.perf_counter()
        request = request_of(
            boundary,
            SlowedCodec(self._codec(cut, boundary, choice), self._slow),
            bundle_digest=self.bundle.digest,
            cut_id=cut.id,
            variant_id="" if cut.id == INPUT_CUT else self.heads.variant.id,
            priority=self.settings.priority,
        )
        encode_s = time.perf_counter() - encode_start_s
        result = self.cloud.infer(request, timeout_s=self.settings.timeout_s)
        total_s = time.perf_counter() - start_s
        self._learn(result)
        took = result.timings
        away_s = total_s - preprocess_s - head_s - encode_s
        steps = Steps(
            preprocess_s=preprocess_s,
            head_s=head_s,
            encode_s=encode_s,
            transfer_s=max(away_s - took.queue_s - took.decode_s - took.tail_s, 0.0),
            queue_s=took.queue_s,
            decode_s=took.decode_s,
            tail_s=took.tail_s,
        )
        return self._record(
            name, picture, cut, steps, total_s, result.outputs, codec=request.codec, payload_bytes=result.payload_bytes
        )

    def _codec(self, cut: Cut, boundary: tuple[NDArray[Any], ...], choice: Choice | None) -> Any:
        if self.settings.codec is not None:
            return get_codec(self.settings.codec, dict(self.settings.codec_config))
        if choice is not None:
            return get_codec(choice.codec)
        codec = default_codec(boundary[0].shape, boundary[0].dtype.name, is_input=cut.id == INPUT_CUT)
        return get_codec(codec) if isinstance(codec, str) else codec

    def _learn(self, result: CloudResult) -> None:
        arrivals = [(a.offset_end, a.at_s) for a in result.arrivals]
        took = result.timings
        round_trip_s = took.total_s - took.waited_s - took.server_s
        self.link.on_upload(result.payload_bytes, arrivals, round_trip_s, time.monotonic())

    def _alone(
        self, name: str, picture: Picture, image: NDArray[Any], start_s: float, preprocess_s: float, note: str
    ) -> Inference:
        cut = self.bundle.cut(LAST_CUT)
        head_start_s = time.perf_counter()
        found = self.heads.run(cut, image)
        end_s = time.perf_counter()
        steps = Steps(
            preprocess_s=preprocess_s,
            head_s=end_s - head_start_s,
            encode_s=0.0,
            transfer_s=0.0,
            queue_s=0.0,
            decode_s=0.0,
            tail_s=0.0,
        )
        outputs = {t.name: a for t, a in zip(self.bundle.manifest.outputs, found, strict=True)}
        return self._record(name, picture, cut, steps, end_s - start_s, outputs, where="edge", note=note)

    def _record(
        self,
        name: str,
        picture: Picture,
        cut: Cut,
        steps: Steps,
        total_s: float,
        outputs: Any,
        **fields: Any,
    ) -> Inference:
        spec = self.bundle.manifest.network
        fields.setdefault("where", "cloud")
        return Inference(
            path=name,
            sop_instance_uid=picture.sop_instance_uid or "",
            bundle=self.bundle.digest,
            weights=spec.weights,
            cut=cut.id,
            engine=self.heads.engine.name,
            outputs=readable(outputs, spec, Path(name).stem, self.settings.out),
            steps=steps,
            total_s=total_s,
            **fields,
        )
