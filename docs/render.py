"""Write figures of documents from stored results: `python docs/render.py` (`--check` only compares).

README.md has the demo's, scale.md the sizing table of docs/scale_table.py, performance.md the tables and the
picture of docs/performance_tables.py.

A run's `results.json` is stored as `docs/results/<name>.json` by `python docs/render.py --store NAME RUN`.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
BEGIN, END = "<!-- demo results: docs/render.py -->", "<!-- end of demo results -->"
NOT_STORED = ("settings",)


def load(name: str) -> dict[str, Any] | None:
    """A stored result, or None."""
    file = DOCS / "results" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def store(name: str, run: Path) -> None:
    """Keep what documents need of a run's results."""
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in results.items() if key not in NOT_STORED}
    (DOCS / "results").mkdir(exist_ok=True)
    text = json.dumps(kept, ensure_ascii=False, indent=1) + "\n"
    (DOCS / "results" / f"{name}.json").write_text(text, encoding="utf-8")


def column(results: dict[str, Any] | None) -> list[str]:
    """One run's figures, in the order of `ROWS`."""
    if results is None:
        return ["not measured"] * len(ROWS)
    test, phases = results["test"], results["phases"]
    seconds = sum(results["seconds"].values())
    return [
        f"{test['loss']:.2f}",
        f"{results['unigram_loss'] - test['loss']:.2f}",
        f"{results['shuffled_context_loss'] - test['loss']:.2f}",
        *(f"{phase['eval_unigram_loss'] - phase['eval_loss']:.2f}" for phase in phases[:1]),
        f"{sum(phase['tokens'] for phase in phases) / 1e6:.2f} M",
        f"{seconds / 60:.1f} minutes",
        f"{results['peak_memory_mib']['cpu'] / 1024:.1f} GiB",
    ]


ROWS = (
    "loss on unseen documents (nats per masked token)",
    "below unigram frequencies",
    "below its own loss on another sentence's context",
    "below unigram frequencies after phase 1 (validation)",
    "tokens read in training",
    "time, preparation and evaluation included",
    "peak memory",
)


def demo_section() -> str:
    """The README's part on the demo."""
    demo, control = load("demo"), load("demo-control")
    lines = ["| | English source | random source |", "|-|-|-|"]
    lines += [f"| {row} | {a} | {b} |" for row, a, b in zip(ROWS, column(demo), column(control), strict=True)]
    if demo is not None:
        versions = demo["versions"]
        lines += [
            "",
            "What it fills in for masked words of documents it has not seen (the five likeliest):",
            "",
        ]
        for fill in demo["fills"]:
            before, after = (
                ", ".join(f"`{piece}`" for piece, _ in fill[when]) for when in ("before", "after")
            )
            sentence = fill["sentence"].replace("<mask>", "**`<mask>`**")
            lines += [f"- {sentence} ({fill['answer']})", f"  - before: {before}", f"  - after: {after}"]
        hardware = f"{demo['hardware']['threads']} threads of {demo['hardware']['cpu']}, {demo['precision']}"
        known = f"torch {versions['torch']}, transformers {versions['transformers']}"
        lines += ["", f"`{demo['command']}`, seed {demo['seed']}; {hardware}; {known}."]
    return "\n".join(lines)


def rendered(text: str) -> str:
    """README text with the figures of the stored results."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{demo_section()}\n{END}{rest.split(END)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 where a document is stale")
    parser.add_argument("--store", nargs=2, metavar=("NAME", "RUN"), help="keep a run's results under a name")
    arguments = parser.parse_args()
    if arguments.store:
        store(arguments.store[0], Path(arguments.store[1]))
    import performance_tables  # both stand beside this script
    import scale_table

    documents = {
        README: rendered,
        scale_table.SCALE: scale_table.rendered,
        performance_tables.PERFORMANCE: performance_tables.rendered,
    }
    for document, render in documents.items():
        before = document.read_text(encoding="utf-8")
        after = render(before)
        if arguments.check and before != after:
            sys.exit(f"{document.name} is stale: run python docs/render.py")
        document.write_text(after, encoding="utf-8")
    if not arguments.check:
        performance_tables.draw()


if __name__ == "__main__":
    main()
