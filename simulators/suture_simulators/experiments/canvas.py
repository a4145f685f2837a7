"""The paper under the plots: matplotlib without pyplot, to SVG text that is the same for the same data."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, Final

from suture_protocol.errors import CapabilityMissing

#: Okabe and Ito's colours, told apart by colour-blind readers; its yellow is left out, too pale on white.
PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
#: One marker a colour, so that a print in grey still tells the series apart.
MARKERS: Final = ("o", "s", "D", "^", "v", "P", "X")
INK: Final = "#1c2b33"
MUTED: Final = "#52636d"
GRID: Final = "#e3e8eb"

_STYLE: Final[Mapping[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "suture",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}


def matplotlib() -> Any:
    """matplotlib, imported when first needed.

    Raises:
        CapabilityMissing: it is not installed.
    """
    try:
        import matplotlib as library
        import matplotlib.backends.backend_svg
        import matplotlib.figure
        import matplotlib.ticker
    except ImportError as error:
        raise CapabilityMissing("drawing reports needs matplotlib: pip install 'suture[experiment]'") from error
    return library


@contextmanager
def styled() -> Iterator[Any]:
    """matplotlib in our style, and everyone else's settings again afterwards.

    Raises:
        CapabilityMissing: it is not installed.
    """
    library = matplotlib()
    with library.rc_context(dict(_STYLE)):
        yield library


def figure(library: Any, width_in: float, height_in: float) -> Any:
    """An empty figure that belongs to no window."""
    made = library.figure.Figure(figsize=(width_in, height_in), layout="constrained")
    library.backends.backend_svg.FigureCanvasSVG(made)
    return made


def to_svg(made: Any, description: str) -> str:
    """The figure as an inline `<svg>`; `description` is read out to those who do not see it.

    Ids are prefixed with a digest of the drawing, since several drawings share one page.
    """
    out = io.BytesIO()
    made.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    prefix = "g" + hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(url\(|href=")#', rf"\1#{prefix}-", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1).strip()


def colour(place: int) -> str:
    """The colour of the series at `place`; they repeat after seven, with other markers to tell them apart."""
    return PALETTE[place % len(PALETTE)]


def marker(place: int) -> str:
    """The marker of the series at `place`."""
    return MARKERS[(place + place // len(PALETTE)) % len(MARKERS)]


def readable(numbers: Sequence[float | None]) -> list[float]:
    """None as nan, which is how matplotlib leaves a gap."""
    return [float("nan") if number is None else number for number in numbers]


def scale(axes: Any, log_x: bool, log_y: bool) -> None:
    """Logarithmic axes where asked for, their ticks written as plain numbers."""
    for wanted, axis, name in ((log_x, axes.xaxis, "x"), (log_y, axes.yaxis, "y")):
        if wanted:
            axes.set(**{f"{name}scale": "log"})
            axis.set_major_locator(matplotlib().ticker.LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
            axis.set_major_formatter(matplotlib().ticker.FuncFormatter(lambda value, _place: f"{value:g}"))
            axis.set_minor_formatter(matplotlib().ticker.NullFormatter())


def finish(made: Any, axes: Any, title: str, x_label: str, y_label: str, entries: int) -> None:
    """Title, labels, and a legend beside the drawing where it holds more than one thing."""
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if entries > 1:
        made.legend(loc="outside right upper")
