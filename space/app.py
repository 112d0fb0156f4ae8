"""The demo page: `python space/app.py --model output/xpt-ko`.

As a Space it reads its options from variables of the same names in capitals: MODEL, COMPARE, NLI, YNAT ...
"""

import argparse
import os
import sys
from collections.abc import Sequence

import gradio as gr
from transformers import AutoModelForSequenceClassification

from charts import CSS
from checkpoint import Checkpoint, OperatorError
from pages import Models, attention_tab, fill_tab, headline_tab, pair_tab
from wording import LANGUAGES, say
from writing import Writing

OPTIONS = {
    "model": "checkpoint to show: a folder, a Hub id, or id@commit where it brings code of its own",
    "compare": "checkpoint beside it, such as the one before training",
    "model_title": "what the page calls --model, 'Korean|English'; default: the last part of its name",
    "compare_title": "what the page calls --compare",
    "nli": "checkpoint fine-tuned on inference (two texts)",
    "ynat": "checkpoint fine-tuned on topics (one text)",
    "port": "port of the page; default: the first free one from 7860",
}
FONTS = [
    "system-ui",
    "Noto Sans KR",
    "Noto Sans CJK KR",
    "Apple SD Gothic Neo",
    "Malgun Gothic",
    "sans-serif",
]


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Flags first, then the environment. A missing or unusable one ends the program with a line."""
    parser = argparse.ArgumentParser(prog="python space/app.py", description=__doc__, allow_abbrev=False)
    for name, text in OPTIONS.items():
        parser.add_argument(f"--{name}", default=os.environ.get(name.upper()) or None, help=text)
    options = parser.parse_args(arguments)
    if not options.model:
        parser.error("name a checkpoint: --model, or the variable MODEL")
    if options.port is not None and not options.port.isdecimal():
        parser.error(f"--port is a number, not {options.port!r}")
    return options


def open_models(options: argparse.Namespace) -> Models:
    """Open every checkpoint that was named. Raises `OperatorError` for one that cannot be opened."""
    shown = [Checkpoint(options.model, title=options.model_title)]
    if options.compare:
        shown.insert(0, Checkpoint(options.compare, title=options.compare_title))
    judges = [
        Checkpoint(given, AutoModelForSequenceClassification) if given else None
        for given in (options.nli, options.ynat)
    ]
    return Models(tuple(shown), *judges)


def build(models: Models) -> gr.Blocks:
    """The page, in Korean until a visitor switches."""
    method = "trelm_" if models.shown[-1].is_trelm else ""  # of --model
    with gr.Blocks(title=say(f"{method}title", "ko"), analytics_enabled=False) as page:
        writing = Writing()
        with gr.Row(elem_classes="xpt-top"):
            writing.add(gr.Markdown(), "value", lambda language: _greeting(method, language))
            switch = gr.Radio(
                list(LANGUAGES), value=next(iter(LANGUAGES)), show_label=False, container=False,
                elem_id="language", min_width=220, scale=0,
            )  # fmt: skip
        with gr.Tabs():
            fill_tab(models, switch, writing)
            attention_tab(models, switch, writing)
            if models.nli is not None:
                pair_tab(models.nli, switch, writing)
            if models.topic is not None:
                headline_tab(models.topic, switch, writing)
        writing.follow(switch)
    return page


def _greeting(method: str, language: str) -> str:
    return f"# {say(f'{method}title', language)}\n{say(f'{method}introduction', language)}"


def main() -> int:
    """Open the checkpoints and serve the page until it is stopped; the exit code."""
    options = read_options(sys.argv[1:])
    try:
        models = open_models(options)
    except OperatorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    build(models).launch(
        server_port=int(options.port) if options.port else None,
        theme=gr.themes.Soft(font=FONTS, font_mono=["ui-monospace", "monospace"]),
        css=CSS,
        ssr_mode=False,
        footer_links=[],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
