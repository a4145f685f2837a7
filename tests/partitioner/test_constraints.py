"""No plan breaks a constraint, whatever the profiles, the link and the objective; what cannot be kept is named."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture_partitioner.plan import Planner
from suture_partitioner.types import Constraints, LinkEstimate
from suture_protocol.errors import PlanError
from tests.partitioner.definition import by_definition, pressed
from tests.partitioner.worlds import LINK, MIDDLE_WINS, Shares, links, pair, planner_of, times, worlds

#: No link is better.
IDEAL = LinkEstimate(bandwidth_bps=1e15, rtt_s=0)


def key(choice) -> tuple[str, str, str]:
    return choice.cut_id, choice.codec, choice.variant_id


@settings(max_examples=300, deadline=None)
@given(
    world=worlds(rich=True),
    link=links,
    changed=st.floats(0.3, 3),
    queue_s=times,
    others_s=times,
    switch_cost_s=times,
    data=st.data(),
)
def test_no_constraint_is_ever_broken(world, link, changed, queue_s, others_s, switch_cost_s, data):
    later = dataclasses.replace(link, bandwidth_bps=link.bandwidth_bps * changed)
    world = pressed(data.draw, world, data.draw(st.sampled_from([link, later])))
    try:
        planner = planner_of(world)
        first = planner.choose(link, queue_s=queue_s, others_s=others_s)
    except PlanError:
        return
    # A limit met to the last bit may be worked out a rounding apart here.
    rounded = world.scaled_limits(1 + 1e-9)
    allowed = {way.key: way for way in by_definition(rounded, link, queue_s)}

    def check(choice, ways):
        assert ways[key(choice)].allowed
        assert ways[key(choice)].in_time
        assert not choice.broken

    check(first, allowed)
    check(planner.plan(link, queue_s=queue_s, others_s=others_s).chosen, allowed)
    for choice in planner.pareto(link, queue_s=queue_s):
        check(choice, allowed)
    afterwards = {way.key: way for way in by_definition(rounded, later, queue_s)}
    for cut in world.manifest.cuts:
        try:
            forced = planner.forced(cut.id, link, queue_s=queue_s)
        except PlanError:
            continue
        # A forced cut may be late, and may be one that no plan would choose; nothing else gives way.
        assert not cut.candidate or allowed[key(forced)].allowed
    try:
        moved = planner.choose(later, queue_s=queue_s, others_s=others_s, current=first, switch_cost_s=switch_cost_s)
    except PlanError:
        return
    check(moved, afterwards)


@settings(max_examples=300, deadline=None)
@given(world=worlds(rich=True), link=links, queue_s=times, data=st.data())
def test_what_cannot_be_satisfied_names_what_helps_and_no_more_than_needed(world, link, queue_s, data):
    world = pressed(data.draw, world, link)
    try:
        planner = planner_of(world)
    except PlanError as error:
        # Nothing is known of the link yet: what is named helps over one that is good enough.
        ways, over, queued_s = error.relax, IDEAL, 0.0
    else:
        try:
            planner.choose(link, queue_s=queue_s)
        except PlanError as error:
            ways, over, queued_s = error.relax, link, queue_s
        else:
            return
    names_given = {f.name for f in dataclasses.fields(Constraints) if getattr(world.constraints, f.name) is not None}
    # A budget that was not given forbids narrowed codes, and codecs that were not given forbid lossy ones.
    assert {name for names in ways for name in names} <= names_given | {"accuracy_budget", "codecs"}
    for names in ways:
        planner_of(world.relaxed(names)).choose(over, queue_s=queued_s)
        for name in names:
            fewer = tuple(other for other in names if other != name)
            with pytest.raises(PlanError):
                planner_of(world.relaxed(fewer)).choose(over, queue_s=queued_s)
    if not ways:
        with pytest.raises(PlanError):
            planner_of(world.relaxed(tuple(f.name for f in dataclasses.fields(Constraints)))).choose(over)


def narrowed(share=0.02):
    """MIDDLE_WINS with 4-bit codes of a third of the size at add_1."""
    manifest, edge, cloud = MIDDLE_WINS
    head, tail = edge.cuts["add_1"], cloud.cuts["add_1"]
    head = dataclasses.replace(
        head, codec_s={**head.codec_s, "zstd@4": 0.0}, payload_bytes={**head.payload_bytes, "zstd@4": 6_000}
    )
    tail = dataclasses.replace(tail, codec_s={**tail.codec_s, "zstd@4": 0.0})
    edge = dataclasses.replace(edge, cuts={**edge.cuts, "add_1": head})
    cloud = dataclasses.replace(cloud, cuts={**cloud.cuts, "add_1": tail})
    return manifest, edge, cloud, Shares({} if share is None else {("add_1", 4): share})


def test_narrowed_codes_are_sent_only_within_a_measured_budget():
    manifest, edge, cloud, accuracy = narrowed()

    def chosen(budget, known=accuracy, codecs=None):
        constraints = Constraints(accuracy_budget=budget, codecs=codecs)
        return Planner(manifest, [edge], cloud, constraints, accuracy=known).choose(LINK)

    assert chosen(None).codec == "zstd"
    assert chosen(0.01).codec == "zstd"
    within = chosen(0.02)
    assert (within.cut_id, within.codec, within.changed_share) == ("add_1", "zstd@4", 0.02)
    assert chosen(0.02, None).codec == "zstd", "what nobody measured is not allowed"
    assert chosen(0.02, codecs=("zstd",)).codec == "zstd@4", "an id allows its widths"
    assert chosen(0.02, codecs=("zstd@4",)).cut_id == "add_1"


def test_each_refusal_says_which_constraint_and_by_how_much():
    manifest, edge, cloud, accuracy = narrowed()
    edge = dataclasses.replace(
        edge, cuts={**edge.cuts, "last": dataclasses.replace(edge.cuts["last"], memory_bytes=80_000_000)}
    )
    limits = Constraints(memory_bytes=50_000_000, accuracy_budget=0.01, deadline_s=0.2)
    plan = Planner(manifest, [edge], cloud, limits, accuracy=accuracy).plan(LINK)
    reasons = {(c.cut_id, c.codec): (c.broken, c.reason) for c in plan.rejected if c.broken}
    assert reasons == {
        ("0", "zstd"): (("deadline_s",), "takes 322 ms, over the deadline of 200 ms"),
        ("add_1", "zstd@4"): (("accuracy_budget",), "changes 2% of the answers, over the 1%"),
        ("last", ""): (
            ("memory_bytes", "deadline_s"),
            "its head takes 80 MB of memory, over the 50 MB allowed; takes 402 ms, over the deadline of 200 ms",
        ),
    }
    assert any("memory of the head of cut add_2 was not measured" in note for note in plan.notes)


def test_constraints_that_only_help_together_are_named_together():
    manifest, edge, cloud = pair([0, 10, 400], [40, 30, 0], [60_000, 20_000, 0])
    edge = dataclasses.replace(
        edge, cuts={**edge.cuts, "last": dataclasses.replace(edge.cuts["last"], memory_bytes=80_000_000)}
    )
    limits = Constraints(privacy_floor="last", memory_bytes=1_000_000, deadline_s=0.1)
    slow = LinkEstimate(bandwidth_bps=1e6, rtt_s=0.04)
    planner = Planner(manifest, [edge], cloud, dataclasses.replace(limits, memory_bytes=None))
    with pytest.raises(PlanError) as raised:
        planner.choose(slow)
    assert raised.value.relax == (("deadline_s",),)
    with pytest.raises(PlanError, match="on any link") as raised:
        Planner(manifest, [edge], cloud, limits)
    assert raised.value.relax == (("privacy_floor",), ("deadline_s", "memory_bytes"))
    image_only = dataclasses.replace(edge, cuts={"0": edge.cuts["0"]})
    with pytest.raises(
        PlanError, match="the codecs to allow zstd together with the privacy floor add_1 to cut 0"
    ) as raised:
        Planner(manifest, [image_only], cloud, Constraints(privacy_floor="add_1", codecs=("raw",)))
    assert raised.value.relax == (("codecs", "privacy_floor"),)
    assert str(raised.value).endswith("no single constraint would do")
