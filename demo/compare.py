"""Draw two finished runs into one picture: `python demo/compare.py RUN CONTROL PICTURE`."""

import sys
from pathlib import Path

from xpt.run.folder import Run
from xpt.run.plots import Curve, plot_loss


def main() -> None:
    folders, picture = [Path(name) for name in sys.argv[1:3]], Path(sys.argv[3])
    names = ("English source", "random source")
    runs = [Run(folder) for folder in folders]
    curves = [Curve(name, run.read_log(), run.results()) for name, run in zip(names, runs, strict=True)]
    plot_loss(curves, picture, "What the English layers give")
    for curve in curves:
        loss, unigram = curve.results["test"]["loss"], curve.results["unigram_loss"]
        print(f"{curve.name}: test loss {loss:.3f}, {unigram - loss:.2f} below unigram frequencies")
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
