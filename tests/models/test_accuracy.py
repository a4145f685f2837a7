"""What a bundle's annotations say of narrower codes: counting changed answers, bounds, strict reading."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suture_models.accuracy import (
    ANNOTATIONS_NAME,
    Accuracy,
    WidthLoss,
    changed,
    output_error,
    read_accuracy,
    upper_bound,
    write_accuracy,
)
from suture_models.bundle import Bundle, open_bundle
from suture_models.manifest import NetworkSpec, OutputKind, Preprocess, TensorSpec
from suture_protocol.errors import BundleError
from tests.cloud.harness import write_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


def loss(share: float | None, error: float = 0.01) -> WidthLoss:
    return WidthLoss(changed_share=share, output_error=error, payload_bytes=100)


def accuracy(digest: str, **widths: WidthLoss) -> Accuracy:
    """Of one cut `mid`, its widths given as `w4=…`."""
    return Accuracy(
        bundle_digest=digest,
        variant_id="numpy-int8",
        inputs=64,
        origin="drawn",
        versions={"suture": "1"},
        cuts={"mid": {int(name[1:]): found for name, found in widths.items()}},
    )


def network(output: OutputKind, labels: int = 3, threshold: float = 0.5) -> NetworkSpec:
    return NetworkSpec(
        name="n",
        kind="image",
        input=TensorSpec(name="image", shape=(1, 1, 4, 4), dtype="uint8"),
        preprocess=Preprocess(size=(4, 4), channels=1),
        output=output,
        labels=tuple(map(str, range(labels))),
        weights="random",
        threshold=threshold,
    )


def test_what_is_written_is_read_again_and_leaves_the_digest_alone(bundle: Bundle) -> None:
    assert read_accuracy(bundle) is None
    wanted = accuracy(bundle.digest, w6=loss(0.0), w4=loss(None))
    write_accuracy(bundle, wanted)
    assert read_accuracy(bundle) == wanted
    assert open_bundle(bundle.path).digest == bundle.digest
    assert [path.name for path in bundle.path.iterdir() if path.name.endswith(".part")] == []


def test_annotations_of_another_bundle_are_refused_both_ways(bundle: Bundle, tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "other", "other")
    with pytest.raises(BundleError, match="do not belong"):
        write_accuracy(bundle, accuracy(other.digest))
    write_accuracy(other, accuracy(other.digest))
    (other.path / ANNOTATIONS_NAME).rename(bundle.path / ANNOTATIONS_NAME)
    with pytest.raises(BundleError, match=rf"measured for bundle {other.digest[:12]}, this is .*suture annotate"):
        read_accuracy(bundle)


def damage(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], None]:
    def apply(body: dict[str, Any]) -> None:
        change(body["accuracy"])

    return apply


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.update(format="other"),
        lambda body: body.update(format_version=2),
        lambda body: body.pop("accuracy"),
        damage(lambda raw: raw.pop("inputs")),
        damage(lambda raw: raw.update(inputs=0)),
        damage(lambda raw: raw.update(inputs="64")),
        damage(lambda raw: raw.update(extra=1)),
        damage(lambda raw: raw.update(variant_id=None)),
        damage(lambda raw: raw.update(cuts=[])),
        damage(lambda raw: raw["versions"].update(torch=2)),
        damage(lambda raw: raw["cuts"]["mid"].update({"8": raw["cuts"]["mid"]["4"]})),
        damage(lambda raw: raw["cuts"]["mid"].update({"04": raw["cuts"]["mid"]["4"]})),
        damage(lambda raw: raw["cuts"]["mid"]["4"].update(changed_share=1.5)),
        damage(lambda raw: raw["cuts"]["mid"]["4"].update(changed_share=float("nan"))),
        damage(lambda raw: raw["cuts"]["mid"]["4"].update(changed_share=True)),
        damage(lambda raw: raw["cuts"]["mid"]["4"].update(output_error=-0.1)),
        damage(lambda raw: raw["cuts"]["mid"]["4"].update(payload_bytes=-1)),
        damage(lambda raw: raw["cuts"]["mid"]["4"].pop("output_error")),
    ],
)
def test_damaged_annotations_are_refused_with_the_file_and_what_to_do(bundle: Bundle, spoil) -> None:
    write_accuracy(bundle, accuracy(bundle.digest, w4=loss(0.0)))
    path = bundle.path / ANNOTATIONS_NAME
    body = json.loads(path.read_text())
    spoil(body)
    path.write_text(json.dumps(body))
    with pytest.raises(BundleError, match=r"annotations\.json is damaged .*suture annotate"):
        read_accuracy(bundle)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(bundle: Bundle, text: bytes) -> None:
    (bundle.path / ANNOTATIONS_NAME).write_bytes(text)
    with pytest.raises(BundleError, match=r"annotations\.json"):
        read_accuracy(bundle)


def test_only_measured_widths_have_a_share_and_the_full_one_changes_nothing() -> None:
    found = accuracy("d", w6=loss(0.0), w4=loss(0.03))
    assert found.changed_share("mid", 8) == 0.0
    assert found.changed_share("mid", 4) == 0.03
    assert found.changed_share("mid", 5) is None
    assert found.changed_share("elsewhere", 4) is None
    assert accuracy("d", w4=loss(None)).changed_share("mid", 4) is None


def test_a_narrower_width_that_changed_fewer_by_luck_is_not_believed() -> None:
    found = accuracy("d", w6=loss(0.0), w5=loss(0.05), w4=loss(0.0))
    assert found.changed_share("mid", 4) == 0.05
    assert found.narrowest("mid", 0.01) == 6
    assert found.narrowest("mid", 0.05) == 4
    assert accuracy("d", w6=loss(0.05)).narrowest("mid", 0.01) is None
    assert found.narrowest("elsewhere", 1.0) is None


@pytest.mark.parametrize(
    ("share", "inputs", "bound"),
    [(0.0, 64, 0.0457), (0.0, 300, 0.00994), (0.1, 10, 0.3942), (0.5, 20, 0.6980), (1.0, 5, 1.0)],
)
def test_the_upper_bound_is_clopper_and_pearsons(share: float, inputs: int, bound: float) -> None:
    # One-sided 95 %: the beta distribution's 0.95 quantile with k + 1 and n - k.
    assert upper_bound(share, inputs) == pytest.approx(bound, abs=2e-4)


def test_classes_count_where_the_largest_is_another_one() -> None:
    wanted = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    found = np.array([[1.0, 2.9, 3.0], [3.0, 3.1, 1.0]])
    np.testing.assert_array_equal(changed(found, wanted, network("classes")), [0, 1])


def test_of_two_classes_the_threshold_decides_and_not_the_larger_one() -> None:
    logits = np.array([[0.0, -0.5], [0.0, -1.0], [0.0, 0.5]])
    wanted = np.full((3, 2), [0.0, -0.7])  # a probability of 0.33, above the threshold
    np.testing.assert_array_equal(changed(logits, wanted, network("classes", 2, threshold=0.3)), [0, 1, 0])


def test_masks_count_by_what_of_them_does_not_overlap() -> None:
    wanted = np.zeros((3, 1, 2, 2))
    found = np.zeros((3, 1, 2, 2))
    wanted[0, 0, 0], found[0, 0, 0, 0] = 0.9, 0.9  # two pixels against one of them: Dice 2/3
    wanted[1, 0, 0, 0], found[1, 0, 1, 1] = 0.5, 0.5
    np.testing.assert_allclose(changed(found, wanted, network("mask", 1)), [1 / 3, 1, 0])


def test_an_output_that_is_no_answer_has_no_share() -> None:
    assert changed(np.zeros((1, 4)), np.ones((1, 4)), network("tensor")) is None


def test_the_output_error_is_relative_and_the_median_over_inputs() -> None:
    wanted = np.array([[3.0, 4.0], [1.0, 0.0], [2.0, 0.0]])
    assert output_error(wanted * [[1.1], [1.2], [9.0]], wanted) == pytest.approx(0.2)


def test_reading_needs_no_torch(bundle: Bundle) -> None:
    write_accuracy(bundle, dataclasses.replace(accuracy(bundle.digest, w4=loss(0.0))))
    code = (
        "import sys; from pathlib import Path; from suture_models.accuracy import read_accuracy;"
        "from suture_models.bundle import open_bundle;"
        f"print(read_accuracy(open_bundle(Path({str(bundle.path)!r}))).inputs, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["64", "False"]
