"""RE: how two marked entities of a sentence are related, one of 30 relations (KLUE paper 3.5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax
from transformers import AddedToken, PreTrainedModel, PreTrainedTokenizerFast

from xpt.finetune.backbone import Backbone
from xpt.finetune.encoding import Pieces, TextEncoder
from xpt.finetune.judgment import Mark, Passage
from xpt.finetune.klue.entity_markers import Span, cut_around, marked_ids
from xpt.finetune.klue.klue_task import KlueTask
from xpt.finetune.klue.official import json_records
from xpt.finetune.records import take, take_label
from xpt.finetune.sequence import SequenceTask
from xpt.finetune.task import Example, Feature, Hyperparameters, Options, Record
from xpt.program.errors import XPTError

ENTITY_TYPES = ("PER", "ORG", "LOC", "DAT", "POH", "NOH")  # person ... other proper noun, other number


@dataclass(frozen=True)
class Entity:
    """Characters `start` to `end`, the latter exclusive, and the type of what stands there."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class RelatedEntities(Example):
    """A sentence, two of its entities, and how the first is related to the second."""

    sentence: str
    subject: Entity
    object: Entity
    label: str


class RE(KlueTask, SequenceTask):
    """Sentence with a marked subject and object -> relation.

    `entity_markers` of the options says what marks them:

    - `plain`: `<subj>`, `</subj>`, `<obj>`, `</obj>`, as in the baseline; 4 tokens new to the model.
    - `typed`: the same with the entity's type, `<subj:PER>`; always 24 new tokens, for both roles and all
      types (the typed entity marker of Zhou and Chen 2021, "An Improved Baseline for Sentence-level Relation
      Extraction"; its variant of punctuation is left out, as its signs are not in all vocabularies).
    - `none`: nothing, the model reads the sentence only.
    """

    name = "re"
    title = "relation extraction"
    folder = "klue-re-v1.1"
    suffix = ".json"
    sizes = {"train": 32_470, "validation": 7_765}  # noqa: RUF012
    labels = (
        "no_relation",
        "org:dissolved",
        "org:founded",
        "org:place_of_headquarters",
        "org:alternate_names",
        "org:member_of",
        "org:members",
        "org:political/religious_affiliation",
        "org:product",
        "org:founded_by",
        "org:top_members/employees",
        "org:number_of_employees/members",
        "per:date_of_birth",
        "per:date_of_death",
        "per:place_of_birth",
        "per:place_of_death",
        "per:place_of_residence",
        "per:origin",
        "per:employee_of",
        "per:schools_attended",
        "per:alternate_names",
        "per:parents",
        "per:children",
        "per:siblings",
        "per:spouse",
        "per:other_family",
        "per:colleagues",
        "per:product",
        "per:religion",
        "per:title",
    )
    settings = Hyperparameters(256, 5e-5, 32, 3, warmup_ratio=0.1)
    large_settings = Hyperparameters(256, 2e-5, 32, 10, warmup_ratio=0.2)
    selected_on = "re/micro_f1"
    prediction_fields = ("label", "probs")
    own_options = ("entity_markers", "linear_head")

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        known = {
            "none": (),
            "plain": ("",),
            "typed": tuple(f":{type}" for type in ENTITY_TYPES),
        }
        chosen = self.options.entity_markers
        if chosen not in known:
            raise XPTError(f"--entity_markers {chosen}: not known; use one of {', '.join(known)}")
        self.markers = tuple(
            f"<{end}{role}{type}>" for type in known[chosen] for role in ("subj", "obj") for end in ("", "/")
        )

    # ---- reading -----------------------------------------------------------------------------------------

    def records(self, text: str, file: str) -> Iterator[Record]:
        """A JSON list."""
        return json_records(text, file)

    def hub_record(self, row: dict[str, Any], guid: str) -> Any:
        """The Hub has the same fields."""
        return row

    def examples(self, record: Record) -> list[RelatedEntities]:
        """`guid`, `sentence`, `subject_entity`, `object_entity` and `label`; `end_idx` is inclusive."""
        sentence = take(record, "sentence")
        one, other = (_entity(record, sentence, field) for field in ("subject_entity", "object_entity"))
        if one.start < other.end and other.start < one.end:
            raise record.wrong("subject_entity and object_entity overlap")
        if self.options.entity_markers == "typed":
            unknown = [entity.type for entity in (one, other) if entity.type not in ENTITY_TYPES]
            if unknown:
                raise record.wrong(f"unknown entity type {unknown[0]!r:.60}, for which there is no marker")
        label = take_label(record, take(record, "label"), self.labels)
        return [RelatedEntities(take(record, "guid"), sentence, one, other, label)]

    # ---- features and predictions ------------------------------------------------------------------------

    def prepare(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Make the markers tokens of a model's tokenizer, if they are not. Called right after it is opened:
        `build` and `features` take it so, and the model gets as many rows more."""
        tokenizer.add_tokens(
            [AddedToken(marker, special=True, normalized=False) for marker in self.markers],
            special_tokens=True,
        )
        vocabulary = tokenizer.get_vocab()
        if len(set(vocabulary.values())) < len(vocabulary):  # new tokens are numbered by how many there are
            raise XPTError(
                "the ids of the model's tokenizer have holes, so that markers get ids of other pieces; "
                "take --entity_markers none, or number its pieces anew"
            )

    def features(self, examples: Sequence[Any], encoder: TextEncoder, training: bool) -> list[Feature]:
        """One sequence an example, markers between its tokens (`xpt.finetune.klue.entity_markers`).

        A sentence that is too long loses its end, as in the baseline; one that would lose a marker with it
        loses its beginning too, so that both entities are read.
        """
        pieces = encoder.pieces([example.sentence for example in examples])
        known = encoder.tokenizer.get_added_vocab()
        ids = {marker: known[marker] for marker in self.markers}
        return [
            Feature(
                {**self._inputs(example, pieces[index], encoder, ids), "labels": self.target(example)}, index
            )
            for index, example in enumerate(examples)
        ]

    def _inputs(
        self, example: RelatedEntities, pieces: Pieces, encoder: TextEncoder, ids: dict[str, int]
    ) -> dict[str, list[int]]:
        spans = []
        for role, entity in (("subj", example.subject), ("obj", example.object)):
            if ids:
                name = f"{role}:{entity.type}" if self.options.entity_markers == "typed" else role
                spans.append(Span(entity.start, entity.end, ids[f"<{name}>"], ids[f"</{name}>"]))
        marked = marked_ids(example.sentence, pieces, spans, encoder.tokenizer.backend_tokenizer)
        return encoder.sequence(cut_around(marked, frozenset(ids.values()), encoder.capacity))

    def build(self, backbone: Backbone) -> PreTrainedModel:
        """The model's own classification head, new; rows for the markers are grown."""
        self.prepare(backbone.tokenizer)
        return super().build(backbone)

    def answer(self, logits: np.ndarray) -> dict[str, Any]:
        """The relation of the largest logit, and the probabilities of all in the official order."""
        return {**super().answer(logits), "probs": softmax(logits.astype(np.float64)).tolist()}

    def passages(self, example: RelatedEntities) -> tuple[Passage, ...]:
        """The sentence and its two entities."""
        roles = {"subject": example.subject, "object": example.object}
        marks = [Mark(entity.start, entity.end, f"{role} {entity.type}") for role, entity in roles.items()]
        return (Passage("", example.sentence, tuple(sorted(marks, key=lambda mark: mark.start))),)

    def check_prediction(self, example: Any, line: dict[str, Any]) -> None:
        """Raise `ValueError` for an unknown relation, or what are no probabilities of all 30."""
        super().check_prediction(example, line)
        probs = line["probs"]
        if not isinstance(probs, list) or len(probs) != len(self.labels):
            count = len(probs) if isinstance(probs, list) else "no list of"
            raise ValueError(f"{count} probs for {len(self.labels)} relations")
        for label, value in zip(self.labels, probs, strict=True):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value <= 1 + 1e-6:  # a sum of rounded shares may be that much above
                raise ValueError(f"the probability of {label} is {value!r:.60}, not a number from 0 to 1")


def _entity(record: Record, sentence: str, field: str) -> Entity:
    holder = take(record, field, dict)
    start, last = (take(record, place, int, holder) for place in ("start_idx", "end_idx"))
    word = take(record, "word", str, holder)
    if not 0 <= start <= last < len(sentence):
        raise record.wrong(f"{field} from {start} to {last} is not inside the sentence")
    if sentence[start : last + 1] != word:
        raise record.wrong(f"{field} is {word!r:.60}, but {sentence[start : last + 1]!r:.60} stands there")
    return Entity(start, last + 1, take(record, "type", str, holder))
