"""The unit: reads an image, runs the head, sends codes, reads the answer; plans, and finishes alone without a cloud."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from suture_edge.beside import FinishedAlone, first_of
from suture_edge.client import CloudClient
from suture_edge.heads import Heads
from suture_edge.outputs import readable
from suture_edge.planning import Planning
from suture_edge.reach import Reach
from suture_edge.record import Inference, Work
from suture_edge.results import CloudResult, PendingResult
from suture_edge.settings import AUTO, check_settings, codec_for
from suture_edge.settings import UnitSettings as UnitSettings  # re-exported: it belongs to the unit's interface
from suture_edge.slowdown import Slowdown, SlowedCodec, full_speed
from suture_edge.uploads import request_of
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut
from suture_models.picture import Picture
from suture_models.preprocess import preprocess
from suture_partitioner.link import LinkEstimator
from suture_partitioner.load import CloudLoad
from suture_partitioner.profile import Progress
from suture_partitioner.types import Choice, Plan, Profile, Steps
from suture_protocol.errors import CodecError, InputRefused, LinkError, ProtocolError
from suture_protocol.units import format_time

#: What makes the unit finish an image alone: no path, a cloud that declines, or one that answers nonsense.
CLOUD_FAILED: Final = (LinkError, ProtocolError, CodecError)


#: Where time is not what counts, an image is not done twice.
_HURRIED: Final = ("latency", "latency_quantile")


class Unit:
    """One bundle, with or without a cloud. Not thread-safe."""

    def __init__(
        self,
        heads: Heads | Sequence[Heads],
        cloud: CloudClient | None,
        settings: UnitSettings | None = None,
        *,
        slow: Slowdown = full_speed,
        progress: Progress | None = None,
        link: LinkEstimator | None = None,
        load: CloudLoad | None = None,
    ) -> None:
        """Prepares; nothing is loaded or connected yet.

        Args:
            heads: Bundle, engine and variant; several variants of one bundle are planned among, and a forced cut
                takes the first. Closed with the unit.
            cloud: The cloud, or None to work alone. Stays the caller's to close.
            settings: How to work.
            slow: The emulated slow device, for what `heads` does not cover (reading, preprocessing, encoding).
            progress: Told how profiling goes.
            link: The estimate to learn into and plan with, where units share a link; by default one of its own.
            load: How to plan with the cloud's load; by default a `CloudLoad` of its own, with a random seed.
        """
        self.variants = (heads,) if isinstance(heads, Heads) else tuple(heads)
        self.heads = self.variants[0]
        self.bundle = self.heads.bundle
        self.cloud = cloud
        self.settings = settings or UnitSettings()
        self._slow = slow
        self._reach = None if cloud is None else Reach(cloud)
        self._planning = Planning(
            self.variants, cloud, self.settings, slow=slow, progress=progress, link=link, load=load
        )
        self._stems: dict[str, str] = {}

    @property
    def link(self) -> LinkEstimator:
        """The link as the traffic shows it."""
        return self._planning.link

    def check(self, cut: str) -> None:
        """Checks that images can be cut there, as `suture_edge.settings.check_settings` does."""
        check_settings(
            self.bundle,
            self.heads.variant,
            cut=cut,
            codec=self.settings.codec,
            privacy_floor=self.settings.constraints.privacy_floor,
            has_cloud=self.cloud is not None,
        )

    def infer(self, name: str, read: Callable[[], Picture], cut: str = AUTO, *, stem: str = "") -> Inference:
        """Does one image and records it.

        Where the cloud cannot be reached or declines, the unit finishes alone and `note` says why; a forced cut other
        than the last does so too. Time lost on the link before that counts as transfer; what is paid once (profiling)
        counts nowhere.

        Args:
            name: The input, for the record.
            read: Reads it.
            cut: A cut's id, or `auto` to plan.
            stem: Begins the names of files that hold outputs (masks); by default made from `name`.

        Raises:
            BundleError: the bundle has no such cut, or a file of it is damaged.
            PlanError: nothing satisfies the constraints.
            UsageError: the codec does not carry what crosses that cut, or the cloud's address must not be used.
        """
        if cut != AUTO:
            self.bundle.cut(cut)
        start_s = time.perf_counter()
        try:
            picture, image = self._slow(lambda: self._read(read))()
        except InputRefused as refusal:
            return Inference(path=name, error=refusal.reason)
        read_s = time.perf_counter()
        work = Work(name, stem or self._stem(name), picture, image, preprocess_s=read_s - start_s, tried_at_s=read_s)
        note = ""
        if cut != LAST_CUT and (cut != AUTO or self.cloud is not None):
            try:
                split = self._split(work, cut)
            except CLOUD_FAILED as error:
                note = str(error)
            else:
                if split is not None:
                    return split
        return self._alone(work, note)

    def choose(self, cut: str, images: Sequence[NDArray[Any]], preprocess_s: float) -> Choice | None:
        """The choice for the next image; None for a forced cut, which needs no plan. Raises as `Planning.choose`."""
        return self._planning.choose(images, preprocess_s) if cut == AUTO else None

    def plan(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Plan:
        """The plan in full, with what was rejected and why; raises as `choose`."""
        return self._planning.plan(images, preprocess_s)

    def edge_profile(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Profile:
        """This unit's profile, measured on first use and kept."""
        return self._planning.edge_profile(images, preprocess_s)

    def learn(self, result: CloudResult) -> None:
        """Takes a finished request into the link estimate; for requests sent past this unit on the same link."""
        self._planning.learn(result)

    def held_bytes(self) -> Mapping[str, Mapping[str, int]]:
        """The memory of the heads held now, by variant and cut; see `Heads.held_bytes`."""
        return {heads.variant.id: heads.held_bytes() for heads in self.variants}

    def close(self) -> None:
        """Frees the heads, remembers the link and stops connecting; the cloud's client stays its owner's."""
        if self._reach is not None:
            self._reach.close()
        self._planning.close()
        for heads in self.variants:
            heads.close()

    def _read(self, read: Callable[[], Picture]) -> tuple[Picture, NDArray[Any]]:
        picture = read()
        return picture, preprocess(picture, self.bundle.manifest.network)

    def _stem(self, name: str) -> str:
        """The input's name without its folder and ending, made unique among this unit's inputs."""
        plain = Path(name).stem
        stem, count = plain, 1
        while self._stems.setdefault(stem, name) != name:
            count += 1
            stem = f"{plain}-{count}"
        return stem

    def _split(self, work: Work, cut: str) -> Inference | None:
        """Does one image with the cloud; None where the plan says that the unit should do all of it."""
        if self._reach is None or self.cloud is None:
            raise LinkError("no cloud was named")
        if self.cloud.welcome is None or (cut == AUTO and not self._planning.ready):
            self._reach.ensure()
        choice = self.choose(cut, [work.image], work.preprocess_s)
        chosen = self.bundle.cut(cut if choice is None else choice.cut_id)
        if chosen.id == LAST_CUT:
            self._reach.nudge()  # its heartbeat shows when the link would make another choice better
            return None
        work.tried_at_s = time.perf_counter()
        self._reach.ensure()
        connect_s = time.perf_counter() - work.tried_at_s
        try:
            found = self._through(self.cloud, work, chosen, choice, connect_s)
        except LinkError:
            self._reach.failed()
            raise
        self._reach.succeeded()
        return found

    def _through(self, cloud: CloudClient, work: Work, cut: Cut, choice: Choice | None, connect_s: float) -> Inference:
        heads = self.heads if choice is None else self._variant(choice.variant_id)
        at_hand = heads.ready(cut)
        start_s = time.perf_counter()
        boundary = heads.run(cut, work.image)
        encode_start_s = time.perf_counter()
        codec = SlowedCodec(codec_for(self.settings, cut, boundary, choice), self._slow)
        request = request_of(
            boundary,
            codec,
            bundle_digest=self.bundle.digest,
            cut_id=cut.id,
            variant_id="" if cut.id == INPUT_CUT else heads.variant.id,
            priority=self.settings.priority,
        )
        send_start_s = time.perf_counter()
        try:
            result = self._answer(cloud.submit(request), work, choice)
        except LinkError:
            self._planning.gave_up(len(request.payload), time.perf_counter() - send_start_s)
            raise
        away_s = time.perf_counter() - send_start_s
        if isinstance(result, FinishedAlone):
            self._planning.gave_up(len(request.payload), away_s)
            waited = format_time(result.began_s - send_start_s)
            return self._finished(work, result, f"no answer from the cloud at {cloud.address} in {waited}")
        self.learn(result)
        took = result.timings
        if at_hand:
            self._planning.observe(heads.variant.id, cut.id, head_s=encode_start_s - start_s, tail_s=took.tail_s)
        steps = Steps(
            preprocess_s=work.preprocess_s,
            head_s=encode_start_s - start_s,
            encode_s=send_start_s - encode_start_s,
            transfer_s=connect_s + max(away_s - took.queue_s - took.decode_s - took.tail_s, 0.0),
            queue_s=took.queue_s,
            decode_s=took.decode_s,
            tail_s=took.tail_s,
        )
        crossed = {"codec": codec.spec, "payload_bytes": result.payload_bytes, "engine": heads.engine.name}
        return self._record(work, cut, steps, result.outputs, where="cloud", **crossed)

    def _answer(self, pending: PendingResult, work: Work, choice: Choice | None) -> CloudResult | FinishedAlone:
        """The first answer: the cloud's, or this unit's where that is late and the last cut is at hand."""
        heads, last = self._alone_with, self.bundle.cut(LAST_CUT)
        hurried = choice is not None and self._planning.local is not None and self.settings.objective in _HURRIED
        if not hurried or not heads.ready(last):
            return pending.wait(self.settings.timeout_s)
        return first_of(
            pending,
            lambda: heads.run(last, work.image),
            patience_s=self._planning.patience_s,
            timeout_s=self.settings.timeout_s,
        )

    @property
    def _alone_with(self) -> Heads:
        local = self._planning.local
        return self.heads if local is None else self._variant(local.variant_id)

    def _variant(self, variant_id: str) -> Heads:
        return next(heads for heads in self.variants if heads.variant.id == variant_id)

    def _alone(self, work: Work, note: str) -> Inference:
        cut, heads = self.bundle.cut(LAST_CUT), self._alone_with
        at_hand = heads.ready(cut)
        began_s = time.perf_counter()
        outputs = heads.run(cut, work.image)
        head_s = time.perf_counter() - began_s
        if at_hand:
            self._planning.observe(heads.variant.id, cut.id, head_s=head_s)
        return self._finished(work, FinishedAlone(outputs=outputs, began_s=began_s, head_s=head_s), note)

    def _finished(self, work: Work, done: FinishedAlone, note: str) -> Inference:
        heads = self._alone_with
        steps = done.steps(work.preprocess_s, lost_s=done.began_s - work.tried_at_s if note else 0.0)
        outputs = {t.name: a for t, a in zip(self.bundle.manifest.outputs, done.outputs, strict=True)}
        said = {"note": note, "engine": heads.engine.name}
        return self._record(work, self.bundle.cut(LAST_CUT), steps, outputs, where="edge", **said)

    def _record(self, work: Work, cut: Cut, steps: Steps, outputs: Mapping[str, Any], **fields: Any) -> Inference:
        spec = self.bundle.manifest.network
        said = readable(outputs, spec, work.stem, self.settings.out)
        if not all(math.isfinite(value) for value in said.values() if isinstance(value, float)):
            said = {}
            fields["error"] = f"{spec.name} gave a number that is not finite; no finding"
        return Inference(
            path=work.name,
            sop_instance_uid=work.picture.sop_instance_uid or "",
            bundle=self.bundle.digest,
            weights=spec.weights,
            cut=cut.id,
            outputs=said,
            steps=steps,
            total_s=steps.total_s,
            emulated=self.settings.emulated,
            **fields,
        )
