"""Write the table of README.md anew from the stored results: python experiments/starts/render.py"""

import json
from pathlib import Path

FOLDER = Path(__file__).parent
START, END = "<!-- precision: render.py -->\n", "<!-- end of precision -->"


def table() -> str:
    """A row for each start, a column of shares for each source, in Markdown."""
    found = {
        file.stem.removeprefix("precision_"): json.loads(file.read_text(encoding="utf-8"))["starts"]
        for file in sorted(FOLDER.glob("precision_*.json"))
    }
    head = ["start", *(f"{name}, {what}" for name in found for what in ("at 1", "at 5", "seconds"))]
    rows = [head, ["-"] * len(head)]
    for start in next(iter(found.values())):
        cells = [start]
        for starts in found.values():
            one = starts[start]
            cells += [f"{one['precision_at_1']:.1%}", f"{one['precision_at_5']:.1%}", f"{one['seconds']:.0f}"]
        rows.append(cells)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def rendered(text: str) -> str:
    """The text with the table of now."""
    before, rest = text.split(START)
    return before + START + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    readme = FOLDER / "README.md"
    readme.write_text(rendered(readme.read_text(encoding="utf-8")), encoding="utf-8")
