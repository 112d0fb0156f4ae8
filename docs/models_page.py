"""The table and the figure of docs/models.md, out of the survey: `python docs/render.py`."""

from itertools import product
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Bbox

from xpt.program.figure import new_figure
from xpt.program.formatting import short_count
from xpt.survey.models import Model, read_survey
from xpt.survey.tables import as_markdown

DOCS = Path(__file__).parent
MODELS = DOCS / "models.md"
PICTURE = DOCS / "images" / "models.png"
BEGIN, END = "<!-- models: xpt/survey/models.yaml -->", "<!-- end of models -->"
MARKERS = {"encoder": "o", "decoder": "s", "encoder-decoder": "^"}
EDGE = {"s": 50, "edgecolors": "#333333", "linewidths": 0.8, "zorder": 3}
OFFSETS = sorted(  # of a label's middle from its point, in points of print: the nearest that is free is taken
    product(range(-90, 91, 3), range(-75, 76, 3)), key=lambda offset: offset[0] ** 2 / 9 + offset[1] ** 2
)


def drawn() -> list[Model]:
    """The models of which sources state parameters and bytes of text."""
    models = read_survey().models.values()
    return [model for model in models if model.gigabytes and model.number("parameters")]


def rendered(text: str) -> str:
    """The page with the survey's table."""
    models = list(read_survey().models.values())
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    caption = (
        f"![Size against text of {len(drawn())} models](images/{PICTURE.name})\n\n"
        f"Drawn are the {len(drawn())} of {len(models)} models whose parameters and bytes of text are "
        "published. Both axes are logarithmic."
    )
    return f"{before}{BEGIN}\n{caption}\n\n{as_markdown(models)}\n{END}{after}"


def draw(path: Path = PICTURE) -> None:
    """Size against text (PNG): the shape of a point says the kind, its color the year."""
    models = drawn()
    years = sorted({year for model in models if (year := model.number("year"))})
    norm = BoundaryNorm([year - 0.5 for year in range(years[0], years[-1] + 2)], 256)
    figure = new_figure(9, 6)
    figure.set_dpi(120)
    axis = figure.subplots()
    for model in models:
        year = model.number("year")
        color = "white" if year is None else colormaps["viridis"](norm(year))
        axis.scatter(*_point(model), color=color, marker=MARKERS[model.value("kind")], **EDGE)
    for kind, marker in MARKERS.items():
        axis.scatter([], [], color="#888888", marker=marker, label=kind, **EDGE)
    axis.set(xscale="log", yscale="log", xlim=(1.5, 2000), ylim=(7e6, 3e10))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))
    axis.set(xlabel="text (GB, as published)", ylabel="parameters")
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="upper left", frameon=False)
    ticks = range(years[0], years[-1] + 1)
    figure.colorbar(ScalarMappable(norm), ax=axis, label="year (white: not known to us)", ticks=ticks)
    figure.draw_without_rendering()
    _label(axis, models)
    figure.savefig(path)


def _point(model: Model) -> tuple[float, int]:
    return model.gigabytes or 0, model.number("parameters") or 0


def _label(axis: Axes, models: list[Model]) -> None:
    """A name beside each point, where neither point nor name stands yet."""
    pixels = axis.figure.dpi / 72  # a point of print
    centers = [axis.transData.transform(_point(model)) for model in models]
    taken = [_around(x, y, 11 * pixels, 11 * pixels) for x, y in centers]
    taken.append(axis.get_legend().get_window_extent())
    for model, (x, y) in zip(models, centers, strict=True):
        label = axis.annotate(
            model.name, _point(model), (0, 0), textcoords="offset points", ha="center", va="center",
            fontsize=8, arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.5, "shrinkB": 3},
        )  # fmt: skip
        size = Text.get_window_extent(label)
        for across, up in OFFSETS:
            box = _around(x + across * pixels, y + up * pixels, size.width + 4, size.height + 2)
            inside = axis.bbox.x0 < box.x0 and box.x1 < axis.bbox.x1
            if inside and not box.count_overlaps(taken):
                break
        label.set_position((across, up))
        taken.append(box)


def _around(x: float, y: float, width: float, height: float) -> Bbox:
    return Bbox.from_bounds(x - width / 2, y - height / 2, width, height)
