"""From a network's output tensors to what a person reads: probabilities by label, a mask beside the input's name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture_models.manifest import MASK_THRESHOLD, NetworkSpec


def readable(outputs: Mapping[str, NDArray[Any]], spec: NetworkSpec, stem: str, out: Path | None) -> dict[str, Any]:
    """The outputs as JSON values.

    A classifier gives its labels' probabilities (softmax), a mask the share of the image it covers and, where `out` is
    given, the PNG it was written to; any other tensor its shape.

    Args:
        outputs: The network's outputs by name, batch axis 1.
        spec: What they mean.
        stem: The input's name, for files; may name a folder within `out`.
        out: Directory for files, or None for none.
    """
    first = next(iter(outputs.values()))
    if spec.output == "classes":
        return dict(zip(spec.labels, probabilities(first), strict=True))
    if spec.output == "mask":
        return _mask(first, stem, out)
    return {name: {"shape": list(array.shape)} for name, array in outputs.items()}


def probabilities(logits_NK: NDArray[Any]) -> list[float]:
    """Softmax of the first row of logits."""
    logits = np.asarray(logits_NK, dtype=np.float64)[0]
    powers = np.exp(logits - logits.max())
    return [float(p) for p in powers / powers.sum()]


def _mask(mask_NCHW: NDArray[Any], stem: str, out: Path | None) -> dict[str, Any]:
    inside = np.asarray(mask_NCHW)[0, 0] >= MASK_THRESHOLD
    found: dict[str, Any] = {"area_fraction": float(inside.mean())}
    if out is not None:
        from PIL import Image

        path = out / f"{stem}_mask.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        # A reader sees the mask before or this one, never half of it.
        part = path.with_name(f".{path.name}.part")
        Image.fromarray(inside.astype(np.uint8) * 255).save(part, format="PNG")
        part.replace(path)
        found["mask"] = str(path)
    return found
