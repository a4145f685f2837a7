"""What planning works on: profiles, link estimates, plans. Plain data; knows no engine, no torch, no socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Side = Literal["edge", "cloud"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CutTiming:
    """Measured times of one cut on one device, medians in seconds over `samples` runs, warm.

    Edge profiles hold the head and the encoders, cloud profiles the tail and the decoders. `payload_bytes` is the
    median size over calibration-like inputs, by codec spec (see `suture_protocol.codecs.registry`), and
    `payload_quantiles_bytes` that size's 5th, 25th, 50th, 75th and 95th percentile. What was predicted and not measured
    has `samples` 0.

    Attributes:
        load_s: Loading or compiling it, cold; 0 where that is not known.
        first_s: The first run after that.
        memory_bytes: What the process grew by when it was loaded and had run once.
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

    `layers_s` are the engine's own per-layer times of the whole network. `device_factor` is 1, or the emulated
    slow-down that was in force while measuring.
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
    """

    bandwidth_bps: float
    rtt_s: float
    spread_bps: float = 0.0
    spread_s: float = 0.0
    measured_at_s: float = 0.0
    samples: int = 0


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
    """One way to do it: a cut, a codec, a variant; with its predicted steps and, where it lost, the reason."""

    cut_id: str
    codec: str
    variant_id: str
    payload_bytes: int
    steps: Steps
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Constraints:
    """What a plan must respect. `privacy_floor` is a cut id: no cut with a smaller index may be chosen."""

    deadline_s: float | None = None
    privacy_floor: str | None = None
    codecs: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The chosen cut, codec and variant, and the alternatives that lost, best first, each with its reason."""

    chosen: Choice
    rejected: tuple[Choice, ...]
    link: LinkEstimate
