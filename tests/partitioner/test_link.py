"""The link estimator on arrivals of a simulated bottleneck: steps, slow start, bunched reads, small payloads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture_partitioner.dispersion import dispersion
from suture_partitioner.link import MIN_PAYLOAD_BYTES, PRIOR, LinkEstimator
from suture_partitioner.types import LinkEstimate

#: A ping that has been due for long: the path is silent.
DUE_S = 1.0


def arrivals_of(payload_bytes, rate_bps, *, chunks=12, rtt_s=0.04, first_window=None, jitter_s=0.0, seed=0):
    """(offset, time) of each chunk behind a bottleneck; with `first_window`, TCP's doubling windows, one an RTT."""
    rng = np.random.default_rng(seed)
    sizes = np.diff(np.linspace(0, payload_bytes, chunks + 1).astype(int))
    sent, window, window_start_s, free_s, arrivals = 0, first_window, 0.0, 0.0, []
    window_end = window
    for size in sizes:
        if window is not None and sent + size > window_end:
            window, window_start_s = window * 2, window_start_s + rtt_s
            window_end += window
        free_s = max(free_s, window_start_s) + 8 * size / rate_bps
        sent += int(size)
        arrivals.append((sent, free_s + abs(rng.normal(0, jitter_s)) if jitter_s else free_s))
    return arrivals


def feed(estimator, rate_bps, now_s, *, payload_bytes=120_000, rtt_s=0.04, **kwargs):
    arrivals = arrivals_of(payload_bytes, rate_bps, rtt_s=rtt_s, **kwargs)
    estimator.on_upload(payload_bytes, arrivals, arrivals[-1][1] + rtt_s, now_s)


def test_before_any_traffic_the_stated_prior_holds():
    assert LinkEstimator().estimate() == PRIOR
    prior = LinkEstimate(bandwidth_bps=3e6, rtt_s=0.2)
    assert LinkEstimator(prior).estimate() == prior
    assert PRIOR.samples == 0


@pytest.mark.parametrize("rate_bps", [0.5e6, 2e6, 20e6, 60e6])
def test_one_request_shows_the_rate_within_a_fifth(rate_bps):
    estimator = LinkEstimator()
    feed(estimator, rate_bps, 1.0)
    link = estimator.estimate()
    assert link.bandwidth_bps == pytest.approx(rate_bps, rel=0.2)
    assert link.rtt_s == pytest.approx(0.04, rel=0.05)
    assert (link.samples, link.measured_at_s) == (1, 1.0)


def test_steps_from_20_to_2_to_20_are_followed_after_two_requests():
    estimator = LinkEstimator()
    now_s = 0.0
    for rate_bps in (20e6, 2e6, 20e6):
        for request in range(5):
            now_s += 1
            feed(estimator, rate_bps, now_s, jitter_s=0.0005, seed=int(now_s))
            if request >= 1:
                assert estimator.estimate().bandwidth_bps == pytest.approx(rate_bps, rel=0.2), (rate_bps, request)
        assert estimator.estimate().spread_bps < 0.1 * rate_bps


def test_slow_start_does_not_hide_the_bottleneck():
    estimator = LinkEstimator()
    feed(estimator, 20e6, 1.0, first_window=14_600)
    assert estimator.estimate().bandwidth_bps == pytest.approx(20e6, rel=0.2)


def test_a_stray_sample_is_dropped_and_shows_as_spread():
    estimator = LinkEstimator()
    for now_s, rate_bps in enumerate((10e6, 10e6, 4e6)):
        feed(estimator, rate_bps, float(now_s))
    link = estimator.estimate()
    assert link.bandwidth_bps == pytest.approx(10e6, rel=0.05)
    assert link.spread_bps > 1e6


@pytest.mark.parametrize("other_bps", [1e6, 60e6])
def test_a_sample_far_off_counts_at_once_and_is_forgotten_with_the_next_if_it_was_a_stray(other_bps):
    estimator = LinkEstimator()
    for now_s in range(4):
        feed(estimator, 10e6, float(now_s))
    feed(estimator, other_bps, 4.0)
    assert estimator.estimate().bandwidth_bps == pytest.approx(other_bps, rel=0.1)
    feed(estimator, 10e6, 5.0)
    assert estimator.estimate().bandwidth_bps == pytest.approx(10e6, rel=0.1)


