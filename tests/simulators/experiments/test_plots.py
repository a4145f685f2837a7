"""Drawings: the same data give the same SVG, nothing refers outside, gaps and single values draw, text is escaped."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from suture_protocol.errors import CapabilityMissing
from suture_simulators.experiments import grids, plots
from suture_simulators.experiments.plots import Panel, Series, Track
from suture_simulators.experiments.statistics import Interval

RATES = [1.0, 10.0, 100.0]
SPLIT = Series(label="split <auto>", x=RATES, y=[0.5, 0.3, 0.25], low=[0.4, 0.28, None], high=[0.6, 0.33, None])
UPLOAD = Series(label="upload & wait", x=RATES, y=[2.0, None, 0.2])
NAMES = {"x_names": ["1", "10", "100"], "y_names": ["5 ms", "40 ms"], "x_label": "Mbit/s", "y_label": "round trip"}


def a_timeline() -> str:
    tracks = [
        Track(label="set", x=[0, 10], y=[20, 2], kind="steps"),
        Track(label="dots", x=[1.0, 2.0], y=[3.0, None], kind="dots"),
        Track(label="lost", x=[4.0], kind="lost"),
    ]
    cuts = Panel(y_label="cut", tracks=[Track(label="chosen", x=[0, 5], y=[0, 1], kind="steps")], names=["0", "last"])
    rate = Panel(y_label="Mbit/s", tracks=tracks, log_y=True, limits={"deadline": 9.0})
    return plots.timeline([rate, cuts], title="drive", spans=[(3.0, 6.0)])


DRAWN = {
    "lines": lambda: plots.lines(
        [SPLIT, UPLOAD],
        title="a < b",
        x_label="Mbit/s",
        y_label="s",
        log_x=True,
        log_y=True,
        verticals={"4G": 30.0},
        crossing_of="split <auto>",
    ),
    "heatmap": lambda: grids.heatmap([[1.0, None, 3.0], [0.0, 2.0, 9.0]], title="t", value_label="s", **NAMES),
    "regrets": lambda: grids.heatmap(
        [[0.1, None, -0.3], [0.0, 0.0, 0.9]],
        title="t",
        value_label="regret",
        centre=0.0,
        form="{:+.0%}".format,
        **NAMES,
    ),
    "mosaic": lambda: grids.mosaic([["0", "max_pool2d+relu_2", ""], ["last", "0", "0"]], title="winners", **NAMES),
    "timeline": a_timeline,
    "scatter": lambda: plots.scatter([SPLIT, UPLOAD], title="t", x_label="predicted", y_label="measured", log=True),
    "bars": lambda: plots.bars(
        {"1 Mbit/s": {"split": Interval(value=0.5, low=0.4, high=0.6), "edge": Interval(value=0.9)}},
        title="t",
        value_label="s",
        reference=0.5,
    ),
    "distribution": lambda: plots.distribution({"plan": [0.0, 0.1], "none": []}, title="t", x_label="regret"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing_is_one_described_element_that_refers_to_nothing_outside(name):
    svg = DRAWN[name]()
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert "http" not in svg
    assert "<script" not in svg
    assert all(target.startswith(("#", "data:image/png;")) for target in re.findall(r'href="([^"]*)"', svg))
    ids = set(re.findall(r'\bid="([^"]*)"', svg))
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', svg)) <= ids


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_data_give_the_same_bytes(name):
    assert DRAWN[name]() == DRAWN[name]()


def test_two_drawings_on_one_page_share_no_id():
    first, second = (set(re.findall(r'\bid="([^"]*)"', DRAWN[name]())) for name in ("lines", "scatter"))
    assert not first & second


def test_text_stays_text_and_is_escaped():
    svg = DRAWN["lines"]()
    assert "a &lt; b" in svg
    assert "split &lt;auto&gt;" in svg
    assert "<auto>" not in svg


def test_a_description_tells_the_crossings_and_the_bars():
    parallel = Series(label="b", x=[1.0, 3.0], y=[2.0, 2.0])
    rising = Series(label="a", x=[1.0, 3.0], y=[1.0, 3.0])
    svg = plots.lines([rising, parallel], title="t", x_label="x", y_label="y", crossing_of="a")
    assert "a and b cross at 2." in svg
    assert "1 Mbit/s, split: 0.5" in DRAWN["bars"]()


def test_crossings_are_where_the_drawn_lines_meet():
    first = Series(label="a", x=[1, 10, 100], y=[1.0, 10.0, 100.0])
    second = Series(label="b", x=[1, 10, 100], y=[100.0, 10.0, 1.0])
    assert plots.crossings(first, second, log_x=True, log_y=True) == [pytest.approx((10.0, 10.0))]
    apart = Series(label="c", x=[1, 10, 100], y=[4.0, 40.0, 400.0])
    assert plots.crossings(first, apart) == []
    assert plots.crossings(first, first) == []
    twice = Series(label="d", x=[1, 10, 100], y=[2.0, 5.0, 200.0])
    assert len(plots.crossings(first, twice, log_x=True, log_y=True)) == 2


def test_lines_that_touch_and_part_again_do_not_cross():
    first = Series(label="a", x=[0, 1, 2], y=[1.0, 1.0, 1.0])
    touching = Series(label="b", x=[0, 1, 2], y=[2.0, 1.0, 2.0])
    through = Series(label="c", x=[0, 1, 2], y=[2.0, 1.0, 0.5])
    assert plots.crossings(first, touching) == []
    assert plots.crossings(first, through) == [(1.0, 1.0)]


def test_lines_that_change_places_within_their_intervals_do_not_cross():
    def around(label: str, y: list[float], by: float) -> Series:
        return Series(label=label, x=[1, 2, 3], y=y, low=[v - by for v in y], high=[v + by for v in y])

    rising, falling = [1.0, 1.9, 3.0], [3.0, 2.1, 1.0]
    assert plots.crossings(around("a", rising, 1.5), around("b", falling, 1.5)) == []
    # Unsure next to the crossing, sure further off.
    assert len(plots.crossings(around("a", rising, 0.5), around("b", falling, 0.5))) == 1
    assert plots.crossings(around("a", rising, 0.5), around("b", [3.0, 2.1, 2.9], 0.5)) == []


def test_a_point_that_one_series_lacks_is_passed_over():
    first = Series(label="a", x=[1, 2, 3], y=[1.0, None, 3.0])
    second = Series(label="b", x=[1, 3], y=[2.0, 2.0])
    assert plots.crossings(first, second) == [pytest.approx((2.0, 2.0))]


def test_empty_data_draw_an_empty_frame():
    for svg in (
        plots.lines([], title="t", x_label="x", y_label="y"),
        plots.scatter([], title="t", x_label="x", y_label="y"),
        plots.bars({}, title="t", value_label="s"),
        plots.distribution({}, title="t", x_label="x"),
        grids.heatmap([[None]], title="t", x_label="x", y_label="y", x_names=["a"], y_names=["b"], value_label="s"),
    ):
        assert svg.startswith("<svg ")


def test_drawing_leaves_other_peoples_settings_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    DRAWN["lines"]()
    assert dict(matplotlib.rcParams) == before


def test_drawing_opens_no_window_system():
    code = (
        "import sys; from suture_simulators.experiments import plots;"
        "plots.distribution({'a': [1.0, 2.0]}, title='t', x_label='x');"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_without_matplotlib_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(CapabilityMissing, match=r"pip install 'suture\[experiment\]'"):
        plots.lines([SPLIT], title="t", x_label="x", y_label="y")
