"""Bundles that the demonstration and the experiments build for themselves, and use again."""

from __future__ import annotations

from pathlib import Path

import pytest

from suture.demo.bundles import fitting_bundle, reusable, unfit
from suture_models.bundle import open_bundle
from suture_models.tables import TABLES_ROLE

NETWORK = "tests.nets:make"


def test_a_bundle_without_codec_tables_is_built_again_where_those_are_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="needs what builds bundles: pip install 'suture[build]'")
    plain = fitting_bundle(NETWORK, tmp_path)
    assert unfit(plain) == ""
    assert unfit(plain, tables=True) == "it has no codec tables"
    assert reusable(NETWORK, tmp_path, tables=True) is None
    tabled = fitting_bundle(NETWORK, tmp_path, tables=True)
    assert any(TABLES_ROLE in variant.files for variant in tabled.manifest.variants)
    assert unfit(tabled, tables=True) == ""
    assert fitting_bundle(NETWORK, tmp_path, tables=True).digest == tabled.digest
    assert fitting_bundle(NETWORK, tmp_path).digest == tabled.digest == open_bundle(tmp_path / NETWORK).digest
