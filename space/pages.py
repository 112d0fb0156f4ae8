"""The tabs of the page: what one types, and what one is shown."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import gradio as gr
from torch import Tensor

from charts import bars, columns, heading, heat_map, problem
from checkpoint import Checkpoint, InputError
from wording import LANGUAGES, say, say_label, say_title
from writing import Writing

FILL_EXAMPLES = (
    "이 법은 공포한 날부터 <mask>.",
    "국회는 국민의 <mask> 기관이다.",
    "정부는 <mask> 대책을 마련하여야 한다.",
)
ATTENTION_EXAMPLES = ("국회는 국민의 대표 기관이다.", "정부는 필요한 대책을 마련하여야 한다.")
PAIR_EXAMPLES = (
    ("비가 와서 길이 젖었다.", "길이 말라 있다."),
    ("아이들이 공원에서 축구를 한다.", "아이들이 밖에 있다."),
)
HEADLINE_EXAMPLES = ("국회, 내년도 예산안 통과", "프로야구 개막전 매진", "새 스마트폰 다음 달 출시")


@dataclass(frozen=True)
class Models:
    """What a page shows: one or two masked language models, and fine-tuned ones where given."""

    shown: tuple[Checkpoint, ...]
    nli: Checkpoint | None = None
    topic: Checkpoint | None = None


def kindly(show: Callable[..., str]) -> Callable[..., str]:
    """Let `show(..., language)` say in one line what is wrong with an input; the switch gives it."""

    @wraps(show)
    def shown(*inputs: Any) -> str:
        language = LANGUAGES.get(inputs[-1], "ko")
        try:
            return show(*inputs[:-1], language)
        except InputError as error:
            return problem(say(error.key, language, **error.facts))

    return shown


def fill_tab(models: Models, switch: gr.Radio, writing: Writing) -> None:
    """Fill-mask, one column a model."""

    @kindly
    def fill(text: str, language: str) -> str:
        return show_fills(models, text, language)

    with writing.add(gr.Tab(id="fill"), "label", "fill_tab"):
        text = _textbox("fill_text", writing, "fill-text", FILL_EXAMPLES[0])
        _answering(fill, [text, switch], "fill_button", "fill", writing, [[one] for one in FILL_EXAMPLES])


def show_fills(models: Models, text: str, language: str) -> str:
    """Bars for each mask of `text`, a column a model; all on one scale."""
    fills = [(model.title, model.fill(text)) for model in models.shown]
    longest = max(share for _, masks in fills for mask in masks for _, share in mask)
    sections = []
    for title, masks in fills:
        several = len(masks) > 1
        content = "".join(
            (heading(say("blank", language, number=number)) if several else "") + bars(mask, longest)
            for number, mask in enumerate(masks, 1)
        )
        sections.append((say_title(title, language), content))
    return columns(sections, say("fill_note", language))


def attention_tab(models: Models, switch: gr.Radio, writing: Writing) -> None:
    """Attention of the ITLs, one column a model."""

    @kindly
    def look(text: str, head: int, language: str) -> str:
        return show_attention(models, text, head, language)

    heads = min(model.heads for model in models.shown)
    with writing.add(gr.Tab(id="attention"), "label", "attention_tab"):
        text = _textbox("attention_text", writing, "attention-text", ATTENTION_EXAMPLES[0])
        head = gr.Dropdown(_head_choices(heads, "ko"), value=0, elem_id="attention-head")
        writing.add(head, "label", "head")
        writing.add(head, "choices", lambda language: _head_choices(heads, language))
        examples = [[one] for one in ATTENTION_EXAMPLES]
        _answering(look, [text, head, switch], "attention_button", "attention", writing, examples)


def _head_choices(heads: int, language: str) -> list[tuple[str, int]]:
    return [(say("all_heads", language), 0)] + [(str(number), number) for number in range(1, heads + 1)]


def show_attention(models: Models, text: str, head: int, language: str) -> str:
    """Heat maps of the ITLs' attention, a column a model; head 0 is the mean of all, others count from 1.

    Maps of the same layer have one scale, so that attention which looks at all alike is pale beside another.
    """
    looked = [(model, *model.attention(text)) for model in models.shown]
    largest: dict[str, float] = {}
    for _, _, layers in looked:
        for layer in layers:
            weight = float(_one_map(layer.weights, head).max())
            largest[layer.name] = max(weight, largest.get(layer.name, 0.0))
    sections = []
    for model, tokens, layers in looked:
        content = ""
        for layer in layers:
            number = "" if layer.number is None else f" {layer.number}"
            content += heading(say(layer.name, language) + number)
            content += heat_map(tokens, _one_map(layer.weights, head).tolist(), largest[layer.name])
        sections.append((say_title(model.title, language), content))
    return columns(sections, say("attention_note", language))


def _one_map(weights: Tensor, head: int) -> Tensor:
    return weights.mean(0) if not head else weights[head - 1]


def pair_tab(model: Checkpoint, switch: gr.Radio, writing: Writing) -> None:
    """Whether one text follows from another."""

    @kindly
    def judge(premise: str, hypothesis: str, language: str) -> str:
        return show_labels(model, language, premise, hypothesis)

    with writing.add(gr.Tab(id="nli"), "label", "nli_tab"):
        texts = [
            _textbox(key, writing, key, example)
            for key, example in zip(("premise", "hypothesis"), PAIR_EXAMPLES[0], strict=True)
        ]
        _answering(
            judge, [*texts, switch], "nli_button", "nli", writing, [list(one) for one in PAIR_EXAMPLES]
        )


def headline_tab(model: Checkpoint, switch: gr.Radio, writing: Writing) -> None:
    """The topic of a headline."""

    @kindly
    def classify(headline: str, language: str) -> str:
        return show_labels(model, language, headline)

    with writing.add(gr.Tab(id="topic"), "label", "topic_tab"):
        text = _textbox("headline", writing, "headline", HEADLINE_EXAMPLES[0])
        examples = [[one] for one in HEADLINE_EXAMPLES]
        _answering(classify, [text, switch], "topic_button", "topic", writing, examples)


def show_labels(model: Checkpoint, language: str, *texts: str) -> str:
    """Bars for the labels of a text or a pair of texts."""
    labels = [(say_label(label, language), share) for label, share in model.classify(*texts)]
    return columns([(say_title(model.title, language), bars(labels, 1.0))])


def _textbox(key: str, writing: Writing, name: str, value: str) -> gr.Textbox:
    return writing.add(gr.Textbox(value=value, lines=2, elem_id=name), "label", key)


def _answering(
    show: Callable[..., str],
    inputs: list[Any],
    button_key: str,
    name: str,
    writing: Writing,
    examples: list[list[str]],
) -> None:
    """A button, what it shows, and examples; `name` is the end point's in the API."""
    button = writing.add(gr.Button(variant="primary", elem_id=f"{name}-button"), "value", button_key)
    output = gr.HTML(elem_id=f"{name}-result")
    texts = [one for one in inputs if isinstance(one, gr.Textbox)]
    dataset = gr.Examples(examples, texts, api_visibility="private").dataset
    writing.add(dataset, "label", "examples")
    button.click(show, inputs, output, api_name=name)
    for other in inputs:
        if isinstance(other, gr.Dropdown):
            other.input(show, inputs, output, api_visibility="private")
    writing.add_result(show, inputs, output)
