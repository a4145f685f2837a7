"""Whether a request may begin: its headers against the bundle's manifest, before anything is allocated for it."""

from __future__ import annotations

from dataclasses import dataclass

from suture_cloud.holdings import Holdings
from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, TensorSpec, Variant
from suture_models.tables import BundleTables
from suture_protocol import codes
from suture_protocol.checks import decoded_bytes
from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.registry import EXPERIMENT_CODECS, codec_ids, get_codec
from suture_protocol.errors import BundleError, CodecError, Refused
from suture_protocol.events import Kind, Start, TensorHeader
from suture_protocol.service import FILE_CODEC


@dataclass(frozen=True, kw_only=True, slots=True)
class Admitted:
    """A request whose headers fit. `codec` is None where the payload is a file for the cloud's own intake.

    `memory_bytes` is what it may take here: the payload, the tensors decoded from it, and the network's outputs.
    """

    start: Start
    bundle: Bundle
    cut: Cut
    codec: Codec | None
    memory_bytes: int


def admit(start: Start, holdings: Holdings, *, allow_files: bool) -> Admitted:
    """Checks the headers of a request.

    Raises:
        Refused: they name what is not here or do not fit; code and message say which and what there is.
    """
    bundle = holdings.get(start.bundle_digest, request_id=start.request_id)
    if start.kind is not Kind.INFER:
        raise _refused(start, codes.UNSUPPORTED, f"this cloud does not answer {start.kind.name.lower()} requests yet")
    if start.upload_offset:
        raise _refused(start, codes.UNSUPPORTED, "this cloud keeps no partial uploads; send the payload from its start")
    cut = _cut(start, bundle)
    variant = _variant(start, bundle, cut)
    if start.codec == FILE_CODEC:
        _check_file(start, cut, allow_files=allow_files)
        codec = None
    else:
        codec = _codec(start, cut, holdings.tables(bundle, variant), allow_files=allow_files)
        _check_tensors(start, bundle, cut, variant, codec)
    # Checked codes are what the headers say; a file becomes the network's input.
    decoded = cut.boundary if codec is None else start.tensors
    kept = sum(decoded_bytes(tensor.shape, tensor.dtype) for tensor in (*decoded, *bundle.manifest.outputs))
    return Admitted(start=start, bundle=bundle, cut=cut, codec=codec, memory_bytes=start.payload_bytes + kept)


def _refused(start: Start, code: str, message: str) -> Refused:
    return Refused(code, message, request_id=start.request_id)


def _cut(start: Start, bundle: Bundle) -> Cut:
    try:
        return bundle.manifest.cut(start.cut_id)
    except KeyError:
        message = (
            f"bundle {bundle.name} has no cut {start.cut_id!r}; it has {len(bundle.manifest.cuts)}, "
            "which `suture inspect BUNDLE` lists"
        )
        raise _refused(start, codes.UNKNOWN_CUT, message) from None


def _variant(start: Start, bundle: Bundle, cut: Cut) -> Variant | None:
    if cut.id == INPUT_CUT and not start.variant_id:
        return None  # nothing ran on the edge
    try:
        variant = bundle.manifest.variant(start.variant_id)
    except KeyError:
        have = ", ".join(v.id for v in bundle.manifest.variants) or "none"
        message = f"bundle {bundle.name} has no artefact {start.variant_id!r}; it has: {have}"
        raise _refused(start, codes.UNKNOWN_VARIANT, message) from None
    if not variant.has_cut(cut):
        message = f"artefact {variant.id} of bundle {bundle.name} has no head for cut {cut.id!r}"
        raise _refused(start, codes.UNKNOWN_CUT, message)
    return variant


def _codec(start: Start, cut: Cut, tables: BundleTables, *, allow_files: bool) -> Codec:
    if start.codec not in codec_ids():
        message = f"the edge sends codec {start.codec!r}, the cloud has {', '.join(codec_ids())}; update the older side"
        raise _refused(start, codes.UNKNOWN_CODEC, message)
    if start.codec in EXPERIMENT_CODECS and not allow_files:
        message = f"this cloud takes codec {start.codec} only where it was started so that it allows files; use jpegls"
        raise _refused(start, codes.UNSUPPORTED, message)
    try:
        codec = tables.given_to(get_codec(start.codec, start.codec_config), cut)
    except CodecError as error:
        raise _refused(start, codes.UNKNOWN_CODEC, str(error)) from error
    except BundleError as error:
        raise _refused(start, codes.INTERNAL, f"the cloud cannot use its bundle: {error}") from error
    if not codec.suits(is_input=cut.id == INPUT_CUT):
        at_input = "narrows codes, not images" if codec.narrows else "is for codes, not images"
        allowed = at_input if cut.id == INPUT_CUT else f"is lossy and only for cut {INPUT_CUT!r}"
        message = f"codec {codec.spec} {allowed}; use a lossless one at {cut.id!r}"
        raise _refused(start, codes.UNSUPPORTED, message)
    return codec


def _check_tensors(start: Start, bundle: Bundle, cut: Cut, variant: Variant | None, codec: Codec) -> None:
    if len(start.tensors) != len(cut.boundary):
        message = f"cut {cut.id!r} of {bundle.name} has {len(cut.boundary)} tensors, the request {len(start.tensors)}"
        raise _refused(start, codes.BAD_TENSOR, message)
    for place, (spec, header) in enumerate(zip(cut.boundary, start.tensors, strict=True)):
        _check_tensor(start, cut, spec, _wire_dtype(spec, cut, variant), header)
        if codec.narrows and (variant is None or variant.quantiser(cut, spec) is None):
            message = f"codec {codec.spec} narrows codes; {spec.name} crosses cut {cut.id!r} as it is"
            raise _refused(start, codes.BAD_TENSOR, message)
        if not codec.of_tensor(place).accepts(header.shape, header.dtype):
            message = f"codec {codec.spec} takes no {_words(header.shape, header.dtype)}; use raw or zstd"
            raise _refused(start, codes.BAD_TENSOR, message)


def _wire_dtype(spec: TensorSpec, cut: Cut, variant: Variant | None) -> str:
    # Neither the input nor the network's outputs are ever quantised for the wire.
    return spec.dtype if variant is None or cut.id in (INPUT_CUT, LAST_CUT) else variant.wire_dtype(cut, spec)


def _check_tensor(start: Start, cut: Cut, spec: TensorSpec, dtype: str, header: TensorHeader) -> None:
    if header.shape != spec.shape or header.dtype != dtype:
        message = (
            f"tensor {spec.name} at cut {cut.id!r} is {_words(spec.shape, dtype)}, "
            f"the request sends {_words(header.shape, header.dtype)}"
        )
        raise _refused(start, codes.BAD_TENSOR, message)


def _check_file(start: Start, cut: Cut, *, allow_files: bool) -> None:
    if not allow_files:
        message = (
            "this cloud takes no files, because they carry the patient's identifiers; send a cut's tensors, "
            "or start the cloud so that it allows files, for an experiment without patient data"
        )
        raise _refused(start, codes.FILES_NOT_ALLOWED, message)
    if cut.id != INPUT_CUT:
        raise _refused(start, codes.UNSUPPORTED, f"a file is an input: cut {INPUT_CUT!r}, not {cut.id!r}")
    (header, *more) = start.tensors
    if more or header.dtype != "uint8" or header.shape != (header.payload_bytes,):
        message = "a file is one uint8 tensor whose shape is its number of bytes"
        raise _refused(start, codes.BAD_TENSOR, message)


def _words(shape: tuple[int, ...], dtype: str) -> str:
    return f"{dtype} {'x'.join(map(str, shape))}"
