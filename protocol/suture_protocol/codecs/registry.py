"""Codecs by id, and by spec: the id with the width of the codes, `zstd@4`. Adding one is one file and one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.fast import LosslessFastCodec
from suture_protocol.codecs.jpeg import JpegCodec
from suture_protocol.codecs.jpegls import JpegLsCodec
from suture_protocol.codecs.jpegxl import JpegXlCodec
from suture_protocol.codecs.narrow import FULL_BITS, MIN_BITS
from suture_protocol.codecs.narrowed import NarrowCodec
from suture_protocol.codecs.raw import RawCodec
from suture_protocol.codecs.small import LosslessSmallCodec
from suture_protocol.codecs.tables import TensorTables
from suture_protocol.codecs.webp import WebpCodec
from suture_protocol.codecs.zstd import ZstdCodec
from suture_protocol.errors import CodecError

#: Class and the settings it takes, all whole numbers. The libraries are imported when a codec is first used.
_CODECS: Final[Mapping[str, tuple[Callable[..., Codec], tuple[str, ...]]]] = {
    "raw": (RawCodec, ()),
    "zstd": (ZstdCodec, ("level", "bits")),
    "jpegls": (JpegLsCodec, ()),
    "jpeg": (JpegCodec, ("quality",)),
    "webp": (WebpCodec, ("quality",)),
    "jpegxl": (JpegXlCodec, ("effort",)),
    "lossless-fast": (LosslessFastCodec, ()),
    "lossless-small": (LosslessSmallCodec, ()),
    "narrow": (NarrowCodec, ("point",)),
}

#: The setting that stands behind `@` in a spec.
_AT: Final = {"narrow": "point"}

#: The tables of the tensors that cross one cut, in their order; none where the bundle has none for one.
CutTables = Sequence[TensorTables | None]

#: What a split is compared with and no unit sends by itself; a cloud takes them only where it was started for
#: experiments, so that their decoders are no part of what a hospital exposes.
EXPERIMENT_CODECS: Final = frozenset({"webp", "jpegxl"})


def codec_ids() -> tuple[str, ...]:
    """The ids of all codecs."""
    return tuple(_CODECS)


def get_codec(codec_id: str, config: Mapping[str, str] | None = None, tables: CutTables = ()) -> Codec:
    """The codec `codec_id` with the settings of `config`, as they come off the wire.

    Args:
        codec_id: One of `codec_ids`.
        config: Settings, as strings.
        tables: What the bundle knows of the tensors that cross the cut; the same on both sides.

    Raises:
        CodecError: no such codec, no such setting, or a value it does not take.
    """
    if codec_id not in _CODECS:
        raise CodecError(f"unknown codec {codec_id!r}; there are: {codecs_in_words()}")
    make, allowed = _CODECS[codec_id]
    settings: dict[str, int] = {}
    for name, text in (config or {}).items():
        if name not in allowed:
            raise CodecError(f"codec {codec_id} has no setting {name!r}; it has: {', '.join(allowed) or 'none'}")
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise CodecError(f"codec {codec_id}: {name} is a whole number, not {text[:20]!r}")
        settings[name] = int(text)
    if codec_id in _AT and _AT[codec_id] not in settings:
        raise CodecError(f"codec {codec_id} takes {_AT[codec_id]}, as in {codec_id}@1")
    return make(**settings).with_tables(tables)


def codec_of(spec: str, config: Mapping[str, str] | None = None, tables: CutTables = ()) -> Codec:
    """The codec that `spec` names: an id, with `@bits` behind it where codes are to be narrowed (`zstd@4`),
    or the operating point (`narrow@2`).

    It is what profiles, choices, plans and people write; on the wire go the codec's `id` and `config`.

    Args:
        spec: As `Codec.spec` gives it.
        config: Further settings.
        tables: As `get_codec` takes them.

    Raises:
        CodecError: no such codec, no such setting, or a width it does not narrow to.
    """
    codec_id, at, value = spec.partition("@")
    return get_codec(codec_id, {**(config or {}), **({_AT.get(codec_id, "bits"): value} if at else {})}, tables)


def codecs_in_words() -> str:
    """The codecs by spec, for help and messages."""
    narrowed = f"zstd@{MIN_BITS} to zstd@{FULL_BITS - 1} (narrower codes, lossy)"
    ids = [codec_id for codec_id in _CODECS if codec_id not in _AT]
    return ", ".join([*ids, narrowed, "narrow@1 and on (operating points of the bundle, lossy)"])


def default_codec(shape: tuple[int, ...], dtype: str, is_input: bool) -> str:
    """The lossless codec to use where nothing was measured: an image codec for an image at cut 0, else zstd."""
    return JpegLsCodec.id if is_input and JpegLsCodec().accepts(shape, dtype) else ZstdCodec.id