def test_chance_agreement_of_a_few_samples_does_not_hide_how_the_link_scatters():
    rng = np.random.default_rng(3)
    estimator = LinkEstimator()
    for request in range(40):
        feed(estimator, 8e6 * rng.lognormal(0, 0.2), float(request))
    link = estimator.estimate()
    assert link.bandwidth_bps == pytest.approx(8e6, rel=0.2)
    assert 0.08 < link.spread_bps / link.bandwidth_bps < 0.3


@pytest.mark.parametrize(("before_bps", "after_bps"), [(2e6, 20e6), (20e6, 2e6)])
def test_one_probe_shows_that_an_idle_link_has_changed(before_bps, after_bps):
    estimator = LinkEstimator()
    for now_s in range(4):
        estimator.on_heartbeat(0.04, float(now_s))
        feed(estimator, before_bps, float(now_s))
    spacing_s = 8 * 12_000 / after_bps
    estimator.on_probe(12_000, spacing_s, 0.041 + spacing_s, 5.0)
    link = estimator.estimate()
    assert link.bandwidth_bps == pytest.approx(after_bps, rel=0.25)
    assert link.measured_at_s == 5.0


def test_pongs_that_were_read_at_once_do_not_look_like_a_fast_link():
    estimator = LinkEstimator()
    estimator.on_heartbeat(0.04, 0.0)
    feed(estimator, 2e6, 1.0)
    estimator.on_probe(12_000, 0.0, 0.04 + 8 * 12_000 / 2e6, 2.0)
    assert estimator.estimate().bandwidth_bps < 6e6


def test_a_request_that_was_given_up_bounds_the_rate_from_above_and_only_lowers_it():
    estimator = LinkEstimator()
    for now_s in range(4):
        feed(estimator, 20e6, float(now_s))
    estimator.on_unfinished(100_000, 0.01, 4.0, ping_s=DUE_S)
    assert estimator.estimate().bandwidth_bps == pytest.approx(20e6, rel=0.1)
    estimator.on_unfinished(100_000, 1.0, 5.0, ping_s=DUE_S)
    assert estimator.estimate().bandwidth_bps == pytest.approx(0.8e6)
    fresh = LinkEstimator()
    fresh.on_unfinished(100_000, 1.0, 0.0, ping_s=DUE_S)
    assert fresh.estimate().bandwidth_bps == pytest.approx(0.8e6)


def test_a_request_that_the_cloud_was_late_with_says_nothing_of_the_link():
    estimator = LinkEstimator()
    for now_s in range(4):
        feed(estimator, 20e6, float(now_s))
    before = estimator.estimate(5.0)
    # Pings came back within what they may wait behind the payload itself: 40 ms of it, and 40 ms of round trip.
    estimator.on_unfinished(100_000, 0.5, 5.0, ping_s=0.08)
    assert estimator.estimate(5.0) == before
    feed(estimator, 2e6, 6.0)  # and nothing is taken for the slow start after an outage
    assert estimator.estimate().bandwidth_bps == pytest.approx(2e6, rel=0.1)


def test_what_requests_lose_to_stalls_is_averaged_and_fades():
    estimator = LinkEstimator()
    for request in range(20):
        feed(estimator, 10e6, float(request))
    assert estimator.estimate().stall_s == pytest.approx(0, abs=2e-3)
    estimator.on_upload(120_000, arrivals_of(120_000, 10e6), 0.04 + 0.096 + 0.8, 20.0)
    stalled_s = estimator.estimate(20.0).stall_s
    assert stalled_s == pytest.approx(0.1, rel=0.05)
    assert estimator.estimate(50.0).stall_s == pytest.approx(stalled_s / 2, rel=0.01)


def test_an_outage_weighs_less_than_a_request_that_was_slow():
    slow, lost = LinkEstimator(), LinkEstimator()
    for estimator in (slow, lost):
        for request in range(20):
            feed(estimator, 10e6, float(request))
    slow.on_upload(120_000, arrivals_of(120_000, 10e6), 0.04 + 0.096 + 0.8, 20.0)
    lost.on_unfinished(120_000, 0.04 + 0.096 + 0.8, 20.0, ping_s=DUE_S)
    assert lost.estimate(20.0).stall_s == pytest.approx(slow.estimate(20.0).stall_s / 4, rel=0.05)


def test_after_an_outage_probes_that_bbr_held_back_lead_to_the_rate_that_the_link_had_within_reason():
    paced_s = 8 * 12_000 / 6e6
    for carried_bps, tried_bps in ((18e6, 18e6), (90e6, 24e6), (4e6, PRIOR.bandwidth_bps)):
        link = LinkEstimator()
        link.on_heartbeat(0.04, 0.0)
        link.on_probe(12_000, 0.04, 0.08, 0.0)
        for request in range(1, 12):
            feed(link, carried_bps, float(request), payload_bytes=400_000)
        link.on_unfinished(400_000, 1.0, 12.0, ping_s=DUE_S)
        for second in (20.0, 21.0):
            link.on_probe(12_000, paced_s, 0.04 + paced_s, second)
        assert link.estimate().bandwidth_bps == pytest.approx(tried_bps, rel=0.15), carried_bps


