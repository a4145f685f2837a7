"""What narrower codes cost a bundle's answers, as measured: `annotations.json` beside its manifest. Torch-free.

The digest does not cover that file (it covers what executes), so it can be measured again without a new bundle; it
names the digest of the bundle it was measured with. A bundle without it allows no narrowed codes.

Shares come from few inputs. None changed out of n still leaves, at 95 % confidence, a true share of up to about 3 / n
(`upper_bound`): 4.6 % for 64 inputs. And where the inputs are those that the network was calibrated with, as by
default, they are inside the quantisers' ranges by construction. Measure with your own (`suture annotate --images`).
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_models.bundle import Bundle
from suture_models.manifest import MASK_THRESHOLD, NetworkSpec
from suture_protocol.codecs.narrow import FULL_BITS, MIN_BITS
from suture_protocol.errors import BundleError

ANNOTATIONS_NAME: Final = "annotations.json"
FORMAT: Final = "suture-annotations"
FORMAT_VERSION: Final = 1
#: Operating points count from 1; no bundle has more.
MAX_POINT: Final = 255
#: Widths in bits that are measured, widest first.
WIDTHS: Final = (6, 5, 4, 3, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class WidthLoss:
    """What one width did at one cut, against the same codes at 8 bits.

    Attributes:
        changed_share: Share of the inputs with another answer: another largest class, the other side of the threshold
            where there are two; for masks 1 - Dice, averaged. None where the network's output is no answer.
        output_error: Relative L2 error of the outputs, the median over the inputs.
        payload_bytes: Median payload at this width by `zstd`, at this point by `narrow`.
    """

    changed_share: float | None
    output_error: float
    payload_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """The measured losses of one bundle.

    Attributes:
        bundle_digest: The bundle.
        variant_id: The artefact whose codes were narrowed; taken to hold for its other INT8 artefacts too.
        inputs: How many inputs each share is over.
        origin: Where they came from.
        versions: Versions of what computed.
        cuts: Cut id → width in bits → its loss. What is missing was not measured and may not be used.
        points: Cut id → operating point of `narrow` → its loss; likewise.
    """

    bundle_digest: str
    variant_id: str
    inputs: int
    origin: str
    versions: Mapping[str, str]
    cuts: Mapping[str, Mapping[int, WidthLoss]]
    points: Mapping[str, Mapping[int, WidthLoss]] = field(default_factory=dict)

    def changed_share(self, cut_id: str, bits: int) -> float | None:
        """The share of inputs whose answer changed, at `bits` or at any measured width above; None if not measured.

        With so few inputs a narrower width may have changed fewer by luck.
        """
        if bits >= FULL_BITS:
            return 0.0
        measured = self.cuts.get(cut_id, {})
        return _largest(measured, [width for width in measured if width >= bits]) if bits in measured else None

    def point_share(self, cut_id: str, point: int) -> float | None:
        """The same for an operating point of `narrow`, and any measured finer one."""
        measured = self.points.get(cut_id, {})
        return _largest(measured, [other for other in measured if other <= point]) if point in measured else None

    def narrowest(self, cut_id: str, budget: float) -> int | None:
        """The narrowest width at `cut_id` that changed at most `budget` of the answers; None where none did."""
        shares = {bits: self.changed_share(cut_id, bits) for bits in self.cuts.get(cut_id, {})}
        return min((bits for bits, share in shares.items() if share is not None and share <= budget), default=None)


def _largest(measured: Mapping[int, WidthLoss], among: list[int]) -> float | None:
    shares = [measured[one].changed_share for one in among]
    known = [share for share in shares if share is not None]
    return max(known) if len(known) == len(shares) else None


def upper_bound(share: float, inputs: int, confidence: float = 0.95) -> float:
    """The largest true share with which as few as `share` of `inputs` had still to be expected (Clopper and Pearson).

    One-sided: 1 - (1 - confidence)^(1/n), about 3/n, where none changed. Meant for shares that are counts, not for a
    mean of 1 - Dice.
    """
    changed = round(share * inputs)
    if changed >= inputs:
        return 1.0
    low, high = changed / inputs, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        seen = math.fsum(math.comb(inputs, k) * middle**k * (1 - middle) ** (inputs - k) for k in range(changed + 1))
        low, high = (middle, high) if seen > 1 - confidence else (low, middle)
    return high


def changed(found: NDArray[Any], wanted: NDArray[Any], network: NetworkSpec) -> NDArray[np.float64] | None:
    """How far each answer in `found` is another one than in `wanted`: 0 or 1 for classes, 1 - Dice for masks.

    Args:
        found: The network's first output for N inputs, batch axis leading.
        wanted: The same at 8 bits.
        network: Says what the output means; None is given back where it is no answer.
    """
    if network.output == "tensor":
        return None
    if network.output == "mask":
        inside = [np.asarray(a).reshape(len(a), -1) >= MASK_THRESHOLD for a in (found, wanted)]
        both, sizes = (inside[0] & inside[1]).sum(axis=1), inside[0].sum(axis=1) + inside[1].sum(axis=1)
        return np.asarray(1 - np.where(sizes, 2 * both / np.maximum(sizes, 1), 1.0))
    answers = [_answers(np.asarray(a, np.float64).reshape(len(a), -1), network) for a in (found, wanted)]
    return np.asarray(answers[0] != answers[1], np.float64)


def output_error(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Relative L2 error of the outputs in `found`, the median over the batch axis."""
    rows = [np.asarray(a, np.float64).reshape(len(a), -1) for a in (found, wanted)]
    norms = np.maximum(np.linalg.norm(rows[1], axis=1), 1e-30)
    return float(np.median(np.linalg.norm(rows[0] - rows[1], axis=1) / norms))


