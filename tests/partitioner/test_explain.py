"""A plan in words: every alternative is in exactly one group, and a person can read all of them."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from suture_partitioner.explain import explain, grouped, name_of
from suture_partitioner.plan import Planner
from suture_partitioner.reasons import why_slower
from suture_partitioner.types import Constraints, LinkEstimate
from suture_protocol.errors import PlanError
from tests.partitioner.worlds import LINK, MIDDLE_WINS, links, pair, planner_of, times, worlds


def test_each_group_says_why_how_many_and_which_came_nearest():
    manifest, edge, cloud = MIDDLE_WINS
    why, *others = explain(Planner(manifest, [edge], cloud, Constraints(privacy_floor="add_1")).plan(LINK))
    assert why == (
        "Cut add_2 by zstd (openvino-int8-vnni) for 13 KB: 154 ms, the fastest of 3 ways that the constraints allow"
        " over 2 Mbit/s and 40 ms of round trip. Transfer 92 ms, head 50 ms, tail 10 ms, preprocessing 2 ms."
    )
    assert others == [
        "Their transfer takes longer: 1 way: cut add_1 by zstd (openvino-int8-vnni): sends 7 KB more: +28 ms at"
        " 2 Mbit/s, tail 20 ms slower, saves only 40 ms of head.",
        "Their head takes longer: 1 way: all on the unit (openvino-int8-vnni): head 350 ms slower, saves only 92 ms of"
        " transfer and 10 ms of tail.",
        "Shallower than the privacy floor: 1 way: the image by zstd: 322 ms.",
    ]


def test_a_choice_that_is_faster_by_less_than_a_microsecond_counts_as_fast_as_the_one_in_force():
    manifest, edge, cloud = MIDDLE_WINS
    plan = Planner(manifest, [edge], cloud).plan(LINK)
    steps = replace(plan.chosen.steps, head_s=plan.chosen.steps.head_s - 1e-8)
    assert why_slower(replace(plan.chosen, steps=steps), plan.chosen, LINK) == "as fast, sends no less"


def test_a_hundred_cuts_are_told_in_a_few_lines():
    count = 120
    manifest, edge, cloud = pair(
        [5.0 * i for i in range(count)], [50.0] * count, [1_000_000 // (i + 1) for i in range(count)]
    )
    plan = Planner(manifest, [edge], cloud, Constraints(deadline_s=1.5)).plan(
        LinkEstimate(bandwidth_bps=3e6, rtt_s=0.04)
    )
    assert len(plan.rejected) == count - 1
    assert len(explain(plan)) <= 6


def test_a_choice_kept_in_force_is_told_so():
    manifest, edge, cloud = MIDDLE_WINS
    planner = Planner(manifest, [edge], cloud)
    turn = next(c for c in planner.crossovers(rtt_s=0.04) if c.below.cut_id == "add_2")
    just_past = LinkEstimate(bandwidth_bps=turn.bandwidth_bps * 1.02, rtt_s=0.04)
    told = explain(planner.plan(just_past, current=turn.below))
    assert "kept, because nothing is better by enough to leave it" in told[0]
    assert told[1].startswith("Better, but not by enough to leave the choice in force: 1 way: cut add_1")


@settings(max_examples=100, deadline=None)
@given(world=worlds(rich=True), link=links, queue_s=times)
def test_every_alternative_is_in_one_group_and_every_group_reads(world, link, queue_s):
    try:
        plan = planner_of(world).plan(link, queue_s=queue_s)
    except PlanError:
        return
    groups = grouped(plan)
    told = [choice for group in groups for choice in group.choices]
    assert sorted(map(id, told)) == sorted(map(id, plan.rejected))
    assert len({group.title for group in groups}) == len(groups)
    lines = explain(plan)
    assert name_of(plan.chosen)[1:] in lines[0]
    assert all(line[0].isupper() and line.endswith(".") for line in lines)


@pytest.mark.parametrize("cut_id", ["0", "add_1", "last"])
def test_a_forced_choice_has_a_name_too(cut_id):
    manifest, edge, cloud = MIDDLE_WINS
    assert name_of(Planner(manifest, [edge], cloud).forced(cut_id, LINK))
