"""What an image costs a unit's battery, in joules, from published measurements of boards and radios.

    joules = compute power × time of preprocessing, head and encoding
           + (idle power + radio's base power) × air time + radio's energy per bit × bits
           + idle power × waiting (round trip, queue, decoding and tail on the cloud)

Compute power with n of a board's cores at work is taken as idle power + n / cores of the rise from idle to all cores
loaded: Kaup, Gottschling and Hausheer, "PowerPi: measuring and modeling the power consumption of the Raspberry Pi"
(IEEE LCN 2014, doi:10.1109/LCN.2014.6925777), model a board's power by its processor and network utilisation. A first
busy core wakes what all share, so for one thread this is rather too low than too high.

Not counted, because it is the same for a whole series or not the image's own: what a radio draws before and after it
(the LTE radio below stays awake for 11.6 s at 1.06 W after its last packet: 12.3 J, more than most images), screens,
detectors and chargers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from suture_protocol.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Radio:
    """A radio that sends: power = `base_w` + `joule_per_bit` × rate, above the board's own.

    Attributes:
        tail_j: What it spends after the last packet of a series; told, not counted.
    """

    name: str
    base_w: float
    joule_per_bit: float
    tail_j: float
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """A board's power at its supply: idle, and with all cores loaded; nothing but a network attached.

    Attributes:
        bound: In words, where a figure is only a bound; empty where it was measured.
    """

    name: str
    idle_w: float
    busy_w: float
    cores: int
    source: str
    bound: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerModel:
    """A board with a radio."""

    board: Board
    radio: Radio

    def compute_w(self, threads: int) -> float:
        """The board's power with so many threads at work, in watts."""
        share = min(threads, self.board.cores) / self.board.cores
        return self.board.idle_w + share * (self.board.busy_w - self.board.idle_w)

    def joules(self, compute_w: Any, edge_s: Any, air_s: Any, bits: Any, wait_s: Any) -> Any:
        """Energy of one image; numbers and arrays alike.

        Args:
            compute_w: `compute_w(threads)` of the variant.
            edge_s: Preprocessing, head and encoding.
            air_s: How long the payload is on the air.
            bits: The payload's.
            wait_s: All else until the result.
        """
        idle_w = self.board.idle_w
        sent_j = (idle_w + self.radio.base_w) * air_s + self.radio.joule_per_bit * bits
        return compute_w * edge_s + sent_j + idle_w * wait_s

    @property
    def in_words(self) -> str:
        """Where the figures come from and what they leave out, in a sentence or two."""
        board, radio = self.board, self.radio
        bound = f" ({board.bound})" if board.bound else ""
        after = f"; the {radio.tail_j:.3g} J that it spends after a series are not counted" if radio.tail_j else ""
        return (
            f"Energy by published figures: {board.name} {board.idle_w:g} W idle, {board.busy_w:g} W with all"
            f" {board.cores} cores loaded{bound}, {board.source}; {radio.name} {radio.base_w:.3g} W and"
            f" {1e6 * radio.joule_per_bit:.3g} J per Mbit, {radio.source}{after}."
        )


_PIDRAMBLE: Final = "J. Geerling, Pi Dramble, power consumption benchmarks (idle; stress --cpu 4)"
_HUANG: Final = "Huang et al., MobiSys 2012, doi:10.1145/2307636.2307658, tables 3 and 4 (uplink)"

#: The presets of `suture_simulators.devices` for which figures are published; the others are left out, not guessed.
BOARDS: Final[Mapping[str, Board]] = MappingProxyType(
    {
        board.name: board
        for board in (
            Board(
                name="pi-zero-2",
                idle_w=0.60,
                busy_w=1.75,
                cores=4,
                source="CNX Software, 9 December 2021 (idle); Raspberry Pi documentation, power supply (350 mA at 5 V)",
                bound="1.75 W is its typical active draw, a lower bound for all cores",
            ),
            Board(name="pi-3b-plus", idle_w=1.9, busy_w=5.1, cores=4, source=_PIDRAMBLE),
            Board(name="pi-4", idle_w=2.7, busy_w=6.4, cores=4, source=_PIDRAMBLE),
            Board(
                name="rk3588",
                idle_w=5.0,
                busy_w=12.0,
                cores=4,
                source="Turing Machines, RK1 compute module benchmarks (4-5 W idle, 10-12 W under full load)",
                bound="upper ends of both ranges, all of the rise given to the four fast cores: an upper bound",
            ),
        )
    }
)

#: Fitted to phones on networks whose uplinks had a median of 6 Mbit/s; at far higher rates rather too high.
RADIOS: Final[Mapping[str, Radio]] = MappingProxyType(
    {
        radio.name: radio
        for radio in (
            Radio(name="lte", base_w=1.28804, joule_per_bit=0.43839e-6, tail_j=1.060 * 11.576, source=_HUANG),
            Radio(name="wifi", base_w=0.13286, joule_per_bit=0.28317e-6, tail_j=0.0, source=_HUANG),
        )
    }
)
DEFAULT_RADIO: Final = "lte"


def power_model(name: str) -> PowerModel:
    """The power model `BOARD` (with an LTE radio) or `BOARD/RADIO`, e.g. `pi-4/wifi`.

    Raises:
        UsageError: nothing is published for that board or radio; lists those that there are.
    """
    board, _, radio = name.partition("/")
    radio = radio or DEFAULT_RADIO
    if board not in BOARDS:
        raise UsageError(f"no published power figures of a board {board!r}; there are: {', '.join(BOARDS)}")
    if radio not in RADIOS:
        raise UsageError(f"no published power figures of a radio {radio!r}; there are: {', '.join(RADIOS)}")
    return PowerModel(board=BOARDS[board], radio=RADIOS[radio])
