"""Bundles that the demonstration and the experiments build for themselves, and use again; what a run says was typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from suture.commands.experiment import typed
from suture.demo.bundles import fitting_bundle
from suture_models.tables import TABLES_ROLE

NETWORK = "tests.nets:make"


def test_a_bundle_is_built_with_codec_tables_where_asked_and_never_replaced_for_want_of_them(tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="needs what builds bundles: pip install 'suture[build]'")
    plain = fitting_bundle(NETWORK, tmp_path / "a")
    manifest = (plain.path / "manifest.json").stat()
    assert fitting_bundle(NETWORK, tmp_path / "a", tables=True).digest == plain.digest
    assert (plain.path / "manifest.json").stat() == manifest
    assert not any(TABLES_ROLE in variant.files for variant in plain.manifest.variants)
    tabled = fitting_bundle(NETWORK, tmp_path / "b", tables=True)
    assert any(TABLES_ROLE in variant.files for variant in tabled.manifest.variants)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "/home/alice/out"], "--out .../out"),
        (["--out=/home/alice/out/"], "--out=.../out"),
        (["--images", "../alice/ct"], "--images .../ct"),
        (["--images", "~alice/a b"], "--images '.../a b'"),
        (["--out", "out/a", "--network", "bundles/n"], "--out out/a --network bundles/n"),
        (["--out", "\udcff"], "--out '\\udcff'"),
    ],
)
def test_a_command_is_told_without_the_folders_of_its_machine(words: list[str], said: str) -> None:
    assert typed(words) == f"suture {said}"
