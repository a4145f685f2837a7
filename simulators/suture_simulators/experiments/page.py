"""report.html: one self-contained page; no script, no font, no picture from elsewhere, so it opens offline and prints.

Everything is escaped but the drawings, which `plots` makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final

_STYLE: Final = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;color:#1c2b33;
background:#fff;max-width:1080px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:27px;line-height:1.25;margin:0 0 4px}h2{font-size:20px;margin:38px 0 8px;border-bottom:2px solid #0b6e8a;
padding-bottom:4px}h3{font-size:16px;margin:22px 0 4px}p{margin:6px 0 10px;max-width:880px}
.lead{font-size:17px;color:#3d4f59}.emulated,.alarm{padding:8px 14px;margin:12px 0;max-width:900px}
.emulated{background:#fbf3e6;border-left:4px solid #c9772b}.alarm{background:#fdeaea;border-left:4px solid #b3261e}
.alarm p,.emulated p{margin:4px 0}.alarm ul{margin:4px 0;padding-left:22px}.good{color:#2c5f2d}
.small,figcaption{color:#52636d;font-size:13px}figure{margin:14px 0 20px;break-inside:avoid}
figure svg{max-width:100%;height:auto;display:block}figcaption{max-width:880px;margin-top:4px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:0 22px}.pair>*{min-width:0}
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:10px 0 14px;font-size:13.5px}
caption{text-align:left;font-weight:600;padding:4px 0}th,td{padding:4px 10px;text-align:left;vertical-align:top;
border-bottom:1px solid #e3e8eb}thead th{background:#f4f7f8}td.n,th.n{text-align:right;white-space:nowrap;
font-variant-numeric:tabular-nums}tr{break-inside:avoid}dl{display:grid;grid-template-columns:max-content 1fr;
gap:2px 16px;font-size:13.5px}dt{color:#52636d}dd{margin:0;overflow-wrap:anywhere}
details{margin:10px 0}summary{cursor:pointer;font-weight:600}nav{font-size:13.5px;margin:14px 0}
nav a{color:#0b6e8a;margin-right:16px;white-space:nowrap}
@media print{body{max-width:none;padding:0;font-size:11.5px}nav{display:none}h2,h3{break-after:avoid}
.scroll{overflow:visible}a{color:inherit;text-decoration:none}}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    lead: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A drawing of `plots`, which holds its own description for those who cannot see it, and what to see in it."""

    svg: str
    caption: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of text, folded away where `folded` names it. Columns of numbers (with a unit or not) are flush right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    folded: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Names and values, folded away where `folded` names them."""

    facts: Mapping[str, str]
    folded: str = ""


Block = Text | Figure | Table | Facts


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading and what stands under it; two figures that follow each other stand side by side where `pairs`."""

    title: str
    blocks: Sequence[Block]
    pairs: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What a reader must know before the first figure.

    Attributes:
        emulated: What was emulated or simulated, and how, a sentence each; never empty in silence: say so if nothing.
        real: What was not, a sentence each.
        points: Points measured.
        invalid: A line for each point that must not be quoted: which, and why.
        incomplete: Why the run is not complete; empty where it is.
        facts: Circumstances by name: kernel, seed, congestion control, versions, processor, when, command.
    """

    emulated: Sequence[str]
    real: Sequence[str] = ()
    points: int
    invalid: Sequence[str] = ()
    incomplete: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


def write(path: Path, *, title: str, subtitle: str, provenance: Provenance, sections: Sequence[Section]) -> None:
    """Writes the page to `path`, whole or not at all.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    text = page(title=title, subtitle=subtitle, provenance=provenance, sections=sections)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def page(*, title: str, subtitle: str, provenance: Provenance, sections: Sequence[Section]) -> str:
    """The page as HTML."""
    links = " ".join(f'<a href="#s{n}">{escape(section.title)}</a>' for n, section in enumerate(sections, start=1))
    parts = [
        f'<header><h1>{escape(title)}</h1><p class="lead">{escape(subtitle)}</p>{_provenance(provenance)}</header>',
        f'<nav aria-label="Sections">{links}</nav><main>',
        *(_section(n, section) for n, section in enumerate(sections, start=1)),
        _circumstances(provenance),
        "</main>",
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _provenance(provenance: Provenance) -> str:
    boxes = [_sentences("Emulated or simulated", provenance.emulated)]
    if provenance.real:
        boxes.append(_sentences("Real", provenance.real))
    parts = [f'<div class="emulated" role="note">{"".join(boxes)}</div>']
    if provenance.incomplete:
        parts.append(
            f'<div class="alarm" role="alert"><p><b>Not complete.</b> {escape(provenance.incomplete)}</p></div>'
        )
    if provenance.invalid:
        lines = "".join(f"<li>{escape(line)}</li>" for line in provenance.invalid)
        count = f"Invalid points: {len(provenance.invalid)} of {provenance.points}"
        parts.append(
            f'<div class="alarm" role="alert"><p><b>{count}</b>; they are in no figure and are not to be quoted:</p>'
            f"<ul>{lines}</ul></div>"
        )
    else:
        parts.append(f'<p class="good">All {provenance.points} measured points are valid.</p>')
    return "".join(parts)


def _sentences(name: str, sentences: Sequence[str]) -> str:
    return f"<p><b>{name}:</b> {escape(' '.join(sentences)) or 'nothing.'}</p>"


def _circumstances(provenance: Provenance) -> str:
    if not provenance.facts:
        return ""
    return f"<section><h2>Circumstances</h2>{_facts(Facts(facts=provenance.facts))}</section>"


def _section(number: int, section: Section) -> str:
    parts: list[str] = []
    pair: list[str] = []
    for block in section.blocks:
        if section.pairs and isinstance(block, Figure):
            pair.append(_block(block))
            continue
        parts += _side_by_side(pair)
        pair = []
        parts.append(_block(block))
    parts += _side_by_side(pair)
    return f'<section id="s{number}"><h2>{escape(section.title)}</h2>\n' + "\n".join(parts) + "\n</section>"


def _side_by_side(figures: list[str]) -> list[str]:
    return [f'<div class="pair">{"".join(figures)}</div>'] if figures else []


def _block(block: Block) -> str:
    match block:
        case Text(text=text, lead=lead):
            kind = ' class="lead"' if lead else ""
            return f"<p{kind}>{escape(text)}</p>"
        case Figure(svg=svg, caption=caption):
            below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
            return f"<figure>{svg}{below}</figure>"
        case Table():
            return _table(block)
        case Facts():
            return _facts(block)


def _table(table: Table) -> str:
    numeric = [
        all(_is_number(row[column]) for row in table.rows if column < len(row)) for column in range(len(table.head))
    ]
    mark = [' class="n"' if number and table.rows else "" for number in numeric]
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    head = "".join(f'<th scope="col"{m}>{escape(cell)}</th>' for m, cell in zip(mark, table.head, strict=True))
    rows = "".join(
        "<tr>" + "".join(f"<td{m}>{escape(cell)}</td>" for m, cell in zip(mark, row, strict=True)) + "</tr>\n"
        for row in table.rows
    )
    body = f"<table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>"
    return _folded(table.folded, f'<div class="scroll">{body}</div>')


def _is_number(cell: str) -> bool:
    """Whether a cell reads as a number, or is empty or a dash."""
    text = cell.strip().lstrip("+-−–<≤≥× ")
    return not text or text[0].isdigit()


def _facts(block: Facts) -> str:
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in block.facts.items())
    return _folded(block.folded, f"<dl>{listed}</dl>")


def _folded(name: str, text: str) -> str:
    return f"<details><summary>{escape(name)}</summary>{text}</details>" if name else text
