"""The planner against brute force over random profiles; reasons, crossovers, corrections, forced cuts."""

import dataclasses
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from suture_partitioner.caution import cautious
from suture_partitioner.explain import explain
from suture_partitioner.plan import HYSTERESIS, Planner, plan
from suture_partitioner.types import Constraints, Correction, LinkEstimate
from suture_protocol.errors import PlanError
from tests.partitioner.definition import by_definition, pressed
from tests.partitioner.worlds import LINK, MIDDLE_WINS, links, pair, planner_of, times, worlds

corrections = st.one_of(
    st.none(),
    st.builds(
        Correction,
        head=st.dictionaries(st.sampled_from(["variant-0", "variant-1"]), st.floats(0.2, 5)),
        tail=st.floats(0.2, 5),
    ),
)


@settings(max_examples=300, deadline=None)
@given(world=worlds(rich=True), link=links, queue_s=times, others_s=times, correction=corrections, data=st.data())
def test_the_chosen_is_the_best_by_brute_force(world, link, queue_s, others_s, correction, data):
    world = pressed(data.draw, world, link)
    asked = {"queue_s": queue_s, "correction": correction, "others_s": others_s}
    ways = by_definition(world, link, **asked)
    allowed = [way for way in ways if way.allowed and way.in_time]
    # Whatever lies within rounding of a limit may go either way.
    tighter, looser = (world.scaled_limits(1 + sign * 1e-9) for sign in (-1, 1))
    sure = [way for way in by_definition(tighter, link, **asked) if way.allowed and way.in_time]
    maybe = [way for way in by_definition(looser, link, **asked) if way.allowed and way.in_time]
    assume(len(sure) == len(maybe))
    if not allowed:
        with pytest.raises(PlanError, match=r"relax|profile"):
            planner_of(world).plan(link, **asked)
        return
    result = planner_of(world).plan(link, **asked)
    chosen = result.chosen
    found = {way.key: way for way in allowed}[chosen.cut_id, chosen.codec, chosen.variant_id]
    assert chosen.steps.total_s == pytest.approx(found.total_s, rel=1e-9, abs=1e-12)
    least = min(way.cost for way in allowed)
    assert found.cost == pytest.approx(least, rel=1e-8, abs=1e-12)
    # Of those that are equally good the fastest, but for rounding.
    tied = [way for way in allowed if math.isclose(way.cost, least, rel_tol=1e-12, abs_tol=0)]
    assert found.total_s <= min(way.total_s for way in tied) * (1 + 1e-9)
    assert all(choice.reason for choice in result.rejected)
    totals = [choice.steps.total_s for choice in result.rejected]
    assert totals == sorted(totals)


@settings(max_examples=100, deadline=None)
@given(world=worlds(), rtt_s=st.floats(0, 2), queue_s=times)
def test_on_either_side_of_a_crossover_the_named_choices_win(world, rtt_s, queue_s):
    world = dataclasses.replace(world, constraints=dataclasses.replace(world.constraints, deadline_s=None))
    try:
        planner = planner_of(world)
    except PlanError:
        return
    found = planner.crossovers(rtt_s=rtt_s, queue_s=queue_s)
    assert [c.bandwidth_bps for c in found] == sorted(c.bandwidth_bps for c in found)
    for crossover in found:
        for factor, choice in ((1 - 1e-6, crossover.below), (1 + 1e-6, crossover.above)):
            link = LinkEstimate(bandwidth_bps=crossover.bandwidth_bps * factor, rtt_s=rtt_s)
            total_s = planner.choose(link, queue_s=queue_s).steps.total_s
            assert total_s == pytest.approx(choice.steps.total_s, rel=1e-4, abs=1e-9)


def test_the_best_cut_moves_with_the_bandwidth_at_the_crossovers():
    planner = Planner(MIDDLE_WINS[0], [MIDDLE_WINS[1]], MIDDLE_WINS[2])
    crossovers = planner.crossovers(rtt_s=0.04)
    assert [(c.below.cut_id, c.above.cut_id) for c in crossovers] == [("last", "add_2"), ("add_2", "add_1")]
    # 402 ms at home against 102 ms and 13 KB on the way; then 20 ms of head and tail saved for 7 KB more.
    assert [c.bandwidth_bps for c in crossovers] == pytest.approx([8 * 13_000 / 0.3, 8 * 7_000 / 0.02])
    chosen = [planner.choose(LinkEstimate(bandwidth_bps=b, rtt_s=0.04)).cut_id for b in (1e5, 1e6, 1e7, 1e9)]
    assert chosen == ["last", "add_2", "add_1", "add_1"]


def test_the_last_cut_pays_no_transfer_no_queue_and_no_tail():
    manifest, edge, _ = MIDDLE_WINS
    result = plan(manifest, [edge], None, LINK, queue_s=3.0)
    steps = result.chosen.steps
    assert result.chosen.cut_id == "last"
    assert (result.chosen.codec, result.chosen.payload_bytes) == ("", 0)
    assert (steps.transfer_s, steps.queue_s, steps.decode_s, steps.tail_s, steps.encode_s) == (0, 0, 0, 0, 0)
    assert steps.total_s == pytest.approx(0.402)
    assert result.rejected == ()


