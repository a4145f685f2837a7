"""The objectives' figures against sampling, arithmetic by hand and the definition of a front."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings

from suture_partitioner.energy import BOARDS, RADIOS, power_model
from suture_partitioner.objective import OBJECTIVES, in_words
from suture_partitioner.plan import Planner
from suture_partitioner.types import Constraints, LinkEstimate
from suture_protocol.errors import PlanError, UsageError
from tests.partitioner.definition import by_definition
from tests.partitioner.worlds import LINK, MIDDLE_WINS, links, pair, planner_of, times, worlds


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("widest", [1.0, 1.4, 2.5])
def test_the_quantile_is_that_of_sampled_links_and_payloads(spread, widest):
    manifest, edge, cloud = pair([0, 20], [30, 0], [50_000, 0])
    sizes = tuple(round(50_000 * widest**z) for z in (-1.0, -0.41, 0.0, 0.41, 1.0))
    head = dataclasses.replace(edge.cuts["0"], payload_quantiles_bytes={"zstd": sizes})
    edge = dataclasses.replace(edge, cuts={"0": head})
    link = LinkEstimate(bandwidth_bps=5e6, rtt_s=0.04, spread_bps=spread * 5e6, spread_s=0.004)
    planner = Planner(manifest, [edge], cloud, objective="latency_quantile")
    predicted_s = planner.choose(link).late_s
    random = np.random.default_rng(1)
    count = 400_000
    rates = 5e6 * np.exp(np.arcsinh(spread) / 0.6744898 * random.standard_normal(count))
    payloads = 50_000 * np.exp(np.log(widest) / 1.6448536 * random.standard_normal(count))
    rtts = 0.04 + 0.004 / 0.6744898 * random.standard_normal(count)
    sampled_s = np.quantile(0.002 + 0.03 + rtts + 8 * payloads / rates, 0.95)
    assert predicted_s == pytest.approx(sampled_s, rel=0.02)


def test_the_quantile_prefers_what_scatters_less():
    manifest, edge, cloud = MIDDLE_WINS
    link = LinkEstimate(bandwidth_bps=0.4e6, rtt_s=0.04, spread_bps=0.2e6)
    assert Planner(manifest, [edge], cloud).choose(dataclasses.replace(link, spread_bps=0)).cut_id == "add_2"
    assert Planner(manifest, [edge], cloud, objective="latency_quantile").choose(link).cut_id == "last"


def test_a_deadline_is_kept_by_the_quantile_where_that_is_the_objective():
    manifest, edge, cloud = MIDDLE_WINS
    limits = Constraints(deadline_s=0.3)
    link = LinkEstimate(bandwidth_bps=1e6, rtt_s=0.04, spread_bps=0.4e6)
    assert Planner(manifest, [edge], cloud, limits).choose(link).late_s > 0.3
    with pytest.raises(PlanError, match="relax the deadline of 300 ms to 3"):
        Planner(manifest, [edge], cloud, limits, objective="latency_quantile").choose(link)


def test_a_series_is_held_up_by_its_slowest_stage_alone():
    manifest, edge, cloud = pair([0, 30, 100], [90, 40, 0], [5_000, 10_000, 0])
    chosen = Planner(manifest, [edge], cloud, objective="throughput").choose(LinkEstimate(bandwidth_bps=2e6, rtt_s=1))
    # Stages of add_1: 32 ms on the unit, 40 ms on the air, 40 ms in the cloud; the round trip holds nothing up.
    assert (chosen.cut_id, chosen.period_s) == ("add_1", pytest.approx(0.04))
    assert in_words(chosen, "throughput").startswith("a result every 40 ms")


def test_energy_is_compute_and_air_and_waiting():
    manifest, edge, cloud = pair([0, 100], [30, 0], [50_000, 0])
    power = power_model("pi-4/wifi")
    plan = Planner(manifest, [edge], cloud, objective="energy", power=power).plan(LINK)
    joules = {c.cut_id: c.energy_j for c in (plan.chosen, *plan.rejected)}
    one_core_w = 2.7 + (6.4 - 2.7) / 4
    assert joules["last"] == pytest.approx(one_core_w * 0.102)
    sent_j = (2.7 + 0.13286) * 0.2 + 0.28317e-6 * 400_000
    assert joules["0"] == pytest.approx(one_core_w * 0.002 + sent_j + 2.7 * (0.04 + 0.03))
    assert plan.chosen.cut_id == "last"
    assert "0.0" not in plan.rejected[0].reason
    assert any("Pi Dramble" in note for note in plan.notes)


def test_the_cloud_is_spared_down_to_nothing():
    manifest, edge, cloud = MIDDLE_WINS
    assert Planner(manifest, [edge], cloud, objective="cloud").choose(LINK).cut_id == "last"
    limits = Constraints(deadline_s=0.2)
    chosen = Planner(manifest, [edge], cloud, limits, objective="cloud").choose(LINK)
    assert (chosen.cut_id, chosen.cloud_s) == ("add_2", pytest.approx(0.01))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_says_why_each_alternative_lost(objective):
    manifest, edge, cloud = MIDDLE_WINS
    plan = Planner(manifest, [edge], cloud, objective=objective, power=power_model("pi-4")).plan(LINK)
    assert plan.objective == objective
    assert len(plan.rejected) == 3
    assert all(choice.reason for choice in plan.rejected)


@pytest.mark.parametrize("board", sorted(BOARDS))
def test_a_board_takes_more_the_more_of_it_works_and_names_its_source(board):
    power = power_model(board)
    watts = [power.compute_w(threads) for threads in range(power.board.cores + 3)]
    assert watts == sorted(watts)
    assert (watts[0], watts[-1]) == (power.board.idle_w, power.board.busy_w)
    assert power.board.source in power.in_words
    assert power.radio.source in power.in_words


def test_what_has_no_published_power_is_refused_with_what_has():
    with pytest.raises(UsageError, match=r"toaster.*pi-4"):
        power_model("toaster")
    with pytest.raises(UsageError, match=r"pigeon.*lte"):
        power_model("pi-4/pigeon")
    assert power_model("pi-4").radio == RADIOS["lte"]
    manifest, edge, cloud = MIDDLE_WINS
    with pytest.raises(PlanError, match="takes the unit's power"):
        Planner(manifest, [edge], cloud, objective="energy")


@settings(max_examples=150, deadline=None)
@given(world=worlds(rich=True), link=links, queue_s=times)
def test_the_front_is_what_nothing_dominates(world, link, queue_s):
    try:
        front = planner_of(world).pareto(link, queue_s=queue_s)
    except PlanError:
        return
    values = {way.key: way.values for way in by_definition(world, link, queue_s) if way.allowed and way.in_time}
    keys = [(c.cut_id, c.codec, c.variant_id) for c in front]
    assert len(set(keys)) == len(keys)

    def beats(a, b):
        """`a` is no worse than `b` in anything and clearly better in something."""
        no_worse = all(x <= y for x, y in zip(a, b, strict=True))
        return no_worse and any(x < y * (1 - 1e-9) for x, y in zip(a, b, strict=True))

    for kept in keys:
        assert not any(beats(other, values[kept]) for other in values.values())
    for other in values.values():
        close = [k for k in keys if all(x <= y * (1 + 1e-9) for x, y in zip(values[k], other, strict=True))]
        assert close, "what is not on the front is dominated by something on it"
    times_s = [choice.steps.total_s for choice in front]
    assert times_s == sorted(times_s)
