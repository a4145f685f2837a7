"""The planner against brute force over random profiles; constraints, reasons, crossovers, speed."""

import dataclasses
import statistics
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from suture_models.manifest import (
    ArtefactFile,
    Cut,
    Manifest,
    NetworkSpec,
    Preprocess,
    TensorSpec,
)
from suture_partitioner.caution import cautious
from suture_partitioner.plan import HYSTERESIS, Planner, plan
from suture_partitioner.types import Constraints, CutTiming, LinkEstimate, Profile
from suture_protocol.errors import PlanError


def manifest_of(count: int, barred: frozenset[int] = frozenset()) -> Manifest:
    image = TensorSpec(name="image", shape=(1, 1, 224, 224), dtype="uint8")
    file = ArtefactFile(path="x", sha256="0" * 64, size_bytes=1)
    return Manifest(
        network=NetworkSpec(
            name="net",
            kind="image",
            input=image,
            preprocess=Preprocess(size=(224, 224), channels=1),
            output="classes",
            labels=("a", "b"),
            weights="random",
        ),
        graph=(),
        outputs=(),
        cuts=tuple(
            Cut(
                id={0: "0", count - 1: "last"}.get(i, f"add_{i}"),
                index=i,
                boundary=(image,),
                head_macs=i,
                tail_macs=count - 1 - i,
                candidate=i not in barred,
            )
            for i in range(count)
        ),
        variants=(),
        program=file,
        weights=file,
        built_with={},
    )


def profile_of(side, cuts, variant_id="openvino-int8-vnni", **changes) -> Profile:
    fields = {
        "side": side,
        "bundle_digest": "ab" * 32,
        "network": "net",
        "engine": "openvino",
        "variant_id": variant_id,
        "device": {},
        "versions": {},
        "threads": 1,
        "device_factor": 1.0,
        "measured_at": "",
        "preprocess_s": 0.002 if side == "edge" else 0.0,
        "cuts": cuts,
    }
    return Profile(**{**fields, **changes})


def timing(compute_s, codecs=None, sizes=None) -> CutTiming:
    return CutTiming(
        compute_s=compute_s, compute_min_s=compute_s, samples=9, codec_s=codecs or {}, payload_bytes=sizes or {}
    )


def pair(heads_ms, tails_ms, sizes):
    """Profiles with one codec, from lists over the cuts; the last cut's size is ignored."""
    manifest = manifest_of(len(heads_ms))
    edge, cloud = {}, {}
    for cut, head_ms, tail_ms, size in zip(manifest.cuts, heads_ms, tails_ms, sizes, strict=True):
        last = cut.id == "last"
        edge[cut.id] = timing(head_ms / 1e3, {} if last else {"zstd": 0.0}, {} if last else {"zstd": size})
        if not last:
            cloud[cut.id] = timing(tail_ms / 1e3, {"zstd": 0.0})
    return manifest, profile_of("edge", edge), profile_of("cloud", cloud)


MIDDLE_WINS = pair([0, 10, 50, 400], [40, 30, 10, 0], [60_000, 20_000, 13_000, 0])
LINK = LinkEstimate(bandwidth_bps=2e6, rtt_s=0.04)

times = st.one_of(st.just(0.0), st.floats(1e-5, 2.0))


@st.composite
def worlds(draw):
    count = draw(st.integers(2, 7))
    manifest = manifest_of(count, frozenset(draw(st.sets(st.integers(1, count - 2)))) if count > 3 else frozenset())
    codecs = draw(st.sets(st.sampled_from(["raw", "zstd", "jpegls", "jpeg"]), min_size=1))

    def side(name, variant_id, optional):
        cuts = {}
        for cut in manifest.cuts:
            if optional and draw(st.integers(0, 4)) == 0:
                continue
            known = [] if cut.id == "last" else [c for c in sorted(codecs) if cut.id == "0" or c != "jpeg"]
            sizes = {codec: draw(st.integers(1, 2_000_000)) for codec in known} if name == "edge" else {}
            cuts[cut.id] = timing(draw(times), {codec: draw(times) for codec in known}, sizes)
        return profile_of(name, cuts, variant_id)

    edges = [side("edge", f"variant-{i}", i > 0) for i in range(draw(st.integers(1, 3)))]
    cloud = side("cloud", "torch", True) if draw(st.integers(0, 5)) else None
    constraints = Constraints(
        deadline_s=draw(st.one_of(st.none(), st.floats(1e-3, 5.0))),
        privacy_floor=draw(st.one_of(st.none(), st.sampled_from([cut.id for cut in manifest.cuts]))),
        codecs=draw(st.one_of(st.none(), st.lists(st.sampled_from(["raw", "zstd", "jpeg"]), max_size=3).map(tuple))),
    )
    return manifest, edges, cloud, constraints


links = st.builds(
    LinkEstimate,
    bandwidth_bps=st.floats(1e3, 1e10),
    rtt_s=st.floats(0, 2),
    spread_bps=st.one_of(st.just(0.0), st.floats(0, 1e9)),
    spread_s=st.one_of(st.just(0.0), st.floats(0, 1)),
)


