"""The demonstration's results in sentences, for the screen and the report alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suture.demo.advice import FACTOR_MAX, RATES_MIN_MAX_BPS
from suture.demo.settings import ARM_TITLES
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_protocol.units import format_rate, format_time

NOT_FOR_DIAGNOSIS = "Not for diagnosis. The images are public and de-identified; nothing here is a medical device."


def cut_title(cut_id: str) -> str:
    """A cut in words."""
    return {INPUT_CUT: "0 (send the image)", LAST_CUT: "last (all on the unit)"}.get(cut_id, cut_id)


def winner_of(times_s: Mapping[str, float], cut: str) -> str:
    """The fastest way. A split at the input or at the last cut is the same work as that way, and counts as it."""
    fastest = min(times_s, key=times_s.__getitem__)
    return {INPUT_CUT: "image_upload", LAST_CUT: "edge_only"}.get(cut, "split") if fastest == "split" else fastest


def won(entry: Mapping[str, Any], arm: str) -> bool:
    """Whether `arm` is the winner, or the split that did the same work."""
    return arm == entry["winner"] or (arm == "split" and _planned(entry))


def winner_text(entry: Mapping[str, Any]) -> str:
    """The winner's name, and whether the plan chose it."""
    return ARM_TITLES[entry["winner"]] + (", as planned" if _planned(entry) else "")


def _planned(entry: Mapping[str, Any]) -> bool:
    return str(entry["winner"]) == {INPUT_CUT: "image_upload", LAST_CUT: "edge_only"}.get(entry["cut"], "split")


def middle_text(entry: Mapping[str, Any]) -> str:
    """By how much the best middle cut loses or wins, against the best of the other ways."""
    middle = entry["middle"]
    if middle is None:
        return "the network has no middle cut to plan with"
    rivals = _rivals_s(entry)
    best = winner_of(rivals, entry["cut"])
    by_s = middle["time_s"] - min(rivals.values())
    verb = "loses" if by_s > 0 else "wins"
    text = f"best middle cut, {middle['cut']}: {format_time(middle['time_s'])}, {verb} by {format_time(abs(by_s))}"
    return f"{text} to {ARM_TITLES[best]}" if by_s > 0 else f"{text} over {ARM_TITLES[best]}"


def verdict(results: Mapping[str, Any]) -> list[str]:
    """What came out, in a few sentences: who won where, and whether any cut inside the network did."""
    links = results["links"]
    wins: dict[str, dict[str, list[str]]] = {}
    for entry in links:
        cases = wins.setdefault(winner_text(entry), {})
        cases.setdefault(f"{entry['network']} on {entry['study']}", []).append(format_rate(entry["rate_bps"]))
    said = [
        f"Fastest was {name}: {'; '.join(f'{case} at {_listed(rates)}' for case, rates in cases.items())}."
        for name, cases in wins.items()
    ]
    inside = [
        entry for entry in links if entry["middle"] and entry["middle"]["time_s"] < min(_rivals_s(entry).values())
    ]
    if not inside:
        said.append(
            f"No cut inside a network won in any of the {len(links)} cases; by how much it lost is given with each."
        )
    by_file = [entry for entry in links if entry["winner"] == "dicom_upload"]
    if by_file:
        slow = sum(entry["before_s"] > entry["times_s"]["dicom_upload"] for entry in by_file)
        reasons = {
            "because this unit needs longer to decode the file than the link and the cloud need for all of it": slow,
            "because the cloud computes faster than the unit": len(by_file) - slow,
        }
        because = [f"in {count} {reason}" for reason, count in reasons.items() if count]
        said.append(
            f"The DICOM file won in {len(by_file)} of {len(links)} cases, {' and '.join(because)}. The planner may not "
            "choose that way: a file carries the patient's identifiers."
        )
    return said


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def winner_s(entry: Mapping[str, Any]) -> float:
    """The winner's time; of two ways that did the same work the smaller one."""
    return float(min(time_s for arm, time_s in entry["times_s"].items() if won(entry, arm)))


def _rivals_s(entry: Mapping[str, Any]) -> dict[str, float]:
    """The times of all ways that send no codes of a middle cut."""
    middle = entry["cut"] not in (INPUT_CUT, LAST_CUT)
    return {arm: time_s for arm, time_s in entry["times_s"].items() if arm != "split" or not middle}


def advice_lines(where: Mapping[str, Any]) -> str:
    """Where a middle cut would win under one supposition, in one sentence."""
    low, high = (format_rate(rate) for rate in RATES_MIN_MAX_BPS)
    if where["least"] is None:
        return f"{where['supposing']}: at no device factor from 1 to {FACTOR_MAX:g} and no rate from {low} to {high}."
    parts = []
    if where["rates_bps"] is not None:
        parts.append("on this device at " + _rates(where["rates_bps"]))
    else:
        parts.append("on this device at no rate")
    known = [f"{factor:.3g} at {format_rate(rate)}" for rate, factor in where["factor_by_rate"] if factor is not None]
    never = [format_rate(rate) for rate, factor in where["factor_by_rate"] if factor is None]
    if known:
        parts.append("from device factor " + ", ".join(known))
    if never:
        parts.append("at no device factor at " + ", ".join(never))
    factor, rate_bps = where["least"]
    parts.append(f"the first at all from factor {factor:.3g} (at {format_rate(rate_bps)})")
    return f"{where['supposing']}: {'; '.join(parts)}."


def _rates(span: tuple[float, float]) -> str:
    low, high = span
    least, most = RATES_MIN_MAX_BPS
    if low <= least * 1.01 and high >= most * 0.99:
        return "every rate"
    if high >= most * 0.99:
        return f"{format_rate(low)} and more"
    return f"{format_rate(low)} to {format_rate(high)}"


def device_text(results: Mapping[str, Any]) -> str:
    """What device is emulated, and where its factor comes from."""
    device = results["device"]
    if not device["board"]:
        return f"an emulated device {device['factor']:g} times slower than this machine ({device['source']})"
    return (
        f"an emulated {device['board']}: {device['factor']:g} times slower than this machine "
        f"({device['basis']}; {device['source']})"
    )


def link_text(entry: Mapping[str, Any]) -> str:
    """A link in words, with whether it was emulated."""
    rate, rtt = format_rate(entry["rate_bps"]), format_time(entry["rtt_s"])
    if not entry["link_emulated"]:
        return f"loopback, NOT EMULATED (would be {rate}, {rtt} round trip)"
    valid = "" if entry["link_valid"] else ", BUT THE EMULATION DID NOT KEEP ITS TIMES: do not quote"
    return f"{rate}, {rtt} round trip (emulated{valid})"
