"""The model card, rendered from `model_card.md` and a run's results: no number that was not measured."""

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from jinja2 import Environment, StrictUndefined

from xpt.language import find_language

TEMPLATE = Path(__file__).with_name("model_card.md")  # a link to the file at the top level


def render_card(results: dict[str, Any], model_name: str, attribution: str | None = None) -> str:
    """The card's text, for a finished run's `results`."""
    language = find_language(results["settings"]["language"])
    data = ModelCardData(
        language=language.code,
        library_name="transformers",
        pipeline_tag="fill-mask",
        mask_token="<mask>",
        tags=["xpt", "cross-lingual-post-training"],
    )
    environment = Environment(undefined=StrictUndefined, trim_blocks=False)
    environment.filters["versions"] = lambda versions: ", ".join(f"{k} {v}" for k, v in versions.items())
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        card_data=data.to_yaml(),
        results=results,
        model_name=model_name,
        language_name=language.name,
        attribution=attribution,
    )
