"""Where pictures begin: matplotlib is imported by who draws, as it takes longer than a short command."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches. It is none of pyplot's, so that a notebook keeps its own figures."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
