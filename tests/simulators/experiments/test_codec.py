"""`codec` for real: a quick run over a small network, interrupted and gone on with; and labelled radiographs."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from suture_models.bundle import MANIFEST_NAME, Bundle, open_bundle
from suture_models.manifest import INPUT_CUT
from suture_protocol.codecs.zstd import ZstdCodec
from suture_protocol.errors import BundleError, UsageError
from suture_simulators.experiments.codec import Codecs, base_of, candidate_cuts, code_cut
from suture_simulators.experiments.codec_answers import measure_cut, measure_input
from suture_simulators.experiments.codec_desk import Desk
from suture_simulators.experiments.codec_report import sections
from suture_simulators.experiments.codec_rows import CHANGED, FLOAT, cut_rows
from suture_simulators.experiments.codec_scores import figures
from suture_simulators.experiments.codec_sizes import measure_sizes
from suture_simulators.experiments.codec_ways import all_ways
from suture_simulators.experiments.results import read
from suture_simulators.experiments.store import RESULTS
from suture_simulators.experiments.types import Point, PointRecord, Results, Sample, Settings, device_of
from tests.nets import images as drawn_images
from tests.processes import CHESTS

pytest.importorskip("imagecodecs", reason="needs the experiments' libraries: pip install 'suture[experiment]'")
pytest.importorskip("constriction", reason="needs the experiments' libraries: pip install 'suture[experiment]'")
pytest.importorskip("matplotlib", reason="needs the experiments' libraries: pip install 'suture[experiment]'")
pytest.importorskip("openvino", reason="needs openvino: pip install 'suture[edge]'")


def settings(bundle: Bundle, folder: Path, out: Path) -> Settings:
    paths = sorted(path for path in folder.rglob("*.png"))
    return Settings(
        experiment="codec",
        out=out,
        bundles={bundle.name: bundle.path},
        devices=(device_of("1"), device_of("8")),
        rates_bps=(1e6, 2e7),
        rtts_s=(0.04,),
        images={path.stem: path for path in paths},
        samples=2,
        quick=True,
    )


def pictures(folder: Path, labels: tuple[str, ...], count: int) -> Path:
    """Drawn images as files, by turns in folders named after the labels."""
    from PIL import Image

    for place, image in enumerate(drawn_images(count, seed=7)):
        parent = folder / labels[place % len(labels)].upper()
        parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0, 0]).save(parent / f"picture_{place}.png")
    return folder


def test_a_quick_run_is_interrupted_goes_on_and_tells_all(tiny_bundle: Bundle, tmp_path: Path) -> None:
    from suture_simulators.experiments.runner import run_experiment

    bundles = {tiny_bundle.name: tiny_bundle}
    chosen = settings(tiny_bundle, pictures(tmp_path / "images", ("normal", "abnormal"), 6), tmp_path / "out")
    said: list[str] = []

    def interrupting(done: int, _total: int, _left_s: float | None, text: str) -> None:
        if done == 2 and "turn" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(Codecs(), chosen, bundles, interrupting, said.append)
    half = read(chosen.out / RESULTS)
    assert not half.complete
    assert len(half.records) == 2

    told: list[str] = []
    found = run_experiment(Codecs(), chosen, bundles, lambda *_: told.append(_[3]), said.append)
    assert found.complete
    assert [record.took_s for record in found.records[:2]] == [record.took_s for record in half.records]
    assert not any(found.records[0].point.title in text for text in told)
    assert any("going on" in text for text in said)
    assert read(chosen.out / RESULTS).samples.keys() == found.samples.keys()
    _check_sizes(found, tiny_bundle)
    kinds = [record.notes["part"] for record in found.records]
    assert kinds.count("answers") == 3
    ways = all_ways(found)
    assert {way.cut for way in ways if not way.favourite} == {INPUT_CUT}
    assert len({way.cut for way in ways if way.favourite}) == 2
    assert all(way.loss is None for way in ways)  # three labels have no AUC
    assert sections(found)


def _check_sizes(found: Results, bundle: Bundle) -> None:
    rows = {row.cut: row for row in cut_rows(found)}
    assert list(rows) == [cut.id for cut in candidate_cuts(bundle.manifest)]
    assert any(len(bundle.cut(cut).boundary) > 1 for cut in rows)
    assert figures(found)["lossless_inexact"] == 0
    for cut, row in rows.items():
        assert row.codes == bundle.cut(cut).bytes_codes
        assert set(row.coded["raw"].bytes_by_image.values()) == {row.codes}
        assert row.is_input or len(row.references) == 3
        assert all(coded.encode_s > 0 and coded.decode_s > 0 for coded in row.coded.values())


@pytest.fixture(scope="module")
def labelled(pneumonia_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The answers of the pneumonia network to a few radiographs in folders named after its labels."""
    from PIL import Image

    from suture_models.preprocess import preprocess
    from suture_models.walk import read_file

    folder = tmp_path_factory.mktemp("labelled")
    for place, source in enumerate([*CHESTS[:2], *CHESTS[:2]]):
        picture = preprocess(read_file(source), pneumonia_bundle.manifest.network)[0, 0]
        parent = folder / ("Pneumonia" if place < 2 else "NORMAL")
        parent.mkdir(exist_ok=True)
        Image.fromarray(picture if place < 2 else np.ascontiguousarray(255 - picture[::-1])).save(
            parent / f"person{place}_virus_1.png"
        )
    chosen = settings(pneumonia_bundle, folder, folder)
    desk = Desk(pneumonia_bundle, tuple(chosen.images), chosen)
    where = [Point(network=pneumonia_bundle.name, device="here", rate_bps=0, rtt_s=0, scenario=s) for s in "ab"]
    samples: dict[str, list[Sample]] = {point.key: [] for point in where}
    notes = measure_input(desk, where[0], lambda sample: samples[sample.point].append(sample))
    deep = candidate_cuts(pneumonia_bundle.manifest)[-1]
    more = measure_cut(desk, deep, where[1], lambda sample: samples[sample.point].append(sample))
    records = [PointRecord(point=p, sitting=1, valid=True, notes=n) for p, n in zip(where, (notes, more), strict=True)]
    return Results(
        experiment="codec",
        facts={"seed": 1},
        records=tuple(records),
        samples={key: tuple(found) for key, found in samples.items()},
        complete=True,
    )


