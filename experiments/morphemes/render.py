"""Write the table of README.md anew from the stored results: python experiments/morphemes/render.py"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SIZES = {"32,000, 500,000 sentences": "32000", "8,000, 50,000 sentences": "8000"}
SCORES = ("ner/entity_macro_f1", "mrc/em", "wos/jga")
START, END = "<!-- ways: render.py -->\n", "<!-- end of ways -->"
HEAD = (
    "| pieces | way | pieces a word | characters a piece | unknown | crossed | NER F1 | MRC EM | WoS JGA |\n"
    "|-|-|-|-|-|-|-|-|-|\n"
)


def read(name: str) -> dict[str, Any]:
    """A stored result."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def table() -> str:
    """A row for each way and size, in Markdown."""
    rows = []
    for size, number in SIZES.items():
        ceilings = read(f"ceilings_{number}.json")["tokenizers"]
        for way, found in read(f"compare_{number}.json")["ways"].items():
            scores = {
                name: value
                for task in ceilings.get(way, {}).values()
                for name, value in task["scores"].items()
            }
            shown = [f"{scores[name]:.2f}" if name in scores else "-" for name in SCORES]
            counted = [f"{found['pieces_per_word']:.2f}", f"{found['characters_per_piece']:.2f}"]
            shares = [f"{found[name]:.2%}" for name in ("unknown_share", "boundaries_inside_of_a_piece")]
            rows.append("| " + " | ".join([size, way, *counted, *shares, *shown]) + " |\n")
    return HEAD + "".join(rows)


def rendered(text: str) -> str:
    """The text with the table of now."""
    before, rest = text.split(START)
    return before + START + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    readme = FOLDER / "README.md"
    readme.write_text(rendered(readme.read_text(encoding="utf-8")), encoding="utf-8")
