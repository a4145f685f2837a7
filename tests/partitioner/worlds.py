"""Manifests, profiles and whole worlds of them for the planner's tests."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from suture_models.manifest import (
    ArtefactFile,
    Cut,
    Manifest,
    NetworkSpec,
    Preprocess,
    TensorSpec,
)
from suture_partitioner.energy import BOARDS, RADIOS, PowerModel
from suture_partitioner.plan import Planner
from suture_partitioner.types import Constraints, CutTiming, LinkEstimate, Profile


def manifest_of(count: int, barred: frozenset[int] = frozenset()) -> Manifest:
    image = TensorSpec(name="image", shape=(1, 1, 224, 224), dtype="uint8")
    file = ArtefactFile(path="x", sha256="0" * 64, size_bytes=1)
    return Manifest(
        network=NetworkSpec(
            name="net",
            kind="image",
            input=image,
            preprocess=Preprocess(size=(224, 224), channels=1),
            output="classes",
            labels=("a", "b"),
            weights="random",
        ),
        graph=(),
        outputs=(),
        cuts=tuple(
            Cut(
                id={0: "0", count - 1: "last"}.get(i, f"add_{i}"),
                index=i,
                boundary=(image,),
                head_macs=i,
                tail_macs=count - 1 - i,
                candidate=i not in barred,
            )
            for i in range(count)
        ),
        variants=(),
        program=file,
        weights=file,
        built_with={},
    )


def profile_of(side, cuts, variant_id="openvino-int8-vnni", **changes) -> Profile:
    fields = {
        "side": side,
        "bundle_digest": "ab" * 32,
        "network": "net",
        "engine": "openvino",
        "variant_id": variant_id,
        "device": {},
        "versions": {},
        "threads": 1,
        "device_factor": 1.0,
        "measured_at": "",
        "preprocess_s": 0.002 if side == "edge" else 0.0,
        "cuts": cuts,
    }
    return Profile(**{**fields, **changes})


def timing(compute_s, codecs=None, sizes=None) -> CutTiming:
    return CutTiming(
        compute_s=compute_s, compute_min_s=compute_s, samples=9, codec_s=codecs or {}, payload_bytes=sizes or {}
    )


def pair(heads_ms, tails_ms, sizes):
    """Profiles with one codec, from lists over the cuts; the last cut's size is ignored."""
    manifest = manifest_of(len(heads_ms))
    edge, cloud = {}, {}
    for cut, head_ms, tail_ms, size in zip(manifest.cuts, heads_ms, tails_ms, sizes, strict=True):
        last = cut.id == "last"
        edge[cut.id] = timing(head_ms / 1e3, {} if last else {"zstd": 0.0}, {} if last else {"zstd": size})
        if not last:
            cloud[cut.id] = timing(tail_ms / 1e3, {"zstd": 0.0})
    return manifest, profile_of("edge", edge), profile_of("cloud", cloud)


MIDDLE_WINS = pair([0, 10, 50, 400], [40, 30, 10, 0], [60_000, 20_000, 13_000, 0])
LINK = LinkEstimate(bandwidth_bps=2e6, rtt_s=0.04)

#: Spec → bits and whether it is lossless; JPEG goes with the input only, narrowed codes never do.
CODECS = {"raw": (8, True), "zstd": (8, True), "jpegls": (8, True), "jpeg": (8, False)}
NARROWED = {"zstd@6": (6, False), "zstd@4": (4, False)}
SPECS = {**CODECS, **NARROWED}

times = st.one_of(st.just(0.0), st.floats(1e-5, 2.0))
links = st.builds(
    LinkEstimate,
    bandwidth_bps=st.floats(1e3, 1e10),
    rtt_s=st.floats(0, 2),
    spread_bps=st.one_of(st.just(0.0), st.floats(0, 1e9)),
    spread_s=st.one_of(st.just(0.0), st.floats(0, 1)),
)


@dataclass(frozen=True)
class Shares:
    """Annotations: (cut, bits) → share of answers changed."""

    known: dict[tuple[str, int], float]

    def changed_share(self, cut_id: str, bits: int) -> float | None:
        return self.known.get((cut_id, bits))


