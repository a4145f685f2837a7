"""How a bundle's measured losses by narrower codes are shown: JSON for programs, words and cells for people."""

from __future__ import annotations

from typing import Any, Final

from suture_models.accuracy import Accuracy, WidthLoss, upper_bound
from suture_models.manifest import NetworkSpec

#: The share of changed answers up to which a width is shown as usable.
SHOWN_BUDGET: Final = 0.01


def described(accuracy: Accuracy) -> dict[str, Any]:
    """The `accuracy` of `inspect --json` and `annotate --json`: every cut and width, and the narrowest within 1 %."""
    return {
        "variant": accuracy.variant_id,
        "inputs": accuracy.inputs,
        "origin": accuracy.origin,
        "versions": dict(accuracy.versions),
        "budget": SHOWN_BUDGET,
        "cuts": {
            cut_id: {
                "narrowest": accuracy.narrowest(cut_id, SHOWN_BUDGET),
                "widths": {str(bits): _loss(loss, accuracy.inputs) for bits, loss in losses.items()},
            }
            for cut_id, losses in accuracy.cuts.items()
        },
        "points": {
            cut_id: {f"narrow@{point}": _loss(loss, accuracy.inputs) for point, loss in losses.items()}
            for cut_id, losses in accuracy.points.items()
        },
    }


def in_words(accuracy: Accuracy, network: NetworkSpec) -> str:
    """How it was measured, and what the shares can and cannot tell."""
    bound = upper_bound(0.0, accuracy.inputs)
    counted = "mean 1 - Dice" if network.output == "mask" else f"0 of {accuracy.inputs} is below {bound:.1%} at 95 %"
    random = "" if network.weights == "trained" else "; random weights: their answers mean nothing"
    return (
        f"narrower codes: {accuracy.variant_id}, {accuracy.inputs} inputs ({accuracy.origin}); {counted}{random}. "
        "Measure with your own: suture annotate BUNDLE --images DIR"
    )


def cell(accuracy: Accuracy, cut_id: str) -> str:
    """The narrowest width of a cut that changes at most 1 % of the answers, with that share."""
    bits = accuracy.narrowest(cut_id, SHOWN_BUDGET)
    if cut_id not in accuracy.cuts:
        return ""
    return "8 bit" if bits is None else f"{bits} bit ({accuracy.changed_share(cut_id, bits):.1%})"


def _loss(loss: WidthLoss, inputs: int) -> dict[str, Any]:
    return {
        "changed_share": loss.changed_share,
        "changed_share_upper_95": None
        if loss.changed_share is None
        else round(upper_bound(loss.changed_share, inputs), 4),
        "output_error": loss.output_error,
        "payload_bytes": loss.payload_bytes,
    }
