"""Real bundles for tests of every room, each built once per test session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.processes import CloudProcess, Command, running_cloud

if TYPE_CHECKING:
    from suture_models.bundle import Bundle


@pytest.fixture(scope="session")
def pneumonia_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The trained pneumonia network for OpenVINO, calibrated on eight of the package's radiographs."""
    build = pytest.importorskip("suture_models.build", reason="needs torch: pip install 'suture[build]'")
    from suture_models.calibration import calibration_inputs
    from suture_models.zoo.registry import load_network

    network = load_network("pneumonia_mobilenet_v2")
    inputs = calibration_inputs(network.spec, None).inputs[::4]
    origin = "eight of the package's radiographs"
    settings = build.BuildSettings(engines=("openvino",), calibration=origin, tables=False)
    return build.build_bundle(network, inputs, tmp_path_factory.mktemp("bundles") / "pneumonia", settings)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small network with skip connections, for every engine whose builder is installed; see `tests.nets`."""
    build = pytest.importorskip("suture_models.build", reason="needs torch: pip install 'suture[build]'")
    from suture_models.zoo.registry import load_network
    from tests.nets import images

    network = load_network("tests.nets:make")
    settings = build.BuildSettings(engines=build.available_engines(), calibration="drawn")
    return build.build_bundle(network, images(16), tmp_path_factory.mktemp("bundles") / "tiny", settings)


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The `suture` command, with a profile cache that the session shares."""
    return Command(cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def pneumonia_cloud(
    command: Command, pneumonia_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CloudProcess]:
    """A `suture cloud` process that holds the pneumonia bundle. Not to be stopped by a test."""
    with running_cloud(command, tmp_path_factory.mktemp("cloud"), pneumonia_bundle) as cloud:
        yield cloud
