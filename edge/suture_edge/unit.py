"""The unit: reads an image, runs the head, sends codes, reads the answer; plans, and finishes alone without a cloud."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from suture_edge.beside import FinishedAlone
from suture_edge.client import CloudClient
from suture_edge.heads import Heads
from suture_edge.planning import Planning
from suture_edge.record import Inference, Work
from suture_edge.recorder import Recorder
from suture_edge.results import CloudResult
from suture_edge.settings import AUTO, check_settings
from suture_edge.settings import UnitSettings as UnitSettings  # re-exported: it belongs to the unit's interface
from suture_edge.slowdown import Slowdown, full_speed
from suture_edge.uplink import CLOUD_FAILED, Flight, Uplink
from suture_models.manifest import LAST_CUT
from suture_models.picture import Picture
from suture_models.preprocess import preprocess
from suture_partitioner.link import LinkEstimator
from suture_partitioner.load import CloudLoad
from suture_partitioner.profile import Progress
from suture_partitioner.types import Choice, Plan, Profile
from suture_protocol.errors import InputRefused
from suture_protocol.units import format_time


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """What `Unit.begin` gives and `Unit.finish` takes, once."""

    state: Inference | Flight

    @property
    def settled(self) -> bool:
        """Whether `finish` would not wait."""
        return isinstance(self.state, Inference) or self.state.pending.done


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
        self._planning = Planning(
            self.variants, cloud, self.settings, slow=slow, progress=progress, link=link, load=load
        )
        self._recorder = Recorder(self.bundle, self.settings)
        self._uplink: Uplink | None = None
        if cloud is not None:
            self._uplink = Uplink(cloud, self._heads_of, self.settings, self._planning, slow)

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
        return self.finish(self.begin(self.read(name, read, stem=stem), cut))

    def read(self, name: str, read: Callable[[], Picture], *, stem: str = "") -> Work | Inference:
        """Reads and preprocesses an image; the record of a refusal where it is none. Takes what `infer` does.

        This alone may run on another thread while the unit begins or finishes an image, one at a time.
        """
        start_s = time.perf_counter()
        try:
            picture, image = self._slow(lambda: self._read(read), work=(self.bundle.digest, name))()
        except InputRefused as refusal:
            return Inference(path=name, error=refusal.reason)
        read_s = time.perf_counter()
        stem = stem or self._recorder.stem(name)
        return Work(name, stem, picture, image, preprocess_s=read_s - start_s, tried_at_s=read_s)

    def begin(self, work: Work | Inference, cut: str = AUTO) -> Begun:
        """Does what was read as far as this unit can: up to sending its codes. Raises what `infer` does.

        What was begun must be finished or abandoned. Several may be under way, and are finished in their order.
        """
        if cut != AUTO:
            self.bundle.cut(cut)
        if isinstance(work, Inference):
            return Begun(work)
        work.tried_at_s = time.perf_counter()
        note = ""
        if cut != LAST_CUT and self._uplink is not None:
            try:
                flight = self._uplink.send(work, cut)
            except CLOUD_FAILED as error:
                note = str(error)
            else:
                if flight is not None:
                    return Begun(flight)
        elif cut not in (LAST_CUT, AUTO):
            note = "no cloud was named"
        return Begun(self._alone(work, note))

    def finish(self, begun: Begun) -> Inference:
        """The record of an image that was begun: waits for the cloud, or finishes it here; raises as `infer` does."""
        flight = begun.state
        if isinstance(flight, Inference):
            return flight
        heads, last = self._alone_with, self.bundle.cut(LAST_CUT)
        able = self._planning.local is not None and heads.ready(last)
        try:
            landed = self._way.land(flight, (lambda: heads.run(last, flight.work.image)) if able else None)
        except CLOUD_FAILED as error:
            return self._alone(flight.work, str(error))
        if isinstance(landed, FinishedAlone):
            address = "" if self.cloud is None else f" at {self.cloud.address}"
            waited = format_time(landed.began_s - flight.sent_at_s)
            note = f"no answer from the cloud{address} in {waited}"
            if landed.instead is not None:
                note += f"; then: {landed.instead}"
            return self._finished(flight.work, landed, note)
        result, steps = landed
        crossed = {"codec": flight.codec, "payload_bytes": result.payload_bytes, "engine": flight.engine}
        return self._recorder.record(flight.work, flight.cut, steps, result.outputs, where="cloud", **crossed)

    def abandon(self, begun: Begun) -> None:
        """Gives up an image that was begun; the cloud is told that its answer is no longer wanted."""
        if isinstance(begun.state, Flight):
            self._way.abandon(begun.state)

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
        self._planning.learn(result, alone=True)

    def held_bytes(self) -> Mapping[str, Mapping[str, int]]:
        """The memory of the heads held now, by variant and cut; see `Heads.held_bytes`."""
        return {heads.variant.id: heads.held_bytes() for heads in self.variants}

    def close(self) -> None:
        """Frees the heads, remembers the link and stops connecting; the cloud's client stays its owner's."""
        if self._uplink is not None:
            self._uplink.close()
        self._planning.close()
        for heads in self.variants:
            heads.close()

    def _read(self, read: Callable[[], Picture]) -> tuple[Picture, NDArray[Any]]:
        picture = read()
        return picture, preprocess(picture, self.bundle.manifest.network)

    @property
    def _way(self) -> Uplink:
        if self._uplink is None:
            raise ValueError("nothing was sent by a unit without a cloud")
        return self._uplink

    @property
    def _alone_with(self) -> Heads:
        return self._heads_of(self._planning.local)

    def _heads_of(self, choice: Choice | None) -> Heads:
        """Those that a choice takes; for None, those that a forced cut does."""
        if choice is None:
            return self.heads
        return next(heads for heads in self.variants if heads.variant.id == choice.variant_id)

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
        return self._recorder.record(work, self.bundle.cut(LAST_CUT), steps, outputs, where="edge", **said)
