"""NER: persons, places, organizations, dates, times and quantities, a tag a character (KLUE paper 3.4).

A model tags tokens, the benchmark scores characters. Offsets carry tags from one to the other, so that any
fast tokenizer will do: a token has the tag of the first character that it is the first to cover, and its
further characters are the inside of the same entity. Where an entity begins inside a token it is lost.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from xpt.finetune.backbone import Backbone
from xpt.finetune.batches import IGNORED_LABEL
from xpt.finetune.encoding import Pieces, TextEncoder
from xpt.finetune.heads.token_tagger import token_tagger
from xpt.finetune.judgment import Judgment, Passage, tagged
from xpt.finetune.klue.klue_task import VERSION, KlueTask
from xpt.finetune.klue.official import Block, tsv_records
from xpt.finetune.records import take_label
from xpt.finetune.task import Example, Feature, Hyperparameters, Record


@dataclass(frozen=True)
class TaggedCharacters(Example):
    """A sentence in characters, blanks too, and the tag of each."""

    characters: tuple[str, ...]
    tags: tuple[str, ...]


class NER(KlueTask):
    """Characters -> tags by the scheme IOB2, learned and predicted on tokens."""

    name = "ner"
    title = "named entity recognition"
    folder = "klue-ner-v1.1"
    suffix = ".tsv"
    sizes = {"train": 21_008, "validation": 5_000}  # noqa: RUF012
    labels = (
        *("B-PS", "I-PS", "B-LC", "I-LC", "B-OG", "I-OG"),
        *("B-DT", "I-DT", "B-TI", "I-TI", "B-QT", "I-QT", "O"),
    )
    settings = Hyperparameters(510, 5e-5, 32, 3)
    large_settings = Hyperparameters(510, 1e-5, 8, 3)
    selected_on = "ner/char_macro_f1"
    patience = 5  # a default that the official script leaves as it is
    prediction_fields = ("tags",)

    def records(self, text: str, file: str) -> Iterator[Record]:
        """Blocks of rows: a character and its tag."""
        return tsv_records(text, file, columns=2)

    def hub_record(self, row: dict[str, Any], guid: str) -> Block:
        """The Hub has the characters as `tokens` and has lost the guid."""
        columns = [row.get(field) for field in ("tokens", "ner_tags")]
        tokens, tags = (list(column) if isinstance(column, Sequence) else [] for column in columns)
        longer = max(len(tokens), len(tags))
        rows = [[*tokens[at : at + 1], *tags[at : at + 1]] for at in range(longer)]
        return Block(guid, str(row.get("sentence", "")), rows, 0)

    def examples(self, record: Record) -> list[TaggedCharacters]:
        """The rows, not the marked sentence in the header, which differs from them in some sentences."""
        block: Block = record.value
        if not block.guid:
            raise record.wrong("has no guid")
        if not block.rows:
            raise record.wrong("has no rows")
        for number, cells in enumerate(block.rows, start=1):
            if len(cells) != 2 or not isinstance(cells[0], str) or len(cells[0]) != 1:
                raise record.wrong(f"row {number} is {cells!r:.60}, not one character and a tag")
        characters, tags = zip(*block.rows, strict=True)
        return [
            TaggedCharacters(
                block.guid, characters, tuple(take_label(record, tag, self.labels) for tag in tags)
            )
        ]

    def warnings(self, origin: str, examples: Sequence[TaggedCharacters]) -> list[str]:
        """Text that is not NFKC, as that of v1 was."""
        odd = sum(not unicodedata.is_normalized("NFKC", "".join(each.characters)) for each in examples)
        said = [f"{origin}: {odd:,} sentences are not NFKC, so it is not {VERSION}"] * bool(odd)
        return [*super().warnings(origin, examples), *said]

    def features(self, examples: Sequence[Any], encoder: TextEncoder, training: bool) -> list[Feature]:
        """One sequence an example, cut at its end (the longest of v1.1 has 145 characters).

        As in the baseline [CLS], [SEP] and tokens of a word mark alone are learned as O. Further bytes of a
        character, which it does not know, are not learned: nothing is read from them either.
        """
        texts = ["".join(example.characters) for example in examples]
        features = []
        for index, pieces in enumerate(encoder.pieces(texts)):
            ids = pieces.ids[: encoder.capacity]
            owned = owned_characters(pieces)[: len(ids)]
            inner = [
                self._label(examples[index], characters, pieces.starts[at] < pieces.ends[at])
                for at, characters in enumerate(owned)
            ]
            inputs: dict[str, Any] = encoder.sequence(ids)
            after = len(inputs["input_ids"]) - encoder.offset - len(ids)
            outside = self.labels.index("O")
            inputs["labels"] = [*[outside] * encoder.offset, *inner, *[outside] * after]
            memory = [*[()] * encoder.offset, *owned, *[()] * after]
            features.append(Feature(inputs, index, memory))
        return features

    def _label(self, example: TaggedCharacters, owned: Sequence[int], covers: bool) -> int:
        if owned:
            return self.labels.index(example.tags[owned[0]])
        return IGNORED_LABEL if covers else self.labels.index("O")

    def predictions(
        self, examples: Sequence[Any], features: Sequence[Feature], outputs: Sequence[Any]
    ) -> list[dict[str, Any]]:
        """A tag a row. What no token covers, blanks among it, is inside of the entity around it, or O; so is
        what was cut off."""
        lines = []
        for feature, logits in zip(features, outputs, strict=True):
            example = examples[feature.example]
            tags: list[str | None] = [None] * len(example.characters)
            for owned, best in zip(feature.memory, np.argmax(logits, axis=-1).tolist(), strict=True):
                for place, character in enumerate(owned):
                    tag = self.labels[best]
                    tags[character] = tag if place == 0 or tag == "O" else f"I-{tag[2:]}"
            lines.append({"guid": example.guid, "tags": _filled(tags)})
        return lines

    def judge(self, example: TaggedCharacters, line: dict[str, Any]) -> Judgment:
        """Both taggings under each other; right is the share of characters, blanks apart, that are."""
        text = "".join(example.characters)
        marked = (Passage("gold", text, tagged(example.tags)), Passage("answer", text, tagged(line["tags"])))
        scored = [
            (gold, answer)
            for character, gold, answer in zip(text, example.tags, line["tags"], strict=True)
            if not character.isspace()
        ]
        right = sum(gold == answer for gold, answer in scored) / max(1, len(scored))
        pairs = tuple((gold.split("-")[-1], answer.split("-")[-1]) for gold, answer in scored)
        return Judgment(marked, "", "", right, pairs)

    def reference(self, example: Any) -> dict[str, Any]:
        """The rows."""
        return {"characters": list(example.characters), "tags": list(example.tags)}

    def check_prediction(self, example: Any, line: dict[str, Any]) -> None:
        """Raise `ValueError` for what is not one known tag a row."""
        tags = line["tags"]
        if not isinstance(tags, list) or len(tags) != len(example.characters):
            count = len(tags) if isinstance(tags, list) else "no list of"
            raise ValueError(f"{count} tags for {len(example.characters)} character rows (blanks are rows)")
        wrong = [tag for tag in tags if tag not in self.labels]
        if wrong:
            raise ValueError(f"unknown tag {wrong[0]!r:.60}; it has {', '.join(self.labels)}")

    def build(self, backbone: Backbone) -> PreTrainedModel:
        """A linear layer on each token."""
        return token_tagger(backbone, self.labels)


def owned_characters(pieces: Pieces) -> list[tuple[int, ...]]:
    """For each token the characters that it is the first to cover, in their order.

    Empty for word marks, and for all bytes of a character but the first.
    """
    owner: dict[int, int] = {}
    for token, (start, end) in enumerate(zip(pieces.starts, pieces.ends, strict=True)):
        for character in range(start, end):
            owner.setdefault(character, token)
    owned: list[list[int]] = [[] for _ in pieces.ids]
    for character in sorted(owner):
        owned[owner[character]].append(character)
    return [tuple(characters) for characters in owned]


def _filled(tags: Sequence[str | None]) -> list[str]:
    filled: list[str] = []
    following = _following(tags)
    for tag, after in zip(tags, following, strict=True):
        if tag is None:
            inside = after.startswith("I-") and bool(filled) and filled[-1][1:] == after[1:]
            tag = after if inside else "O"
        filled.append(tag)
    return filled


def _following(tags: Sequence[str | None]) -> list[str]:
    """For each place the next tag that is known, O where there is none."""
    following, after = [], "O"
    for tag in reversed(tags):
        following.append(after)
        after = tag or after
    return following[::-1]
