"""The outputs of a LiteRT head in the order of its cut's boundary. Torch-free: build and edge read them alike."""

from __future__ import annotations

import re
from typing import Any

from suture_protocol.errors import BundleError


def ordered_outputs(interpreter: Any, count: int) -> list[Any]:
    """Details of a head's outputs, in the order in which the converted module returned them.

    The converter names them `output_0`, `output_1`, … in the file's signature; the interpreter's own list has no
    promised order, and names sorted as text would put `output_10` before `output_2`.

    Args:
        interpreter: An interpreter of `ai_edge_litert` or `tflite_runtime`.
        count: How many there should be.

    Raises:
        BundleError: the file's signature does not name `count` numbered outputs.
    """
    runner = interpreter.get_signature_runner()
    numbered = {_number(name): detail["index"] for name, detail in runner.get_output_details().items()}
    if sorted(numbered) != list(range(count)):
        raise BundleError(f"a LiteRT head names the outputs {sorted(numbered)}, its cut has {count}; build it again")
    details = {detail["index"]: detail for detail in interpreter.get_output_details()}
    return [details[numbered[place]] for place in range(count)]


def _number(name: str) -> int:
    found = re.fullmatch(r"output_(\d+)", name)
    return -1 if found is None else int(found[1])