def test_folders_give_the_truth_and_file_names_the_patients(labelled: Results) -> None:
    notes = labelled.records[0].notes
    by_name = dict(zip(notes["images"], notes["truth"], strict=True))
    assert by_name == {"person0_virus_1": 1, "person1_virus_1": 1, "person2_virus_1": 0, "person3_virus_1": 0}
    assert notes["patients"] == [name.removesuffix("_1") for name in notes["images"]]


def test_every_way_is_scored_against_the_float_network(labelled: Results) -> None:
    ways = all_ways(labelled)
    whole = next(way for way in ways if way.spec == FLOAT)
    assert whole.loss is not None
    assert whole.loss.value == whole.changed.value == 0
    by_spec = {way.spec: way for way in ways}
    assert by_spec["jpeg q1"].bytes_median < by_spec["jpeg q50"].bytes_median < by_spec["jpeg q95"].bytes_median
    assert by_spec["webp q0"].bytes_median < by_spec["webp q95"].bytes_median
    assert by_spec["zstd@2"].bytes_median < by_spec["zstd@6"].bytes_median < by_spec["raw"].bytes_median
    margins = {
        arm: [sample.extra["margin"] for found in labelled.samples.values() for sample in found if sample.arm == arm]
        for arm in (FLOAT, "jpeg q95", "raw", "zstd")
    }
    assert margins["raw"] == margins["zstd"]
    assert margins["jpeg q95"] == pytest.approx(margins[FLOAT], abs=0.5)
    assert margins["raw"] == pytest.approx(margins[FLOAT], abs=1.0)
    assert margins["raw"] != margins[FLOAT]


def test_a_folder_that_is_no_label_leaves_the_truth_unknown(pneumonia_bundle: Bundle, tmp_path: Path) -> None:
    folder = pictures(tmp_path, ("normal", "pneumonia", "unclear"), 3)
    three = settings(pneumonia_bundle, folder, tmp_path)
    assert Desk(pneumonia_bundle, tuple(three.images), three).truth is None
    kept = {name: path for name, path in three.images.items() if path.parent.name != "UNCLEAR"}
    two = dataclasses.replace(three, images=kept)
    assert sorted(Desk(pneumonia_bundle, tuple(kept), two).truth or ()) == [0, 1]


class Forgetful(ZstdCodec):
    """Calls itself lossless and loses the last code."""

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        array = super().decode(payload, shape, dtype).copy()
        array.flat[-1] ^= 1
        return array