@dataclass(frozen=True)
class World:
    """All that a planner is made from."""

    manifest: Manifest
    edges: list[Profile]
    cloud: Profile | None
    constraints: Constraints
    objective: Any = "latency"
    accuracy: Shares | None = None
    power: PowerModel | None = None

    def scaled_limits(self, factor: float) -> World:
        """With the limits that depend on the link times `factor`."""
        limits = {name: getattr(self.constraints, name) for name in ("deadline_s", "energy_j")}
        scaled = {name: None if limit is None else limit * factor for name, limit in limits.items()}
        return dataclasses.replace(self, constraints=dataclasses.replace(self.constraints, **scaled))

    def relaxed(self, names: tuple[str, ...]) -> World:
        """With the named constraints as loose as they get."""
        loosest = {"codecs": tuple(SPECS), "accuracy_budget": 1.0}
        changes: dict[str, Any] = {name: loosest.get(name) for name in names}
        return dataclasses.replace(self, constraints=dataclasses.replace(self.constraints, **changes))


def planner_of(world: World) -> Planner:
    """The planner of a world."""
    return Planner(
        world.manifest,
        world.edges,
        world.cloud,
        world.constraints,
        objective=world.objective,
        accuracy=world.accuracy,
        power=world.power,
    )


@st.composite
def worlds(draw, *, rich: bool = False):
    """Random profiles and constraints; `rich` adds narrowed codes, memory, energy and every objective."""
    count = draw(st.integers(2, 7))
    manifest = manifest_of(count, frozenset(draw(st.sets(st.integers(1, count - 2)))) if count > 3 else frozenset())
    specs = draw(st.sets(st.sampled_from(sorted(CODECS)), min_size=1))
    specs |= draw(st.sets(st.sampled_from(sorted(NARROWED)))) if rich else set()

    def side(name, variant_id, optional):
        cuts = {}
        for cut in manifest.cuts:
            if optional and draw(st.integers(0, 4)) == 0:
                continue
            known = [] if cut.id == "last" else [s for s in sorted(specs) if _suits(s, cut)]
            sizes = {spec: draw(st.integers(1, 2_000_000)) for spec in known} if name == "edge" else {}
            made = timing(draw(times), {spec: draw(times) for spec in known}, sizes)
            if rich and name == "edge":
                memory_bytes = draw(st.one_of(st.just(0), st.integers(1, 10**9)))
                wider = {s: (size, size, size, 2 * size, 3 * size) for s, size in sizes.items() if draw(st.booleans())}
                made = dataclasses.replace(made, memory_bytes=memory_bytes, payload_quantiles_bytes=wider)
            cuts[cut.id] = made
        return profile_of(name, cuts, variant_id, threads=draw(st.integers(1, 5)) if rich else 1)

    edges = [side("edge", f"variant-{i}", i > 0) for i in range(draw(st.integers(1, 3)))]
    cloud = side("cloud", "torch", True) if draw(st.integers(0, 5)) else None
    constraints = Constraints(
        deadline_s=draw(st.one_of(st.none(), st.floats(1e-3, 5.0))),
        privacy_floor=draw(st.one_of(st.none(), st.sampled_from([cut.id for cut in manifest.cuts]))),
        codecs=draw(st.one_of(st.none(), st.lists(st.sampled_from(["raw", "zstd", "jpeg"]), max_size=3).map(tuple))),
    )
    if not rich:
        return World(manifest, edges, cloud, constraints)
    power = draw(st.one_of(st.none(), st.builds(PowerModel, board=_one_of(BOARDS), radio=_one_of(RADIOS))))
    constraints = dataclasses.replace(
        constraints,
        memory_bytes=draw(st.one_of(st.none(), st.integers(1, 10**9))),
        accuracy_budget=draw(st.one_of(st.none(), st.floats(0, 1))),
        energy_j=None if power is None else draw(st.one_of(st.none(), st.floats(0.01, 50))),
    )
    objectives = ["latency", "latency_quantile", "throughput", "cloud", *(["energy"] if power else [])]
    shares = {(cut.id, bits): draw(st.floats(0, 1)) for cut in manifest.cuts[1:-1] for bits in (4, 6)}
    unmeasured = draw(st.sets(st.sampled_from(sorted(shares)))) if shares else set()
    known = {key: share for key, share in shares.items() if key not in unmeasured}
    accuracy = Shares(known) if draw(st.integers(0, 4)) else None
    return World(manifest, edges, cloud, constraints, draw(st.sampled_from(objectives)), accuracy, power)


def _one_of(table):
    return st.sampled_from([table[name] for name in sorted(table)])


def _suits(spec: str, cut: Cut) -> bool:
    return SPECS[spec][1] or (cut.id == "0") == (spec in CODECS)