def _answers(logits_NK: NDArray[np.float64], network: NetworkSpec) -> NDArray[Any]:
    if logits_NK.shape[1] != 2:
        return np.asarray(logits_NK.argmax(axis=1))
    # Of two labels the second is the finding, from the threshold on its probability (softmax) upwards.
    limit = math.log(network.threshold / (1 - network.threshold)) if 0 < network.threshold < 1 else 0.0
    return np.asarray(logits_NK[:, 1] - logits_NK[:, 0] >= limit)


def read_accuracy(bundle: Bundle) -> Accuracy | None:
    """The accuracy annotated to `bundle`; None where it has no annotations.

    Raises:
        BundleError: the file beside the manifest cannot be read, is damaged, or belongs to another bundle.
    """
    path = bundle.path / ANNOTATIONS_NAME
    again = f"measure again with `suture annotate {bundle.path}`, or delete it to do without narrowed codes"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read ({error}); {again}") from error
    try:
        found = _from_json(text)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path} is damaged ({error}); {again}") from error
    if found.bundle_digest != bundle.digest:
        raise BundleError(
            f"{path} was measured for bundle {found.bundle_digest[:12]}, this is {bundle.digest[:12]}; {again}"
        )
    return found


def write_accuracy(bundle: Bundle, accuracy: Accuracy) -> None:
    """Writes `accuracy` beside the manifest of `bundle`; a reader sees the old file or the new one, never half of it.

    Raises:
        BundleError: it was measured for another bundle.
    """
    if accuracy.bundle_digest != bundle.digest:
        raise BundleError(f"annotations of bundle {accuracy.bundle_digest[:12]} do not belong to {bundle.path}")
    body = {"format": FORMAT, "format_version": FORMAT_VERSION, "accuracy": dataclasses.asdict(accuracy)}
    path = bundle.path / ANNOTATIONS_NAME
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps(body, sort_keys=True, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def _from_json(text: str) -> Accuracy:
    body = json.loads(text)
    if not isinstance(body, dict) or body.get("format") != FORMAT or body.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"not {FORMAT} version {FORMAT_VERSION}")
    raw = body["accuracy"]
    found = Accuracy(
        **{
            **raw,
            "versions": {_typed(k, str): _typed(v, str) for k, v in raw["versions"].items()},
            "cuts": {
                cut_id: {_width(bits): _loss(loss) for bits, loss in losses.items()}
                for cut_id, losses in raw["cuts"].items()
            },
            "points": {
                cut_id: {_point(point): _loss(loss) for point, loss in losses.items()}
                for cut_id, losses in raw.get("points", {}).items()
            },
        }
    )
    for name in ("bundle_digest", "variant_id", "origin"):
        _typed(getattr(found, name), str)
    if _typed(found.inputs, int) < 1:
        raise ValueError(f"{found.inputs} inputs")
    return found


def _loss(raw: Mapping[str, Any]) -> WidthLoss:
    loss = WidthLoss(**raw)
    share = loss.changed_share
    if share is not None and not 0 <= _typed(share, float) <= 1:
        raise ValueError(f"a changed share of {share}")
    if not 0 <= _typed(loss.output_error, float) < math.inf:
        raise ValueError(f"an output error of {loss.output_error}")
    if _typed(loss.payload_bytes, int) < 0:
        raise ValueError(f"a payload of {loss.payload_bytes} bytes")
    return loss


def _width(text: str) -> int:
    if text not in {str(bits) for bits in range(MIN_BITS, FULL_BITS)}:
        raise ValueError(f"codes of {text} bits")
    return int(text)


def _point(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_POINT):
        raise ValueError(f"an operating point {text!r}")
    return int(text)


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} where a {kind.__name__} belongs")
    return value