def test_the_first_request_after_an_outage_may_show_a_fast_link_but_no_slow_one():
    link = LinkEstimator()
    for request in range(10):
        feed(link, 16e6, float(request))
    link.on_unfinished(120_000, 1.0, 10.0, ping_s=DUE_S)
    for second in (15.0, 16.0):
        link.on_probe(12_000, 8 * 12_000 / 6e6, 0.04 + 8 * 12_000 / 6e6, second)
    tried_bps = link.estimate().bandwidth_bps
    feed(link, 2e6, 17.0)  # slow start, on a connection that is new
    assert link.estimate().bandwidth_bps == tried_bps
    assert link.estimate(17.0).stall_s < 0.05
    feed(link, 2e6, 18.0)
    assert link.estimate().bandwidth_bps == pytest.approx(2e6, rel=0.1)


def test_a_rate_beyond_what_the_round_trip_tells_is_read_off_the_receivers_clock():
    link = LinkEstimator()
    for second in range(6):
        feed(link, 200e6, float(second), payload_bytes=60_000)
    assert link.estimate().bandwidth_bps == pytest.approx(200e6, rel=0.25)


def test_what_was_measured_long_ago_counts_for_less_and_less():
    estimator = LinkEstimator()
    for now_s in range(4):
        feed(estimator, 1e6, float(now_s))
    now = estimator.estimate(3.0)
    later, much_later = estimator.estimate(3.0 + 120), estimator.estimate(3.0 + 3600)
    assert now.bandwidth_bps < later.bandwidth_bps < much_later.bandwidth_bps
    assert much_later.bandwidth_bps == pytest.approx(PRIOR.bandwidth_bps, rel=0.01)
    shares = [link.spread_bps / link.bandwidth_bps for link in (now, later, much_later)]
    assert shares == sorted(shares)
    assert estimator.estimate().bandwidth_bps == now.bandwidth_bps


def test_chunks_that_a_busy_receiver_read_at_once_do_not_look_like_a_fast_link():
    estimator = LinkEstimator()
    bunched = [(10_000 * i, 0.5 + 0.0021 * i) for i in range(1, 13)]  # 38 Mbit/s, half a second late
    estimator.on_upload(120_000, bunched, bunched[-1][1] + 0.04, 1.0)
    assert estimator.estimate().bandwidth_bps < 8e6


def test_small_payloads_tell_the_round_trip_only():
    estimator = LinkEstimator()
    feed(estimator, 2e6, 1.0, payload_bytes=MIN_PAYLOAD_BYTES - 1, rtt_s=0.1)
    link = estimator.estimate()
    assert link.bandwidth_bps == PRIOR.bandwidth_bps
    assert link.rtt_s == pytest.approx(0.1)
    assert link.samples == 0


@pytest.mark.parametrize("payload_bytes", [6_000, MIN_PAYLOAD_BYTES - 1])
@pytest.mark.parametrize(("before_bps", "after_bps"), [(2e6, 20e6), (20e6, 2e6)])
def test_small_payloads_follow_a_link_that_changed(payload_bytes, before_bps, after_bps):
    estimator = LinkEstimator()
    for now_s in (1.0, 2.0, 3.0):
        feed(estimator, before_bps, now_s)
    for now_s in (4.0, 5.0):
        feed(estimator, after_bps, now_s, payload_bytes=payload_bytes, chunks=1)
    low, high = 0.7 * after_bps, 2.5 * after_bps
    assert low <= estimator.estimate().bandwidth_bps <= high


def test_slow_start_of_a_small_payload_does_not_lower_the_estimate():
    estimator = LinkEstimator()
    for now_s in (1.0, 2.0, 3.0):
        feed(estimator, 20e6, now_s)
    before = estimator.estimate()
    for now_s in (4.0, 5.0, 6.0):
        size = MIN_PAYLOAD_BYTES - 1
        took_s = 8 * size / 20e6 + 0.04
        estimator.on_upload(size, [(size, took_s)], took_s + 0.04, now_s)
    assert estimator.estimate().bandwidth_bps == before.bandwidth_bps