def test_a_codec_that_is_not_exact_is_found_out(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(tiny_bundle, pictures(tmp_path, ("any",), 2), tmp_path)
    desk = Desk(tiny_bundle, tuple(chosen.images), chosen)
    monkeypatch.setattr("suture_simulators.experiments.codec_sizes.offered", lambda *_: [ZstdCodec(), Forgetful()])
    monkeypatch.setattr("suture_simulators.experiments.codec_answers.offered", lambda *_: [Forgetful()])
    where = Point(network="tiny", device="here", rate_bps=0, rtt_s=0, scenario="sizes")
    samples: list[Sample] = []
    cut = candidate_cuts(tiny_bundle.manifest)[-1]
    measure_sizes(desk, cut, where, samples.append, images=[0, 1], turns=1)
    assert sum(sample.error == CHANGED for sample in samples) == 2
    measure_cut(desk, cut, where, samples.append)
    assert sum(sample.error == CHANGED for sample in samples) == 4


def test_a_bottleneck_is_measured_where_its_codes_cross_and_beside_its_network(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """The tiny network, one of its cuts said to be behind an encoder; its own answers are the reference."""
    manifest = tiny_bundle.manifest
    cut = next(cut for cut in candidate_cuts(manifest) if len(cut.boundary) == 1 and cut.id != INPUT_CUT)
    graph = tuple(dataclasses.replace(n, op="aten.round.default") if n.name == cut.id else n for n in manifest.graph)
    changed = dataclasses.replace(
        manifest,
        network=dataclasses.replace(manifest.network, name="tiny_bottleneck"),
        graph=graph,
        built_with={**manifest.built_with, "bottleneck_sha256": "0" * 64, "bottleneck_cut": cut.id},
    )
    folder = tmp_path / "squeezed"
    shutil.copytree(tiny_bundle.path, folder)
    (folder / MANIFEST_NAME).write_text(changed.to_json(), encoding="utf-8")
    squeezed = open_bundle(folder)
    alone = settings(squeezed, pictures(tmp_path / "images", ("any",), 3), tmp_path)
    both = dataclasses.replace(alone, bundles={tiny_bundle.name: tiny_bundle.path, squeezed.name: folder})
    assert code_cut(changed).id == cut.id
    with pytest.raises(BundleError, match="no cut behind one"):
        code_cut(manifest)
    with pytest.raises(UsageError, match="give --network tiny as well"):
        base_of(squeezed, alone)
    assert base_of(tiny_bundle, both) is None
    *_, last = Codecs().points(both)
    assert last.network == "tiny_bottleneck"
    samples: list[Sample] = []
    notes = Codecs().measure(last, squeezed, samples.append, _nothing(), both)
    assert (notes["base"], notes["cut"]) == ("tiny", cut.id)
    assert {sample.codec for sample in samples} >= {"raw", "zstd"}
    assert not any("@" in sample.codec for sample in samples)
    sizes = next(one for one in Codecs().points(both) if one.network == "tiny_bottleneck" and one is not last)
    notes = Codecs().measure(sizes, squeezed, samples.append, _nothing(), both)
    assert 0.2 < notes["head_vs_base"] < 5  # the same head, in turns with itself


def test_a_network_with_few_deep_cuts_is_asked_for_no_more(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """The tiny network with nearly all of its work behind the first inner cuts: one deep cut is left."""
    manifest = tiny_bundle.manifest
    total = 1_000_000
    inner = [cut for cut in candidate_cuts(manifest) if cut.index]
    macs = {cut.id: total if cut is inner[-1] else 1 for cut in inner}
    cuts = tuple(
        dataclasses.replace(cut, head_macs=macs[cut.id], tail_macs=total - macs[cut.id]) if cut.id in macs else cut
        for cut in manifest.cuts
    )
    folder = tmp_path / "shallow"
    shutil.copytree(tiny_bundle.path, folder)
    (folder / MANIFEST_NAME).write_text(dataclasses.replace(manifest, cuts=cuts).to_json(), encoding="utf-8")
    shallow = open_bundle(folder)
    chosen = settings(shallow, pictures(tmp_path / "images", ("any",), 3), tmp_path)
    points = Codecs().points(chosen)
    favourites = [point for point in points if "favourite" in point.scenario]
    assert len(favourites) == 1
    with pytest.raises(UsageError, match="0 deep cuts were measured"):
        Codecs().measure(favourites[0], shallow, lambda sample: None, _nothing(), chosen)


def _nothing() -> Results:
    return Results(experiment="codec", facts={}, records=(), samples={}, complete=False)