def test_a_long_queue_in_the_cloud_brings_the_work_home():
    planner = Planner(MIDDLE_WINS[0], [MIDDLE_WINS[1]], MIDDLE_WINS[2])
    assert planner.choose(LINK).cut_id == "add_2"
    assert planner.choose(LINK, queue_s=1.0).cut_id == "last"


def test_what_others_would_wait_counts_in_the_choice_and_in_no_time_and_no_limit():
    manifest, edge, cloud = MIDDLE_WINS
    free = Planner(manifest, [edge], cloud)
    priced = free.plan(LINK, queue_s=0.01, others_s=1.0)
    assert priced.chosen.cut_id == "last"
    assert priced.chosen.others_s == 0
    lost = next(choice for choice in priced.rejected if choice.cut_id == "add_2")
    assert (lost.steps.queue_s, lost.others_s) == (0.01, 1.0)
    assert lost.steps.total_s == pytest.approx(0.164)
    assert "makes other units wait 1 s" in lost.reason
    why, *others = explain(priced)
    assert "402 ms, the fastest, with what other units would wait, of 4 ways" in why
    assert any(text.startswith("They make other units wait for a busy cloud: 3 ways") for text in others)
    # The unit alone takes 402 ms: what others would wait is no reason to miss a deadline that can be kept.
    urgent = Planner(manifest, [edge], cloud, Constraints(deadline_s=0.2))
    assert urgent.choose(LINK, queue_s=0.01, others_s=1.0).cut_id == "add_2"


def reasons_of(result) -> dict[str, str]:
    return {choice.cut_id: choice.reason for choice in result.rejected}


def test_every_alternative_says_why_it_lost():
    manifest, edge, cloud = MIDDLE_WINS
    reasons = reasons_of(plan(manifest, [edge], cloud, LINK))
    assert reasons == {
        "add_1": "sends 7 KB more: +28 ms at 2 Mbit/s, tail 20 ms slower, saves only 40 ms of head",
        "0": "sends 47 KB more: +188 ms at 2 Mbit/s, tail 30 ms slower, saves only 50 ms of head",
        "last": "head 350 ms slower, saves only 92 ms of transfer and 10 ms of tail",
    }


def test_when_the_unit_wins_the_round_trip_is_named():
    manifest, edge, cloud = pair([0, 5], [9, 0], [25_000, 0])
    reasons = reasons_of(plan(manifest, [edge], cloud, LINK))
    assert reasons == {
        "0": "sends 25 KB more: +140 ms at 2 Mbit/s and 40 ms of round trip, tail 9 ms slower, saves only 5 ms of head"
    }


def test_cuts_above_the_privacy_floor_are_named_as_such():
    manifest, edge, cloud = MIDDLE_WINS
    fast = LinkEstimate(bandwidth_bps=1e9, rtt_s=0.04)
    result = plan(manifest, [edge], cloud, fast, Constraints(privacy_floor="add_2"))
    assert result.chosen.cut_id == "add_2"
    reasons = reasons_of(result)
    assert reasons["0"] == reasons["add_1"] == "shallower than the privacy floor add_2"


def with_jpeg(world):
    manifest, edge, cloud = world
    image = dataclasses.replace(
        edge.cuts["0"], codec_s={"zstd": 0.0, "jpeg": 0.0}, payload_bytes={"zstd": 60_000, "jpeg": 5_000}
    )
    decoded = dataclasses.replace(cloud.cuts["0"], codec_s={"zstd": 0.0, "jpeg": 0.0})
    edge = dataclasses.replace(edge, cuts={**edge.cuts, "0": image})
    return manifest, edge, dataclasses.replace(cloud, cuts={**cloud.cuts, "0": decoded})


def test_a_lossy_codec_is_chosen_only_where_it_was_allowed():
    manifest, edge, cloud = with_jpeg(MIDDLE_WINS)
    result = plan(manifest, [edge], cloud, LINK)
    assert result.chosen.codec == "zstd"
    assert result.rejected[0].reason == "codec jpeg is lossy and was not allowed"
    assert plan(manifest, [edge], cloud, LINK, Constraints(codecs=("jpeg", "zstd"))).chosen.codec == "jpeg"


def test_an_unreachable_deadline_says_which_constraint_to_relax():
    manifest, edge, cloud = with_jpeg(MIDDLE_WINS)
    with pytest.raises(PlanError) as raised:
        plan(manifest, [edge], cloud, LINK, Constraints(deadline_s=0.12, privacy_floor="add_1"))
    assert str(raised.value) == (
        "no plan satisfies the constraints over 2 Mbit/s and 40 ms of round trip: relax the deadline of 120 ms to"
        " 154 ms (cut add_2 zstd with 154 ms), or the codecs to allow jpeg together with the privacy floor add_1 to"
        " cut 0 (cut 0 jpeg with 102 ms)"
    )
    assert raised.value.relax == (("deadline_s",), ("codecs", "privacy_floor"))
    with pytest.raises(PlanError, match=r"relax the deadline of 1 ms to 154 ms \(cut add_2 zstd with 154 ms\)$"):
        plan(manifest, [edge], cloud, LINK, Constraints(deadline_s=0.001))


