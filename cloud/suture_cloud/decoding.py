"""Payload to tensors, in a worker thread: by the codec, or by the cloud's own intake where a file was sent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture_cloud.admission import Admitted
from suture_cloud.executor import TailRequest
from suture_protocol import codes
from suture_protocol.errors import CodecError, InputRefused, Refused
from suture_protocol.events import Priority
from suture_protocol.payload import unpack

# A file's name may name a patient, and does not cross the wire; messages need some name all the same.
_UPLOAD_NAME = "the uploaded file"


def decode(admitted: Admitted, payload: memoryview) -> TailRequest:
    """The tail's request.

    Raises:
        Refused: the payload is damaged (`bad_payload`), or the file in it cannot be used (`bad_input`).
    """
    start = admitted.start
    try:
        if admitted.codec is None:
            tensors: tuple[NDArray[Any], ...] = (_read_file(admitted, payload),)
        else:
            tensors = unpack(start.tensors, payload, admitted.codec)
    except CodecError as error:
        raise Refused(codes.BAD_PAYLOAD, str(error), request_id=start.request_id) from error
    except InputRefused as error:
        raise Refused(codes.BAD_INPUT, str(error), request_id=start.request_id) from error
    return TailRequest(
        bundle_digest=start.bundle_digest,
        cut_id=start.cut_id,
        variant_id=start.variant_id,
        tensors=tensors,
        urgent=start.priority > Priority.ROUTINE,
    )


def _read_file(admitted: Admitted, payload: memoryview) -> NDArray[Any]:
    from suture_models.intake import read_input
    from suture_models.preprocess import preprocess

    network = admitted.bundle.manifest.network
    values = preprocess(read_input(bytes(payload), _UPLOAD_NAME), network)
    if values.shape != network.input.shape or values.dtype != np.dtype(network.input.dtype):
        raise InputRefused(_UPLOAD_NAME, f"does not become the input of {network.name}")
    return values
