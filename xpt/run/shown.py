"""What a run shows beside losses: masks that an encoder fills in, texts that a decoder goes on with."""

from typing import Any

from xpt.run.continuations import choose_beginnings, continuations_record, go_on, print_continuations
from xpt.run.fills import choose_prompts, fill, fills_record, print_fills
from xpt.run.preparation import PreparedText


class Shown:
    """Held-out sentences to look at, the same before and after training.

    Args:
        text: whose test split they are of.
        count: of sentences.
        max_length: tokens of one, special ones included.
    """

    def __init__(self, text: PreparedText, count: int, max_length: int):
        self.text = text
        choose: Any = choose_beginnings if text.causal else choose_prompts
        self.chosen = choose(text.corpus.split("test"), text.tokenizer, count, max_length)

    def of(self, model: Any) -> list[Any]:
        """What the model makes of each."""
        ask: Any = go_on if self.text.causal else fill
        return list(ask(model, self.text.tokenizer, self.chosen))

    def record(self, before: list[Any], after: list[Any]) -> dict[str, Any]:
        """For `results.json`: `fills` of an encoder, `continuations` of a decoder."""
        if self.text.causal:
            return {"fills": [], "continuations": continuations_record(self.chosen, before, after)}
        return {"fills": fills_record(self.chosen, before, after)}


def print_shown(results: dict[str, Any]) -> str:
    """The same, as lines of text that fit the screen; empty where nothing was shown."""
    if results.get("continuations"):
        return print_continuations(results["continuations"])
    return print_fills(results["fills"]) if results["fills"] else ""