def test_constraints_that_leave_nothing_are_named():
    manifest, edge, cloud = MIDDLE_WINS
    no_last = dataclasses.replace(edge, cuts={k: v for k, v in edge.cuts.items() if k != "last"})
    with pytest.raises(PlanError, match="on any link: relax the codecs to allow zstd"):
        plan(manifest, [no_last], cloud, LINK, Constraints(codecs=("raw",)))
    with pytest.raises(PlanError, match="without a cloud only cut last is possible"):
        plan(manifest, [no_last], None, LINK)
    with pytest.raises(PlanError, match="privacy floor 'conv_9' is no cut of net"):
        plan(manifest, [edge], cloud, LINK, Constraints(privacy_floor="conv_9"))
    with pytest.raises(PlanError, match="unknown codec 'gzip'"):
        plan(manifest, [edge], cloud, LINK, Constraints(codecs=("gzip",)))


def test_profiles_that_do_not_belong_together_are_refused():
    manifest, edge, cloud = MIDDLE_WINS
    with pytest.raises(PlanError, match="different bundles"):
        plan(manifest, [edge], dataclasses.replace(cloud, bundle_digest="cd" * 32), LINK)
    with pytest.raises(PlanError, match="swap the two files"):
        plan(manifest, [cloud], edge, LINK)


@pytest.mark.parametrize("link", [LinkEstimate(bandwidth_bps=0, rtt_s=0), LinkEstimate(bandwidth_bps=1e6, rtt_s=-1)])
def test_a_link_that_cannot_be_is_the_callers_mistake(link):
    with pytest.raises(ValueError, match="bandwidth above zero"):
        cautious(link)


def test_an_uncertain_link_is_planned_on_its_lower_quartile():
    planner = Planner(MIDDLE_WINS[0], [MIDDLE_WINS[1]], MIDDLE_WINS[2])
    uncertain = dataclasses.replace(LINK, spread_bps=1e6, spread_s=0.01)
    same = planner.choose(LinkEstimate(bandwidth_bps=1e6, rtt_s=0.05))
    assert planner.choose(uncertain).steps == same.steps
    wild = dataclasses.replace(LINK, spread_bps=9e9)
    assert planner.choose(wild).steps == planner.choose(LinkEstimate(bandwidth_bps=1e6, rtt_s=0.04)).steps


def test_a_plan_in_force_is_kept_until_another_is_clearly_faster():
    planner = Planner(MIDDLE_WINS[0], [MIDDLE_WINS[1]], MIDDLE_WINS[2])
    turn = next(c for c in planner.crossovers(rtt_s=0.04) if c.below.cut_id == "add_2")
    just_past = LinkEstimate(bandwidth_bps=turn.bandwidth_bps * 1.02, rtt_s=0.04)
    far_past = LinkEstimate(bandwidth_bps=turn.bandwidth_bps * 3, rtt_s=0.04)
    assert planner.choose(just_past).cut_id == turn.above.cut_id
    kept = planner.choose(just_past, current=turn.below)
    assert kept.cut_id == "add_2"
    assert kept.steps.total_s <= planner.choose(just_past).steps.total_s * (1 + HYSTERESIS)
    assert planner.choose(far_past, current=turn.below).cut_id == turn.above.cut_id
    result = planner.plan(just_past, current=turn.below)
    assert "not enough to give up the choice in force" in result.rejected[0].reason


def test_a_forced_cut_ignores_the_deadline_but_not_the_privacy_floor():
    manifest, edge, cloud = MIDDLE_WINS
    planner = Planner(manifest, [edge], cloud, Constraints(privacy_floor="add_1", deadline_s=0.2))
    assert planner.forced("last", LINK).cut_id == "last"
    with pytest.raises(PlanError, match="shallower than the privacy floor add_1"):
        planner.forced("0", LINK)
    with pytest.raises(PlanError, match="no profile covers it"):
        planner.forced("conv_9", LINK)


def test_a_throttled_processor_sends_the_work_away_and_a_slow_cloud_brings_it_home():
    planner = Planner(MIDDLE_WINS[0], [MIDDLE_WINS[1]], MIDDLE_WINS[2])
    throttled = Correction(head={"openvino-int8-vnni": 4.0})
    assert planner.choose(LINK).cut_id == "add_2"
    away = planner.choose(LINK, correction=throttled)
    assert away.cut_id == "add_1"
    assert away.steps.head_s == pytest.approx(0.04)
    slow_cloud = planner.choose(LINK, correction=Correction(tail=40.0))
    assert slow_cloud.cut_id == "last"
    assert planner.choose(LINK, correction=Correction(tail=5.0)).steps.tail_s == pytest.approx(0.05)


def test_equal_choices_are_settled_the_same_way_every_time():
    manifest, edge, cloud = pair([0, 10, 10, 400], [40, 30, 30, 0], [60_000, 20_000, 20_000, 0])
    chosen = {Planner(manifest, [edge], cloud).choose(LINK).cut_id for _ in range(5)}
    assert chosen == {"add_1"}
