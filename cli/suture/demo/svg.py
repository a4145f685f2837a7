"""Small pieces of SVG as text, for inlining in HTML: no file, no script, no reference to anything outside."""

from __future__ import annotations

from html import escape
from typing import Final

INK: Final = "#1c2b33"
MUTED: Final = "#5d6e78"
GRID: Final = "#e3e8eb"
BAR: Final = "#b4c3cb"
WINNER: Final = "#0b6e8a"
MIDDLE: Final = "#c9772b"


def text(
    x: float, y: float, words: str, *, anchor: str = "start", size: float = 12, colour: str = INK, bold: bool = False
) -> str:
    """A line of text with its baseline at `y`."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}" fill="{colour}"{weight}>'
        f"{escape(words)}</text>"
    )


def rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A filled rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" fill="{colour}"/>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str = GRID, width: float = 1) -> str:
    """A straight line."""
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="{width:g}" fill="none"/>'


def curve(points: list[tuple[float, float]], colour: str, width: float = 1, opacity: float = 1) -> str:
    """A line through points."""
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return (
        f'<path d="M{path}" stroke="{colour}" stroke-width="{width:g}" stroke-opacity="{opacity:g}" fill="none" '
        f'stroke-linejoin="round"/>'
    )


def mark(x: float, y: float, shape: str, colour: str, size: float = 5) -> str:
    """A measured point: `circle`, `square`, `diamond` or `triangle`, with a white rim."""
    rim = f'fill="{colour}" stroke="#fff" stroke-width="1.2"'
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:g}" {rim}/>'
    shapes: dict[str, list[tuple[float, float]]] = {
        "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        "triangle": [(0, -1.3), (1.2, 1), (-1.2, 1)],
    }
    points = " ".join(f"{x + dx * size * 0.9:.1f},{y + dy * size * 0.9:.1f}" for dx, dy in shapes[shape])
    return f'<polygon points="{points}" {rim}/>'


def drawing(width: float, height: float, label: str, parts: list[str]) -> str:
    """The whole drawing; it scales with the page. `label` is read out to those who do not see it."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}" '
        f'style="max-width:{width:g}px">{"".join(parts)}</svg>'
    )


def document(width: float, height: float, label: str, parts: list[str]) -> str:
    """A drawing as a file of its own, on white."""
    inner = drawing(width, height, label, [rect(0, 0, width, height, "#ffffff"), *parts])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" font-family="sans-serif" '
    return inner.replace("<svg ", head, 1) + "\n"
