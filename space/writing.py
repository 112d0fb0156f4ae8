"""What is written on a page, in the language of its switch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from wording import LANGUAGES, say


class Writing:
    """Components whose texts follow the language switch, and results that are written anew."""

    def __init__(self) -> None:
        self._texts: dict[Any, dict[str, Callable[[str], Any]]] = {}
        self._results: list[tuple[Callable[..., str], list[Any], Any]] = []

    def add(self, component: Any, field: str, text: str | Callable[[str], Any]) -> Any:
        """Let `field` of a component be a text: a key of the wording, or a function of the language."""
        write = partial(say, text) if isinstance(text, str) else text
        setattr(component, field, write("ko"))
        self._texts.setdefault(component, {})[field] = write
        return component

    def add_result(self, show: Callable[..., str], inputs: list[Any], output: Any) -> None:
        """Let a result that stands on the page be shown again when the language changes."""
        self._results.append((show, inputs, output))

    def follow(self, switch: gr.Radio) -> None:
        """Write everything in the language that a visitor chose."""
        switch.change(self._written, switch, list(self._texts), api_visibility="private")
        for show, inputs, output in self._results:
            again = partial(_show_again, show)
            switch.change(again, [output, *inputs], output, api_visibility="private", show_progress="hidden")

    def _written(self, chosen: str) -> list[Any]:
        language = LANGUAGES[chosen]
        updates = [
            gr.update(**{field: write(language) for field, write in fields.items()})
            for fields in self._texts.values()
        ]
        return updates if len(updates) > 1 else updates[0]


def _show_again(show: Callable[..., str], shown: str, *inputs: Any) -> str:
    return show(*inputs) if shown else shown