def test_without_arrivals_the_uploads_time_counts_and_the_first_request_only_until_the_second():
    estimator = LinkEstimator()
    estimator.on_heartbeat(0.04, 0.5)
    estimator.on_upload(100_000, [], 0.04 + 0.8 / 2, 1.0)  # in slow start: half the rate
    assert estimator.estimate().bandwidth_bps == pytest.approx(2e6, rel=0.01)
    estimator.on_upload(100_000, [], 0.04 + 0.8 / 4, 2.0)
    assert estimator.estimate().bandwidth_bps == pytest.approx(4e6, rel=0.01)
    assert estimator.estimate().spread_bps == 0


def test_heartbeats_that_queued_behind_an_upload_do_not_raise_the_round_trip():
    estimator = LinkEstimator()
    for now_s in range(5):
        estimator.on_heartbeat(0.04, float(now_s))
        estimator.on_heartbeat(0.6, now_s + 0.5, uploading=True)
    assert estimator.estimate().rtt_s == pytest.approx(0.04)


def test_the_round_trip_follows_a_change_of_path_after_four_idle_heartbeats_and_two_of_five_may_be_late():
    estimator = LinkEstimator()
    for now_s, rtt_s in enumerate((0.04, 0.04, 0.04, 0.2, 0.2)):
        estimator.on_heartbeat(rtt_s, float(now_s))
    assert estimator.estimate().rtt_s == pytest.approx(0.04)
    for now_s in (5.0, 6.0):
        estimator.on_heartbeat(0.2, now_s)
    assert estimator.estimate().rtt_s == pytest.approx(0.2)
    for now_s in (7.0, 8.0):
        estimator.on_heartbeat(0.04, now_s)
    assert estimator.estimate().rtt_s == pytest.approx(0.04)


def test_on_a_busy_link_the_smallest_recent_round_trip_counts():
    estimator = LinkEstimator()
    for now_s, rtt_s in ((0.0, 0.5), (1.0, 0.09), (2.0, 0.7)):
        estimator.on_heartbeat(rtt_s, now_s, uploading=True)
    assert estimator.estimate().rtt_s == pytest.approx(0.09)


def test_dispersion_needs_three_arrivals_that_can_be_told_apart():
    assert dispersion([]) is None
    assert dispersion([(1000, 0.0), (2000, 0.1)]) is None
    assert dispersion([(1000 * i, 0.0001 * i) for i in range(15)]) is None
    assert dispersion([(1000 * i, 0.008 * i) for i in range(5)]) == pytest.approx(1e6)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**9),
            st.lists(st.tuples(st.integers(0, 10**9), st.floats(-10, 1e6)), max_size=20),
            st.floats(-10, 1e6),
        ),
        max_size=8,
    )
)
def test_whatever_a_server_reports_the_estimate_is_a_link_that_can_be_planned_with(uploads):
    estimator = LinkEstimator()
    for now_s, (payload_bytes, arrivals, round_trip_s) in enumerate(uploads):
        estimator.on_upload(payload_bytes, arrivals, round_trip_s, float(now_s))
    link = estimator.estimate()
    assert 0 < link.bandwidth_bps <= 1e11
    assert link.rtt_s > 0
    assert link.spread_bps >= 0
    assert link.spread_s >= 0


def test_probes_that_bbr_may_have_paced_are_tried_once_until_the_link_was_slow() -> None:
    link = LinkEstimator()
    for beat in range(3):
        link.on_heartbeat(0.04, 0.1 * beat)
    paced_s = 8 * 12_000 / 6e6
    seen = []
    for second in range(1, 7):
        link.on_probe(12_000, paced_s, 0.04 + paced_s, float(second))
        seen.append(link.estimate().bandwidth_bps)
    assert seen[0] == pytest.approx(6e6)  # one alone may be noise
    assert seen[1] == PRIOR.bandwidth_bps
    assert seen[-1] == PRIOR.bandwidth_bps  # nothing was sent at it yet, and further such probes say nothing new
    feed(link, 6e6, 7.0)
    assert link.estimate().bandwidth_bps < 8e6
    for second in (7.2, 7.4, 7.6, 7.8):
        link.on_probe(12_000, paced_s, 0.04 + paced_s, second)
    assert link.estimate().bandwidth_bps < 8e6  # and it is not tried again at once
    link.on_probe(12_000, 0.06, 0.1, 8.0)
    for second in (9.0, 10.0, 11.0, 12.0):
        link.on_probe(12_000, paced_s, 0.04 + paced_s, second)
    assert link.estimate().bandwidth_bps == PRIOR.bandwidth_bps
