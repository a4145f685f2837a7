"""report.html: one self-contained page that says what was measured, what was emulated, and what came out."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from statistics import median
from typing import Any, Final

from suture.demo.charts import bars, curves, envelope_text
from suture.demo.settings import ARM_TITLES, ARMS
from suture.demo.studies import Study
from suture.demo.words import (
    NOT_FOR_DIAGNOSIS,
    advice_lines,
    cut_title,
    device_text,
    link_text,
    middle_text,
    verdict,
    winner_s,
    winner_text,
    won,
)
from suture_protocol.units import format_rate, format_size, format_time

_PICTURE_SIDE: Final = 360
_STYLE: Final = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;color:#1c2b33;
background:#fff;max-width:1020px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:27px;margin:0 0 4px}h2{font-size:20px;margin:38px 0 8px;border-bottom:2px solid #0b6e8a;padding-bottom:4px}
h3{font-size:16px;margin:22px 0 4px}p{margin:6px 0 10px;max-width:860px}
.lead{font-size:17px}.note{background:#fbf3e6;border-left:4px solid #c9772b;padding:8px 12px;max-width:840px}
.alarm{background:#fdeaea;border-left:4px solid #b3261e;padding:8px 12px;font-weight:600}
.small{color:#5d6e78;font-size:13px}svg{width:100%;height:auto;display:block;font-family:inherit}
table{border-collapse:collapse;margin:10px 0 14px;font-size:13.5px}th,td{padding:4px 9px;text-align:left;
vertical-align:top;border-bottom:1px solid #e3e8eb}th{font-weight:600;background:#f4f7f8}td.n{text-align:right;
white-space:nowrap}td.w{background:#e2f0f4;font-weight:600}
.row{display:grid;grid-template-columns:repeat(auto-fit,minmax(400px,1fr));gap:22px}.panel{min-width:0;break-inside:avoid}
.figures{display:flex;flex-wrap:wrap;gap:26px}
figure{margin:0;break-inside:avoid;max-width:360px}figure img{max-width:100%;border:1px solid #c9d2d7;background:#000}
code{font-size:12.5px;overflow-wrap:anywhere}details{margin:8px 0}
@media print{body{max-width:none;padding:0;font-size:12px}h2{break-after:avoid}h3{break-after:avoid}
.row{grid-template-columns:1fr 1fr}}
"""


