"""MRC: which part of a context answers a question, or that none does (KLUE paper 3.7).

A context is read in windows; where one holds the answer the head learns its first and last token, and the
sequence's first token where it does not. That token is [CLS] or <s>; a tokenizer that puts nothing in front
(GPT, T5) has the question's first token there, which no answer ever begins with, so that it serves as well.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForQuestionAnswering, PreTrainedModel

from xpt.finetune.backbone import Backbone
from xpt.finetune.encoding import Pieces, TextEncoder
from xpt.finetune.heads.span_reader import SpanReader, SpanReaderConfig, stock_head
from xpt.finetune.judgment import Judgment, Mark, Passage, around
from xpt.finetune.klue.klue_task import KlueTask
from xpt.finetune.klue.official import load_json
from xpt.finetune.records import take
from xpt.finetune.spans import Window, best_span, central_tokens, covering_tokens, step_for, windows
from xpt.finetune.task import Example, Feature, Hyperparameters, Record
from xpt.program.errors import XPTError

NO_ANSWER = "(no answer)"
QUESTION_TOKENS = 64  # what is read of a question
TOKENIZED_AT_ONCE = 256  # examples; all together their tokens would fill the memory


@dataclass(frozen=True)
class Question(Example):
    """A question about a context.

    `answers` are texts, each with its first character's place in the context; there are none where it is
    `impossible` to answer. `question_type`: 1 paraphrase, 2 several sentences, 3 unanswerable.
    """

    title: str
    context: str
    question: str
    answers: tuple[tuple[str, int], ...]
    impossible: bool
    question_type: int


class MRC(KlueTask):
    """Question and context -> a part of the context, or ""."""

    name = "mrc"
    title = "machine reading comprehension"
    folder = "klue-mrc-v1.1"
    suffix = ".json"
    sizes = {"train": 17_554, "validation": 5_841}  # noqa: RUF012
    settings = Hyperparameters(510, 3e-5, 16, 5)
    large_settings = settings
    selected_on = "mrc/rouge_w"
    prediction_fields = ("text",)

    def records(self, text: str, file: str) -> Iterator[Record]:
        """The questions of `{"data": [{"title", "paragraphs": [{"context", "qas": [...]}]}]}`."""
        whole = load_json(text, file)
        articles = whole.get("data") if isinstance(whole, dict) else None
        if not isinstance(articles, list):
            raise XPTError(f"{file}: holds no list `data` of articles; is it the official file of this task?")
        for number, article in enumerate(articles):
            yield from _questions(Record(article, f"{file}: article {number}"), file)

    def hub_record(self, row: dict[str, Any], guid: str) -> Any:
        """The Hub has a row a question, whose answers are two lists.

        It puts plausible answers among those of questions that have none: `is_impossible` tells. It strips
        texts after they were measured: a real answer that does not stand where it should is found again
        next to that place.
        """
        answers = row.get("answers") or {}
        context = row.get("context") or ""
        pairs = [] if row.get("is_impossible") else zip(answers["text"], answers["answer_start"], strict=True)
        found = [{"text": text, "answer_start": _nearest(context, text, start)} for text, start in pairs]
        return {"guid": guid, **row, "answers": found}

    def examples(self, record: Record) -> list[Question]:
        """One question. Answers of unanswerable ones, plausible ones too, are not looked at.

        Raises `XPTError` for an answer that does not stand in the context at its place.
        """
        context, impossible = take(record, "context"), take(record, "is_impossible", bool)
        answers = () if impossible else _answers(record, context)
        kind = record.value.get("question_type", 1)
        if type(kind) is not int or kind not in (1, 2, 3):
            raise record.wrong(f"the question_type is {kind!r:.60}, not 1, 2 or 3")
        guid, title, question = (take(record, field) for field in ("guid", "title", "question"))
        return [Question(guid, title, context, question, answers, impossible, kind)]

    def features(self, examples: Sequence[Question], encoder: TextEncoder, training: bool) -> list[Feature]:
        """One sequence a window: the question's first tokens, then as many of the context as fit.

        For training with `start_positions` and `end_positions` of the first answer, both 0 in windows that
        do not hold all of it; else with a `Window`. Token ids are kept as small integers.
        """
        if encoder.pair_capacity < 1:
            raise XPTError(
                f"{encoder.max_length} tokens hold no question and context; allow longer sequences"
            )
        features = []
        for begin in range(0, len(examples), TOKENIZED_AT_ONCE):
            part = examples[begin : begin + TOKENIZED_AT_ONCE]
            questions = encoder.pieces([example.question for example in part])
            contexts = encoder.pieces([example.context for example in part])
            for index, example in enumerate(part):
                for inputs, places, window in _windows(questions[index], contexts[index], example, encoder):
                    features.append(
                        Feature({**inputs, **places}, begin + index)
                        if training
                        else Feature(inputs, begin + index, window)
                    )
        return features

    def collate(self, features: Sequence[Feature], encoder: TextEncoder) -> dict[str, Tensor]:
        """One padded batch of int64."""
        return {name: tensor.long() for name, tensor in super().collate(features, encoder).items()}

    def outputs(self, output: Any, batch: dict[str, Tensor]) -> list[np.ndarray]:
        """For each sequence (2, length): logits of starts and of ends, padding left out."""
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        rows = torch.stack((output.start_logits, output.end_logits), dim=1).float().cpu().numpy()
        return [row[:, :length] for row, length in zip(rows, lengths, strict=True)]

    def predictions(
        self, examples: Sequence[Question], features: Sequence[Feature], outputs: Sequence[np.ndarray]
    ) -> list[dict[str, Any]]:
        """The best span of all windows; "" where the smallest score of their first tokens is larger."""
        texts = [""] * len(examples)
        best, null = np.full(len(examples), -np.inf), np.full(len(examples), np.inf)
        for feature, (starts, ends) in zip(features, outputs, strict=True):
            index = feature.example
            null[index] = min(null[index], float(starts[0]) + float(ends[0]))
            span = best_span(feature.memory, starts, ends)
            if span is not None and span.score > best[index]:
                best[index] = span.score
                texts[index] = examples[index].context[span.begin : span.end]
        return [
            {"guid": example.guid, "text": "" if none > some else text}
            for example, text, none, some in zip(examples, texts, null, best, strict=True)
        ]

    def confidences(self, output: Any, batch: dict[str, Tensor]) -> list[float]:
        """The probability of the best start times that of the best end."""
        read = batch["attention_mask"].bool()
        found = []
        for logits in (output.start_logits, output.end_logits):
            masked = logits.float().masked_fill(~read.to(logits.device), -torch.inf)
            found.append(masked.softmax(dim=-1).amax(dim=-1))  # (batch,)
        return (found[0] * found[1]).tolist()

    def judge(self, example: Question, line: dict[str, Any]) -> Judgment:
        """The part of the context that holds both; right where the answer is one of the gold ones."""
        golds, answer = [text for text, _ in example.answers], line["text"]
        marks = [Mark(start, start + len(text), "gold") for text, start in example.answers[:1]]
        place = example.context.find(answer) if answer else -1
        given = [Mark(place, place + len(answer), "answer")] if place >= 0 else []
        passages = [Passage("question", example.question)]
        for found in (marks, given):
            if found:
                passages.append(Passage(found[0].label, *around(example.context, found)))
        right = float(answer in golds if golds else not answer)
        gold = " | ".join(dict.fromkeys(golds))
        return Judgment(tuple(passages), gold or NO_ANSWER, answer or NO_ANSWER, right)

    def reference(self, example: Question) -> dict[str, Any]:
        """All gold answers; none where the question cannot be answered."""
        return {"answers": [text for text, _ in example.answers]}

    def check_prediction(self, example: Question, line: dict[str, Any]) -> None:
        """Raise `ValueError` for what is no text."""
        if not isinstance(line["text"], str):
            raise ValueError(f'the text is {line["text"]!r:.60}, no string ("" says that there is no answer)')

    def build(self, backbone: Backbone) -> PreTrainedModel:
        """The model's own head of question answering, new; ours where it has none of use."""
        if stock_head(backbone.config):
            return backbone.load(AutoModelForQuestionAnswering, num_labels=2)
        encoder = backbone.load_encoder()
        return SpanReader(SpanReaderConfig(encoder=encoder.config), encoder)


