"""docs/evidence.md, out of stored studies: `python docs/render.py` writes it and draws their figures.

A study is stored by `xpt study show studies/NAME.yaml --store docs/results/studies/NAME.json`.
"""

from pathlib import Path
from typing import Any

from xpt.study.figures import draw as draw_study
from xpt.study.measures import Reached, load
from xpt.study.table import markdown

DOCS = Path(__file__).parent
EVIDENCE = DOCS / "evidence.md"
STUDIES = DOCS / "results" / "studies"
BEGIN, END = "<!-- evidence: docs/evidence_page.py -->", "<!-- end of evidence -->"
NOTHING = "No study is stored yet."
VERSIONS = ("xpt", "torch", "transformers")


def stored(folder: Path = STUDIES) -> dict[Path, Reached]:
    """The stored studies with a finished run, by file."""
    found = {file: load(file) for file in sorted(folder.glob("*.json"))}
    return {file: reached for file, reached in found.items() if reached.records}


def rendered(text: str, folder: Path = STUDIES) -> str:
    """The page, with a section for each stored study."""
    sections = [_section(file, reached) for file, reached in stored(folder).items()]
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    body = "\n\n".join(sections) or NOTHING
    return f"{before}{BEGIN}\n{body}\n{END}{after}"


def _section(file: Path, reached: Reached) -> str:
    picture = file.with_suffix(".png")
    place = picture.relative_to(DOCS) if picture.is_relative_to(DOCS) else picture
    machines = dict.fromkeys(_machine(record.hardware) for record in reached.records)
    versions = dict.fromkeys(_versions(record.versions) for record in reached.records)
    hours = sum(record.seconds for record in reached.records) / 3600
    parts = [
        f"## {reached.question or reached.name}",
        markdown(reached),
        f"![Losses and scores of {reached.name}]({place.as_posix()})",
        f"`{reached.command}`: {len(reached.records)} runs, {hours:.2g} hours in all without fine-tuning, on "
        f"{'; '.join(machines)}. {'; '.join(versions)}. Every run's figures, settings' hash and command: "
        f"[{file.name}]({place.with_suffix('.json').as_posix()}).",
    ]
    return "\n\n".join(part for part in parts if part)


def _machine(hardware: dict[str, Any]) -> str:
    name = ", ".join(hardware.get("gpus") or ()) or hardware.get("cpu") or "a machine that was not recorded"
    threads = hardware.get("threads")
    return f"{name}, {threads} threads" if threads else name


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in VERSIONS if name in versions)


def draw(folder: Path = STUDIES) -> None:
    """The figure of each stored study, beside its file."""
    for file, reached in stored(folder).items():
        draw_study(reached, file.with_suffix(".png"))
