"""Damages inputs by the million: `python -m tests.protocol.fuzz --inputs 1000000`.

Every decoder in turns, that of each codec, of tables files and of frames, gets inputs that were damaged, joined from
two, made of noise, or declared as another tensor. It must refuse them with the error that it promises, or give exactly
what was declared: any other exception ends the run and names the input, one that takes too long is ended with its
traceback, and the process must not grow: neither by what it touches nor by what it only reserves.
"""

from __future__ import annotations

import faulthandler
import resource
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from suture_protocol import frames
from suture_protocol.codecs.registry import codec_of
from suture_protocol.codecs.tables import TensorTables
from suture_protocol.codecs.tablesfile import TablesFile
from suture_protocol.errors import CodecError
from tests.protocol.fuzz_inputs import DECODERS, FRAMES, TABLES, Sound, damaged, sample, sound_inputs
from tests.protocol.tables_samples import codec_at

#: No decoder computes so long for an input of this size (seconds of the processor, whatever else it does).
HANG_S: Final = 5.0
#: By so much the process may grow, in memory touched and in memory reserved: what libraries keep, and one small tensor.
#: A payload that claims more than it is allowed to claims at least as much.
GROWTH_BYTES: Final = 16 * 1024 * 1024
_TOLD_EVERY: Final = 100_000


@dataclass(slots=True)
class Found:
    """What became of a run's inputs."""

    inputs: int = 0
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DECODERS, 0))
    longest_s: float = 0.0
    touched_bytes: int = 0
    reserved_bytes: int = 0


def fuzz(inputs: int, seed: int, first: int = 0) -> Found:
    """Runs so many inputs, from the `first` of `seed` on; input n of a seed is always the same.

    Raises:
        AssertionError: a decoder gave something else than was declared, or the process grew too much.
        Exception: what a decoder raised that it does not promise.
    """
    sound = sound_inputs()
    for every in sound.values():
        for one in every:  # what libraries take once does not count as growth
            assert not refused(one, one.payload, one.shape, one.dtype), one
    before = _peaks()
    found = Found()
    faulthandler.register(signal.SIGPROF, chain=True)
    for number in range(first, first + inputs):
        signal.setitimer(signal.ITIMER_PROF, HANG_S)
        rng = np.random.default_rng((seed, number))
        of_decoder = sound[DECODERS[number % len(DECODERS)]]
        one = of_decoder[number // len(DECODERS) % len(of_decoder)]
        payload, shape, dtype = damaged(one, of_decoder, rng)
        start_s = time.process_time()
        try:
            found.refused[one.decoder] += refused(one, payload, shape, dtype)
        except BaseException:
            sys.stderr.write(f"input {number} of seed {seed}: {one.decoder}, {payload.hex()} as {dtype} {shape}\n")
            raise
        found.longest_s = max(found.longest_s, time.process_time() - start_s)
        found.inputs += 1
        if found.inputs % _TOLD_EVERY == 0:
            sys.stderr.write(f"{found.inputs:,} inputs\n")
    signal.setitimer(signal.ITIMER_PROF, 0)
    found.touched_bytes, found.reserved_bytes = (now - then for now, then in zip(_peaks(), before, strict=True))
    assert max(found.touched_bytes, found.reserved_bytes) <= GROWTH_BYTES, f"the process grew: {found}"
    return found


def refused(one: Sound, payload: bytes, shape: tuple[int, ...], dtype: str) -> bool:
    """Whether the decoder of `one` refuses an input; what it gives otherwise is checked."""
    promised = ValueError if one.decoder == FRAMES else CodecError
    try:
        if one.decoder == FRAMES:
            frames.decode(payload)
            return False
        if one.decoder == TABLES:
            file = TablesFile(payload)
            read = [file.tensor(key) for key in file.keys]
        else:
            decoded = codec_at(one.decoder, shape).decode(payload, shape, dtype)
            assert (decoded.shape, decoded.dtype.name) == (shape, dtype), decoded
            return False
    except promised:
        return True
    for tables in read:
        _use(tables, shape)
    return False


def _use(tables: TensorTables | None, shape: tuple[int, ...]) -> None:
    """With tables that were read codes of `shape` cross losslessly, and narrowed ones within what they take."""
    codes = sample(shape, "uint8")
    small, narrow = (codec_of(spec, tables=(tables,)) for spec in ("lossless-small", "narrow@1"))
    assert np.array_equal(small.decode(small.encode(codes), shape, "uint8"), codes)
    if narrow.accepts(shape, "uint8"):
        narrow.decode(narrow.encode(codes), shape, "uint8")


def main(
    inputs: Annotated[int, typer.Option(min=1, help="How many inputs, over all decoders.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Of the damage.")] = 1,
    first: Annotated[int, typer.Option(min=0, help="The first input of the seed, to go on or to see one again.")] = 0,
) -> None:
    """Fuzzes the decoders and says what became of the inputs."""
    found = fuzz(inputs, seed, first)
    share = [
        f"{decoder} {100 * count * len(DECODERS) / inputs:.0f} %" for decoder, count in found.refused.items() if count
    ]
    never = [decoder for decoder, count in found.refused.items() if not count]
    sys.stdout.write(
        f"{inputs:,} inputs of seed {seed} from {first:,} in {time.process_time():.0f} s of one processor.\n"
        f"Refused: {', '.join(share)}; never: {', '.join(never) or 'none'}; the others gave what was declared.\n"
        f"Longest {found.longest_s * 1e3:.1f} ms; the process touched {found.touched_bytes / 1e6:.1f} MB more and "
        f"reserved {found.reserved_bytes / 1e6:.1f} MB more; allowed are {GROWTH_BYTES / 1e6:.0f} MB.\n"
    )


def _peaks() -> tuple[int, int]:
    """The most memory that this process ever touched and ever reserved, in bytes; the former twice but on Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        touched = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return touched, touched
    kib = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
    touched, reserved = (1024 * int(kib[name].split()[0]) for name in ("VmHWM", "VmPeak"))
    return touched, reserved


if __name__ == "__main__":
    typer.run(main)