def _questions(article: Record, file: str) -> Iterator[Record]:
    for paragraph in take(article, "paragraphs", list):
        for question in take(article, "qas", list, paragraph):
            if not isinstance(question, dict):
                raise article.wrong(f"the question {question!r:.60} is no object")
            shared = {"title": article.value.get("title"), "context": paragraph.get("context")}
            place = question.get("guid", article.place.removeprefix(f"{file}: "))
            yield Record({**question, **shared}, f"{file}: {place}")


def _answers(record: Record, context: str) -> tuple[tuple[str, int], ...]:
    answers = []
    for answer in take(record, "answers", list):
        if not isinstance(answer, dict):
            raise record.wrong(f"the answer {answer!r:.60} is no object")
        text, start = take(record, "text", str, answer), take(record, "answer_start", int, answer)
        if not text or start < 0 or context[start : start + len(text)] != text:
            raise record.wrong(f"the answer {text!r:.60} does not stand at character {start} of its context")
        answers.append((text, start))
    if not answers:
        raise record.wrong("has no answer, yet is not marked as impossible")
    return tuple(answers)


def _nearest(context: str, text: str, start: int) -> int:
    places = (match.start() for match in re.finditer(f"(?={re.escape(text)})", context))
    return min(places, key=lambda place: abs(place - start), default=start)


def _windows(
    question: Pieces, context: Pieces, example: Question, encoder: TextEncoder
) -> Iterator[tuple[dict[str, Any], dict[str, int], Window]]:
    """What the model reads of each window, where the first answer is in it, and its tokens' characters."""
    ids = question.ids[: min(QUESTION_TOKENS, encoder.pair_capacity // 2)]
    capacity, first = encoder.pair_capacity - len(ids), encoder.second_offset(len(ids))
    starts, ends = np.array(context.starts, np.int32), np.array(context.ends, np.int32)
    answer = None
    if example.answers:
        text, start = example.answers[0]
        answer = covering_tokens(starts, ends, start, start + len(text))
    ranges = windows(len(context), capacity, step_for(capacity))
    for (begin, end), central in zip(ranges, central_tokens(ranges), strict=True):
        read = encoder.pair(ids, context.ids[begin:end])
        inputs = {name: np.array(row, _width(name)) for name, row in read.items()}
        places = {"start_positions": 0, "end_positions": 0}
        if answer is not None and begin <= answer[0] and answer[1] < end:
            places = dict(zip(places, (first + place - begin for place in answer), strict=True))
        yield inputs, places, Window(first, starts[begin:end], ends[begin:end], central)


def _width(name: str) -> type[np.integer]:
    return np.int32 if name == "input_ids" else np.uint8  # masks and types are small
