"""The look shared by all figures: size, colours, fonts, and how a figure becomes PNG bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES = 7.2
HEIGHT_INCHES = 3.6
DOTS_PER_INCH = 100

# Okabe and Ito (2008), told apart with any colour vision; yellow is left out because it vanishes on white.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#AA4499", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)), (0, (1, 1)), (0, (9, 3)), (0, (4, 1, 1, 1, 1, 1)))
MUTED = "#5F6368"
FILL = "#C9D8E6"

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": "#202124",
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.facecolor": "white",
    "font.family": ["DejaVu Sans"],
    "font.size": 11,
    "grid.color": "#E4E6E9",
    "grid.linewidth": 0.8,
    "legend.fontsize": 10,
    "legend.edgecolor": "none",
    "legend.facecolor": "white",
    "legend.framealpha": 0.9,
    "lines.linewidth": 2.0,
    "xtick.color": MUTED,
    "xtick.labelcolor": "#202124",
    "xtick.labelsize": 10,
    "ytick.color": MUTED,
    "ytick.labelcolor": "#202124",
    "ytick.labelsize": 10,
}


class Canvas:
    """A figure under construction. Its bytes are there once the `drawing` block is left."""

    def __init__(self, figure: "Figure") -> None:
        self.figure = figure
        self.png = b""

    def axes(self) -> "Axes":
        """The only axes of a figure with one."""
        return self.figure.subplots()


@contextmanager
def drawing(height: float = HEIGHT_INCHES) -> Iterator[Canvas]:
    """A canvas in the shared style, rendered to PNG when the block ends.

    It uses no global figure list and no display, so it is safe in any thread of a run.

    Args:
        height: in inches; the width is the same for all figures.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(cast("Any", STYLE)):
        canvas = Canvas(Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained"))
        yield canvas
        canvas.png = _png(canvas.figure)


def _png(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    agg: Any = FigureCanvasAgg(figure)
    agg.draw()
    image = Image.fromarray(np.asarray(agg.buffer_rgba())).convert("RGB")
    written = BytesIO()
    # Figures sit in the event log: a palette of 128 colours is a third of the size and looks the same.
    image.quantize(colors=128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        written, format="PNG", optimize=True
    )
    return written.getvalue()
