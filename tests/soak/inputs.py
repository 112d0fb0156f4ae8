"""What the soak scripts train on: a small random source and Korean text, made on the spot."""

from pathlib import Path
from typing import Any

from conftest import korean_sentences, tiny_config
from tiny_runs import TINY
from transformers import RobertaForMaskedLM, set_seed


def make_inputs(workdir: Path, sentences: int, **shape: int) -> dict[str, Any]:
    """Write them into `workdir`; gives back the settings of a tiny run on them."""
    set_seed(7)
    RobertaForMaskedLM(tiny_config("roberta", **shape)).save_pretrained(workdir / "source")
    (workdir / "korean.txt").write_text("\n".join(korean_sentences(sentences)), encoding="utf-8")
    return {**TINY, "source_model_name_or_path": workdir / "source", "corpus": workdir / "korean.txt"}
