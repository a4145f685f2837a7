"""Damages payloads by the million: `python -m tests.protocol.fuzz --inputs 1000000`.

Every codec's decoder, in turns, gets payloads that were damaged, joined from two, made of noise, or declared as another
tensor. It must raise CodecError or give an array of the declared shape and dtype: any other exception ends the run and
names the seed, a decoder that does not come back is ended with its traceback, and what the process grew by is told.
"""

from __future__ import annotations

import faulthandler
import resource
import sys
import time
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

from suture_protocol.errors import CodecError
from tests.protocol.tables_samples import SPECS, codec_at

#: No decoder takes so long for an input of this size.
HANG_S: Final = 20.0
#: The process may grow by this: what libraries keep, and one decoded tensor.
GROWTH_BYTES: Final = 64 * 1024 * 1024
_SHAPES: Final = ((1, 1, 24, 31), (1, 3, 17, 8), (1, 32, 7, 7), (1, 4, 9, 16), (1, 16))
_DTYPES: Final = ("uint8", "uint16", "float32")
_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Sound:
    """A payload as its codec wrote it."""

    spec: str
    payload: bytes
    shape: tuple[int, ...]
    dtype: str


def sound_payloads() -> list[Sound]:
    """Of every codec, for every tensor that it takes."""
    found = []
    for spec in SPECS:
        for shape in _SHAPES:
            codec = codec_at(spec, shape)
            for dtype in _DTYPES:
                if codec.accepts(shape, dtype):
                    steps = np.random.default_rng(1).integers(-6, 7, shape)
                    array = (np.abs(np.cumsum(steps, axis=-1)) % 120).astype(dtype)
                    found.append(Sound(spec, codec.encode(array), shape, dtype))
    return found


def damaged(sound: Sound, others: list[Sound], rng: np.random.Generator) -> tuple[bytes, tuple[int, ...], str]:
    """A payload with something wrong, and the tensor it is declared as."""
    payload = bytearray(sound.payload)
    shape, dtype = sound.shape, sound.dtype
    kind = int(rng.integers(0, 8))
    at = int(rng.integers(0, max(len(payload), 1)))
    if kind <= 2 and payload:  # most often: a few bytes are others
        for place in rng.integers(0, len(payload), int(rng.integers(1, 6))):
            payload[place] = int(rng.integers(0, 256))
    elif kind == 3:
        del payload[at:]
    elif kind == 4:
        payload[at:at] = rng.bytes(int(rng.integers(1, 20)))
    elif kind == 5:
        other = others[int(rng.integers(0, len(others)))].payload
        payload[at:] = other[int(rng.integers(0, max(len(other), 1))) :]
    elif kind == 6:
        payload = bytearray(rng.bytes(int(rng.integers(0, 300))))
    else:
        declared = others[int(rng.integers(0, len(others)))]
        shape, dtype = declared.shape, declared.dtype
    return bytes(payload), shape, dtype


def fuzz(inputs: int, seed: int) -> dict[str, Any]:
    """Runs so many inputs.

    Raises:
        AssertionError: a decoder gave something else than was declared, or the process grew too much.
        Exception: what a decoder raised that is no CodecError.
    """
    sound = sound_payloads()
    rng = np.random.default_rng(seed)
    refused: dict[str, int] = dict.fromkeys(SPECS, 0)
    longest_s, before = 0.0, _peak_bytes()
    for number in range(inputs):
        if number % _BATCH == 0:
            faulthandler.dump_traceback_later(HANG_S, exit=True)
        one = sound[number % len(sound)]
        payload, shape, dtype = damaged(one, sound, rng)
        start_s = time.perf_counter()
        try:
            decoded: NDArray[Any] = codec_at(one.spec, shape).decode(payload, shape, dtype)
        except CodecError:
            refused[one.spec] += 1
        else:
            assert (decoded.shape, decoded.dtype.name) == (shape, dtype), (one.spec, payload.hex(), shape, dtype)
        longest_s = max(longest_s, time.perf_counter() - start_s)
    faulthandler.cancel_dump_traceback_later()
    grown = _peak_bytes() - before
    assert grown <= GROWTH_BYTES, f"the process grew by {grown / 1e6:.0f} MB"
    return {"inputs": inputs, "refused": refused, "longest_s": longest_s, "grown_bytes": grown}


def main(
    inputs: Annotated[int, typer.Option(min=1, help="How many inputs, over all codecs.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Of the damage.")] = 1,
) -> None:
    """Fuzzes the decoders and says what became of the inputs."""
    start_s = time.perf_counter()
    try:
        found = fuzz(inputs, seed)
    except BaseException:
        sys.stderr.write(f"failed with --inputs {inputs} --seed {seed}\n")
        raise
    refused = ", ".join(f"{spec} {count}" for spec, count in found["refused"].items())
    sys.stdout.write(
        f"{inputs:,} inputs in {time.perf_counter() - start_s:.0f} s; refused: {refused}; the others gave what "
        f"was declared. Longest {found['longest_s'] * 1e3:.1f} ms; the process grew by "
        f"{found['grown_bytes'] / 1e6:.1f} MB.\n"
    )


def _peak_bytes() -> int:
    """The most this process ever held; Linux tells it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    typer.run(main)