def brute_force(world, link, queue_s):
    """Total time of every choice that the constraints allow, by the definition."""
    manifest, edges, cloud, constraints = world
    bandwidth_bps = max(link.bandwidth_bps - link.spread_bps, link.bandwidth_bps / 2)
    rtt_s = link.rtt_s + link.spread_s
    allowed = {}
    input_from = next((edge for edge in edges if "0" in edge.cuts), None)
    for edge in edges:
        for cut_id, head in edge.cuts.items():
            cut = manifest.cut(cut_id)
            floor = constraints.privacy_floor
            if not cut.candidate or (floor is not None and cut.index < manifest.cut(floor).index):
                continue
            if cut_id == "last":
                allowed[cut_id, "", edge.variant_id] = edge.preprocess_s + head.compute_s
                continue
            if cloud is None or cut_id not in cloud.cuts or (cut_id == "0" and edge is not input_from):
                continue
            tail = cloud.cuts[cut_id]
            for codec in head.codec_s.keys() & tail.codec_s.keys():
                if codec not in (constraints.codecs if constraints.codecs is not None else ("raw", "zstd", "jpegls")):
                    continue
                total_s = edge.preprocess_s + head.compute_s + head.codec_s[codec] + rtt_s
                total_s += 8 * head.payload_bytes[codec] / bandwidth_bps
                total_s += queue_s + tail.codec_s[codec] + tail.compute_s
                allowed[cut_id, codec, edge.variant_id] = total_s
    return allowed


@settings(max_examples=300, deadline=None)
@given(world=worlds(), link=links, queue_s=times)
def test_the_look_up_equals_brute_force_and_never_breaks_a_constraint(world, link, queue_s):
    allowed = brute_force(world, link, queue_s)
    manifest, edges, cloud, constraints = world
    best_s = min(allowed.values(), default=None)
    deadline_s = constraints.deadline_s
    if best_s is None or (deadline_s is not None and best_s > deadline_s * (1 + 1e-9)):
        with pytest.raises(PlanError, match=r"relax|profile"):
            plan(manifest, edges, cloud, link, constraints, queue_s)
        return
    assume(deadline_s is None or best_s <= deadline_s * (1 - 1e-9))
    result = plan(manifest, edges, cloud, link, constraints, queue_s)
    key = (result.chosen.cut_id, result.chosen.codec, result.chosen.variant_id)
    assert key in allowed
    assert result.chosen.steps.total_s == pytest.approx(allowed[key], rel=1e-9, abs=1e-12)
    assert allowed[key] == pytest.approx(best_s, rel=1e-9, abs=1e-9)
    assert all(choice.reason for choice in result.rejected)
    totals = [choice.steps.total_s for choice in result.rejected]
    assert totals == sorted(totals)


@settings(max_examples=100, deadline=None)
@given(world=worlds(), rtt_s=st.floats(0, 2), queue_s=times)
def test_on_either_side_of_a_crossover_the_named_choices_win(world, rtt_s, queue_s):
    manifest, edges, cloud, constraints = world
    constraints = dataclasses.replace(constraints, deadline_s=None)
    try:
        planner = Planner(manifest, edges, cloud, constraints)
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
        "no plan meets the deadline of 120 ms: the fastest allowed is cut add_2 with 154 ms; relax the deadline, or the"
        " constraint that forbids cut 0 with 102 ms (shallower than the privacy floor add_1)"
    )
    with pytest.raises(PlanError, match=r"relax the deadline$"):
        plan(manifest, [edge], cloud, LINK, Constraints(deadline_s=0.001))


def test_constraints_that_leave_nothing_are_named():
    manifest, edge, cloud = MIDDLE_WINS
    no_last = dataclasses.replace(edge, cuts={k: v for k, v in edge.cuts.items() if k != "last"})
    with pytest.raises(PlanError, match="relax one of: codec zstd is not allowed"):
        plan(manifest, [no_last], cloud, LINK, Constraints(codecs=("raw",)))
    with pytest.raises(PlanError, match="without a cloud only the last cut is possible"):
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
    assert planner.choose(uncertain) == planner.choose(LinkEstimate(bandwidth_bps=1e6, rtt_s=0.05))
    wild = dataclasses.replace(LINK, spread_bps=9e9)
    assert planner.choose(wild) == planner.choose(LinkEstimate(bandwidth_bps=1e6, rtt_s=0.04))


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


def test_planning_again_takes_well_under_a_millisecond():
    count = 200
    heads = [i * 1.5 for i in range(count)]
    manifest, edge, cloud = pair(heads, [0.0] * count, [2_000_000 // (i + 1) for i in range(count)])
    planner = Planner(manifest, [edge], cloud)
    assert len(planner.crossovers(rtt_s=0.04)) > 50
    taken_s = []
    for i in range(300):
        link = LinkEstimate(bandwidth_bps=1e5 * (i + 1), rtt_s=0.04)
        start_s = time.perf_counter()
        planner.choose(link)
        taken_s.append(time.perf_counter() - start_s)
    assert statistics.median(taken_s) < 1e-3
