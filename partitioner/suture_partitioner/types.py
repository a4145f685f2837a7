"""What planning works on: profiles, link estimates, plans. Plain data; knows no engine, no torch, no socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Side = Literal["edge", "cloud"]

#: What a plan makes small; see `suture_partitioner.objective`.
Objective = Literal["latency", "latency_quantile", "throughput", "energy", "cloud"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CutTiming:
    """Times of one cut on one device, medians in seconds over `samples` runs, warm.

    Edge profiles hold the head and the encoders, cloud profiles the tail and the decoders. What was predicted and not
    measured has `samples` 0: computing, loading, memory, batches. Codecs are always measured, by codec spec (see
    `suture_protocol.codecs.registry`).

    Attributes:
        compute_s: The head or the tail; what other processes took of the core meanwhile is not in it.
        compute_min_s: The least of them.
        codec_s: Encoding or decoding, median over the inputs.
        payload_bytes: Median size over the inputs.
        payload_quantiles_bytes: Its 5th, 25th, 50th, 75th and 95th percentile.
        load_s: Loading or compiling it, cold.
        first_s: The first run after that.
        memory_bytes: What the process grew by when it was loaded and had run once; good to about a megabyte.
        batch_s: Cloud: batch size → seconds for the whole batch; the entry for 1 equals `compute_s`.
    """

    compute_s: float
    compute_min_s: float
    samples: int
    codec_s: Mapping[str, float] = field(default_factory=dict)
    payload_bytes: Mapping[str, int] = field(default_factory=dict)
    payload_quantiles_bytes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    load_s: float = 0.0
    first_s: float = 0.0
    memory_bytes: int = 0
    batch_s: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """How live timings differ from the profiles: measured ÷ profiled, 1 where nothing was seen.

    `head` is by variant id, `tail` one figure for the cloud (without its queue).
    """

    head: Mapping[str, float] = field(default_factory=dict)
    tail: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """Measured times of one bundle on one device with one engine and variant; keyed by all of them.

    `layers_s` are the least times of each layer of the whole network by the engine's own counters (in the cloud: of
    each operation), never slowed, named after the graph's nodes. `device_factor` is 1, or the emulated slow-down that
    the times in `cuts` are of.
    """

    side: Side
    bundle_digest: str
    network: str
    engine: str
    variant_id: str
    device: Mapping[str, str]
    versions: Mapping[str, str]
    threads: int
    device_factor: float
    measured_at: str
    preprocess_s: float
    cuts: Mapping[str, CutTiming]
    layers_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkEstimate:
    """The link as last measured: bandwidth of the uplink in bit/s, round-trip time, their spread, and when.

    `spread_bps` and `spread_s` are half the interquartile range; `measured_at_s` is on the caller's monotonic clock.
    `stall_s` is what a request loses on average beyond what rate and round trip explain: to outages, to losses.
    """

    bandwidth_bps: float
    rtt_s: float
    spread_bps: float = 0.0
    spread_s: float = 0.0
    measured_at_s: float = 0.0
    samples: int = 0
    stall_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps:
    """Predicted or measured time of each step of one image, in seconds; `total_s` is their sum."""

    preprocess_s: float
    head_s: float
    encode_s: float
    transfer_s: float
    queue_s: float
    decode_s: float
    tail_s: float

    @property
    def total_s(self) -> float:
        return (
            self.preprocess_s
            + self.head_s
            + self.encode_s
            + self.transfer_s
            + self.queue_s
            + self.decode_s
            + self.tail_s
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One way to do it: a cut, a codec, a variant; with its predicted steps and, where it lost, the reason.

    Attributes:
        late_s: The 95th percentile of the time to the result, as far as link and payload scatter.
        period_s: The slowest stage of a pipelined series: one result every so often.
        energy_j: The unit's energy for one image; None without a power model.
        others_s: What it makes other units wait: part of what is made small, not of the time to the result.
        changed_share: Share of calibration inputs whose answer the narrowed codes change; 0 at full width.
        memory_bytes: The head's; 0 where there is none or it was not measured.
        broken: The constraints that forbid it here, by their names in `Constraints`.
    """

    cut_id: str
    codec: str
    variant_id: str
    payload_bytes: int
    steps: Steps
    reason: str = ""
    late_s: float = 0.0
    period_s: float = 0.0
    energy_j: float | None = None
    others_s: float = 0.0
    changed_share: float = 0.0
    memory_bytes: int = 0
    broken: tuple[str, ...] = ()

    @property
    def cloud_s(self) -> float:
        """What it takes of the cloud's time, without waiting there."""
        return self.steps.decode_s + self.steps.tail_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Constraints:
    """What a plan must respect; None leaves a thing free, except where said.

    Attributes:
        deadline_s: Time to the result, at most.
        privacy_floor: A cut id: no cut with a smaller index may be chosen.
        codecs: Allowed codecs by id or spec; an id allows its narrowed widths too, as far as `accuracy_budget` does.
            None: all lossless ones.
        memory_bytes: The head's memory, at most. A head whose memory was not measured is allowed, and the plan says so.
        energy_j: The unit's energy for one image, at most; takes a power model.
        accuracy_budget: The largest share of calibration inputs whose answer narrowed codes may change, as the bundle's
            annotations measured it. None: no narrowed codes at all.
    """

    deadline_s: float | None = None
    privacy_floor: str | None = None
    codecs: tuple[str, ...] | None = None
    memory_bytes: int | None = None
    energy_j: float | None = None
    accuracy_budget: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The chosen cut, codec and variant, and the alternatives that lost, fastest first, each with its reason.

    `notes` say what the plan could not know, e.g. that a head's memory was not measured.
    """

    chosen: Choice
    rejected: tuple[Choice, ...]
    link: LinkEstimate
    objective: Objective = "latency"
    notes: tuple[str, ...] = ()