def page(results: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The page as HTML.

    Args:
        results: What `results.json` holds.
        pictures: Study → the picture that was read, as a data URI.
    """
    links = results["links"]
    parts = [
        "<h1>One study, several ways to a result</h1>",
        f'<p class="small">Suture demonstration, {escape(results["date"])}. {escape(NOT_FOR_DIAGNOSIS)}</p>',
        *_alarms(results),
        *(f'<p class="lead">{escape(line)}</p>' for line in verdict(results)),
        _setting(results),
        "<h2>What was read, and the finding</h2>",
        _pictures(results, pictures),
    ]
    for rate_bps in dict.fromkeys(entry["rate_bps"] for entry in links):
        parts += _link([entry for entry in links if entry["rate_bps"] == rate_bps])
    parts += [*_predictions(results), *_where(results), _method(), _facts(results)]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Suture demonstration</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>{body}</body>'
        "</html>\n"
    )


def picture_uri(study: Study) -> str:
    """The picture of a study as a viewer shows it (window and inversion applied), as a PNG data URI."""
    from PIL import Image

    from suture_models.preprocess import displayed
    from suture_models.walk import read_file

    picture = read_file(study.path)
    if picture.kind != "image":
        return ""
    pixels = (displayed(picture.values, picture) * 255).round().astype("uint8")
    image = Image.fromarray(pixels)
    image.thumbnail((2 * _PICTURE_SIDE, 2 * _PICTURE_SIDE))
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def _alarms(results: Mapping[str, Any]) -> list[str]:
    found = []
    if not results["link_emulated"]:
        found.append("The links were not emulated on this machine: all figures below are over its loopback.")
    for name, report in results["link_reports"].items():
        if report is not None and not report["valid"]:
            found.append(f"The emulated link {name} did not keep its times ({report['invalid_reason']}): do not quote.")
    return [f'<p class="alarm">{escape(text)}</p>' for text in found]


def _setting(results: Mapping[str, Any]) -> str:
    emulated = "through an emulated link (a relay in network namespaces; real TCP)"
    machine = results["machine"]
    over = emulated if results["link_emulated"] else "over this machine's loopback (links could not be emulated)"
    return (
        "<h2>What is real here, and what is emulated</h2>"
        f"<p><b>Real:</b> the images, the networks, INT8 heads by OpenVINO on one thread, gRPC between separate "
        f"processes, torch tails ({escape(results['cloud_device'])}, one thread), every byte sent. "
        f"<b>Emulated:</b> the unit's speed and the link. The unit is {escape(device_text(results))}. "
        f"{escape(results['calibration_text'].capitalize())}. It talks to the cloud {escape(over)}. The cloud is this "
        f"machine, at its own speed: {escape(machine.get('cpu', ''))}, {escape(machine.get('cores', ''))} "
        "cores shared by all processes.</p>"
    )


def _pictures(results: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    shown = []
    for name, study in results["studies"].items():
        findings = {e["network"]: e["finding"]["text"] for e in results["links"] if e["study"] == name}
        words = "<br>".join(f"<b>{escape(n)}</b>: {escape(text)}" for n, text in findings.items())
        image = f'<img src="{pictures[name]}" alt="{escape(study["title"])}">' if pictures.get(name) else ""
        shown.append(
            f"<figure>{image}<figcaption><b>{escape(study['title'])}</b> ({escape(name)})<br>{words}<br>"
            f'<span class="small">{escape(study["file"])}, {format_size(study["bytes"])}. {escape(study["remark"])}. '
            f"Reading it takes {format_time(median(study['read_samples_s']))} on the emulated unit "
            f"(n = {len(study['read_samples_s'])}).</span></figcaption></figure>"
        )
    return f'<div class="figures">{"".join(shown)}</div>'


def _link(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    emulated = entries[0]["link_emulated"]
    what = "unit and link emulated" if emulated else "unit emulated, link NOT emulated"
    panels = "".join(
        f'<div class="panel"><h3>{escape(e["network"])}, {escape(e["study"])}</h3>{bars(e)}'
        f'<p class="small">Time to result, median; ticks are the single runs; {what}'
        f"{'; random weights' if e['weights'] == 'random' else ''}.</p>"
        f"<p>Winner: <b>{escape(winner_text(e))}</b>, {format_time(winner_s(e))}. "
        f"{escape(_sentence(middle_text(e)))}</p>"
        f'<p class="small">The plan took cut {escape(cut_title(e["cut"]))}, predicted {format_time(e["predicted_s"])}, '
        f"measured {format_time(e['times_s']['split'])}. {escape(_sentence(e['why']))}</p></div>"
        for e in entries
    )
    return [f"<h2>{escape(link_text(entries[0]))}</h2>", _table(entries), f'<div class="row">{panels}</div>']


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _table(entries: Iterable[Mapping[str, Any]]) -> str:
    head = "".join(
        f"<th>{escape(t)}</th>" for t in ("network", "study", "cut", "payload", *(ARM_TITLES[a] for a in ARMS))
    )
    rows = []
    for e in entries:
        times = "".join(
            f'<td class="n{" w" if won(e, arm) else ""}">{format_time(time_s)}</td>'
            for arm, time_s in e["times_s"].items()
        )
        rows.append(
            f"<tr><td>{escape(e['network'])}</td><td>{escape(e['study'])}</td><td>{escape(cut_title(e['cut']))}</td>"
            f'<td class="n">{format_size(e["payload_bytes"])}</td>{times}</tr>'
        )
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _predictions(results: Mapping[str, Any]) -> Iterable[str]:
    yield "<h2>Predicted time against bandwidth</h2>"
    yield (
        "<p>What the planner computes from the profiles of both sides, for every cut that could be chosen, and the "
        "points that were measured. The planner chooses among cuts with lossless codecs; JPEG and the DICOM file are "
        "rivals it may not choose (one loses information, the other carries the patient's identifiers).</p>"
    )
    rtt_s = results["links"][0]["rtt_s"]
    for network, lines in results["curves"].items():
        mine = [e for e in results["links"] if e["network"] == network]
        study = min({e["study"] for e in mine}, key=lambda name: _before_s(results, network, name))
        entries = [e for e in mine if e["study"] == study]
        before_s = _before_s(results, network, study)
        random = " (random weights: no finding)" if entries[0]["weights"] == "random" else ""
        yield f"<div class='panel'><h3>{escape(network)}{random}, {escape(study)}</h3>"
        yield curves(lines, before_s, rtt_s, entries)
        yield (
            f'<p>{escape(envelope_text(lines, before_s, rtt_s))}</p><p class="small">Round trip {format_time(rtt_s)}; '
            f"unit emulated, {results['device']['factor']:g} times slower than this machine.</p></div>"
        )


def _before_s(results: Mapping[str, Any], network: str, study: str) -> float:
    return float(results["before_s"][f"{network}/{study}"])


def _where(results: Mapping[str, Any]) -> Iterable[str]:
    yield "<h2>Where a cut inside the network would win</h2>"
    yield (
        "<p>Computed from the same profiles, not measured: device factors 1 to 1000 (the heads' times scaled) and "
        "rates from 100 kbit/s to 1 Gbit/s, against the lossless image, JPEG 95 and all on the unit, at the same round "
        "trip. Larger pictures are taken to cost work and bytes in proportion to their area. Where lines run close "
        "together, these limits move with the noise of the profiles.</p>"
    )
    for network, lines in results["advice"].items():
        items = "".join(f"<li>{escape(advice_lines(where))}</li>" for where in lines)
        yield f"<h3>{escape(network)}</h3><ul>{items}</ul>"


def _method() -> str:
    ways = "".join(f"<li><b>{escape(ARM_TITLES[a])}</b>: {escape(words)}</li>" for a, words in ARMS.items())
    return (
        f"<h2>How it was measured</h2><ul>{ways}</ul><p>One warm connection, one process for the cloud and one for the "
        "unit. After a warm-up the ways take turns in random order. Time to result counts from the file on the unit to "
        "the named outputs there. Reading and preprocessing are the same in all ways but the DICOM file: they are "
        "timed beforehand on the slowed unit, and their medians count in each way. Sending the DICOM file costs the "
        "unit only reading the bytes; the cloud decodes and preprocesses. A way whose runs take long together is run "
        "fewer times (n beside the bar). Where the plan's cut is the last one, split and edge only are the same work, "
        "and their difference is noise.</p>"
    )


def _facts(results: Mapping[str, Any]) -> str:
    rates = ", ".join(
        f"{name}: {format_rate(r['profile']['up']['rate_bps'])} line rate, 99 % of packets at most "
        f"{r['lateness']['p99_s'] * 1e3:.2f} ms late, {r['kernel_dropped']} lost outside the emulation, "
        f"{'valid' if r['valid'] else 'NOT VALID'}"
        for name, r in results["link_reports"].items()
        if r is not None
    )
    rows = {
        "versions": ", ".join(f"{n} {v}" for n, v in results["versions"].items()),
        "machine": ", ".join(f"{n} {v}" for n, v in results["machine"].items()),
        "kernel, congestion control": f"{results['kernel']}, {results['congestion_control']}",
        "links, by the relay's own count": rates or "none emulated",
        "bundles": ", ".join(f"{n} {d[:12]}" for n, d in results["configuration"]["bundle_digests"].items()),
        "seed, repeats": f"{results['seed']}, {results['configuration']['repeats']}",
    }
    cells = "".join(f"<tr><th>{escape(n)}</th><td><code>{escape(v)}</code></td></tr>" for n, v in rows.items())
    return (
        f"<h2>Setting</h2><table>{cells}</table><p class='small'>Every sample is in results.json beside this page.</p>"
    )
