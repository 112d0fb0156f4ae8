"""The card of what is published: from results by the card's own module, or, of a phase, a few lines."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpt.cards.card import write_card
from xpt.transplant.architectures import CLM, architecture_of

METHODS = {"xpt": "**Cross-lingual Post-Training** (XPT)", "trelm": "**TreLM** (Li et al. 2021)"}


@dataclass(frozen=True)
class CardFacts:
    """What a card says beside the results: its own id, the revision to pin, its export, scores on KLUE."""

    model_id: str
    revision: str | None = None
    native_id: str | None = None
    xpt_id: str | None = None
    klue_results: Sequence[dict[str, Any]] = ()


def write_phase_card(folder: Path, card: CardFacts, config: dict[str, Any]) -> None:
    """README.md of what a phase left, of which no results tell yet."""
    system = architecture_of(config["model_type"])
    if system.objective == CLM:
        kind, auto, code = "pipeline_tag: text-generation", "AutoModelForCausalLM", ""
    else:
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        mask = json.dumps(tokenizer["mask_token"], ensure_ascii=False)  # a string of JSON is one of YAML
        kind = f"pipeline_tag: fill-mask\nmask_token: {mask}"
        auto, code = "AutoModelForMaskedLM", ", trust_remote_code=True"
    text = _PHASE_CARD.format(
        model_id=card.model_id, kind=kind, tag=system.name, method=METHODS[system.name], auto=auto, code=code
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def write_result_card(folder: Path, card: CardFacts) -> None:
    """README.md, and .eval_results/, of any other staged folder."""
    write_card(
        folder,
        card.model_id,
        revision=card.revision,
        native_id=card.native_id,
        xpt_id=card.xpt_id,
        klue_results=card.klue_results,
    )


_PHASE_CARD = """\
---
library_name: transformers
{kind}
tags:
- {tag}
- cross-lingual-post-training
---

# {model_id}

What one phase of {method} has left. Nothing was measured on test text yet: the
finished model, with its results, takes this place when the run ends.

```python
from transformers import {auto}, PreTrainedTokenizerFast

name = "{model_id}"
tokenizer = PreTrainedTokenizerFast.from_pretrained(name)
model = {auto}.from_pretrained(name{code})
```
"""
