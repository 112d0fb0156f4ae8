"""Write figures of documents from stored results: `python docs/render.py` (`--check` only compares).

README.md, README.ko.md and demo.md have the parts of docs/readme_tables.py, scale.md the sizing table of
docs/scale_table.py, performance.md the tables and the picture of docs/performance_tables.py, evidence.md the
studies of docs/evidence_page.py, models.md the survey by docs/models_page.py.

A run's `results.json` is stored as `docs/results/<name>.json` by `python docs/render.py --store NAME RUN`.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

DOCS = Path(__file__).parent
NOT_STORED = ("settings",)


def store(name: str, run: Path) -> None:
    """Keep what documents need of a run's results."""
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in results.items() if key not in NOT_STORED}
    (DOCS / "results").mkdir(exist_ok=True)
    text = json.dumps(kept, ensure_ascii=False, indent=1) + "\n"
    (DOCS / "results" / f"{name}.json").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 where a document is stale")
    parser.add_argument("--store", nargs=2, metavar=("NAME", "RUN"), help="keep a run's results under a name")
    arguments = parser.parse_args()
    if arguments.store:
        store(arguments.store[0], Path(arguments.store[1]))
    import evidence_page  # they stand beside this script
    import models_page
    import performance_tables
    import readme_tables
    import scale_table

    documents = {
        **{
            path: partial(readme_tables.rendered, language=name)
            for name, path in readme_tables.READMES.items()
        },
        readme_tables.DEMO: readme_tables.demo_page,
        scale_table.SCALE: scale_table.rendered,
        performance_tables.PERFORMANCE: performance_tables.rendered,
        evidence_page.EVIDENCE: evidence_page.rendered,
        models_page.MODELS: models_page.rendered,
    }
    for document, render in documents.items():
        before = document.read_text(encoding="utf-8")
        after = render(before)
        if arguments.check and before != after:
            sys.exit(f"{document.name} is stale: run python docs/render.py")
        document.write_text(after, encoding="utf-8")
    if not arguments.check:
        performance_tables.draw()
        evidence_page.draw()
        models_page.draw()


if __name__ == "__main__":
    main()
