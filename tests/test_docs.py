"""Figures in documents are those of the stored results."""

import importlib.util
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


def test_the_readme_shows_the_stored_results():
    specification = importlib.util.spec_from_file_location("render", REPO / "docs" / "render.py")
    render = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(render)
    text = (REPO / "README.md").read_text(encoding="utf-8")
    assert render.rendered(text) == text, "run python docs/render.py"
    stale = text.replace(render.END, f"| 1.00 |\n{render.END}")
    assert render.rendered(stale) == text
