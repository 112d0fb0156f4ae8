"""DP: the head and the relation of each word of a sentence (KLUE paper 3.6).

What passes through: rows of words -> words with their tokens -> heads and labels. A word is read through its
first and its last token; one that no token stands for stays in its sentence, so that nothing is lost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from xpt.finetune.backbone import Backbone
from xpt.finetune.batches import IGNORED_LABEL, masked_mean, pad_batch
from xpt.finetune.encoding import Pieces, TextEncoder
from xpt.finetune.heads.parser import NO_WORD, DependencyParser, DependencyParserConfig
from xpt.finetune.heads.trees import cycle
from xpt.finetune.judgment import Judgment, Mark, Passage
from xpt.finetune.klue.klue_task import KlueTask
from xpt.finetune.klue.official import Block, tsv_records
from xpt.finetune.records import take_label
from xpt.finetune.task import Example, Feature, Hyperparameters, Record
from xpt.program.errors import XPTError

POS_TAGS = (
    *"NNG NNP NNB NP NR VV VA VX VCP VCN MMA MMD MMN MAG MAJ JC IC JKS JKC JKG JKO JKB JKV JKQ JX".split(),
    *"EP EF EC ETN ETM XPN XSN XSV XSA XR SF SP SS SE SO SL SH SW SN NA".split(),
)
LABELS = (
    *"NP NP_AJT VP NP_SBJ VP_MOD NP_OBJ AP NP_CNJ NP_MOD VNP DP VP_AJT VNP_MOD NP_CMP VP_SBJ VP_CMP".split(),
    *"VP_OBJ VNP_CMP AP_MOD X_AJT VP_CNJ VNP_AJT IP X X_SBJ VNP_OBJ VNP_SBJ X_OBJ AP_AJT L X_MOD".split(),
    *"X_CNJ VNP_CNJ X_CMP AP_CMP AP_SBJ R NP_SVJ".split(),  # NP_SVJ, a typing error, is a class of its own
)
HUB_COLUMNS = ("index", "word_form", "lemma", "pos", "head", "deprel")


@dataclass(frozen=True)
class ParsedSentence(Example):
    """The words of a sentence, the part of speech each ends with, the place of its head (0 the root) and how
    it hangs on it."""

    words: tuple[str, ...]
    pos: tuple[str, ...]
    heads: tuple[int, ...]
    deprels: tuple[str, ...]


class DP(KlueTask):
    """Words and their parts of speech -> heads and labels."""

    name = "dp"
    title = "dependency parsing"
    folder = "klue-dp-v1.1"
    suffix = ".tsv"
    sizes = {"train": 10_000, "validation": 2_000}  # noqa: RUF012
    labels = LABELS
    settings = Hyperparameters(256, 5e-5, 32, 10, warmup_ratio=0.1)
    large_settings = Hyperparameters(256, 5e-5, 32, 15, warmup_ratio=0.2)
    selected_on = "dp/las_macro_f1"
    prediction_fields = ("heads", "deprels")
    own_options = ("tree_constraint", "use_pos")
    left_to_right = False

    def records(self, text: str, file: str) -> Iterator[Record]:
        """Blocks of rows: INDEX, WORD_FORM, LEMMA, POS, HEAD, DEPREL."""
        return tsv_records(text, file, len(HUB_COLUMNS))

    def hub_record(self, row: dict[str, Any], guid: str) -> Any:
        """The Hub has the columns as lists, numbers as such, and no guid."""
        columns = [_hub_column(row, name, guid) for name in HUB_COLUMNS]
        if len({len(column) for column in columns}) > 1:
            raise XPTError(f"{guid}: its lists have different lengths; get the data set again")
        rows = [list(cells) for cells in zip(*columns, strict=True)]
        return Block(guid, str(row.get("sentence", "")), rows, line=0)

    def examples(self, record: Record) -> list[ParsedSentence]:
        """The rows, which must make a tree; lemmas and the whole sentence are not used."""
        block: Block = record.value
        count = len(block.rows)
        if not count:
            raise record.wrong("has no words")
        rows = [_word(_row_record(record, place), place, count) for place in range(count)]
        words, pos, heads, deprels = zip(*rows, strict=True)
        lost = cycle(heads)
        if lost is not None:
            raise _row_record(record, lost).wrong(f"from word {lost + 1} no way of heads leads to the root")
        return [ParsedSentence(block.guid, words, pos, heads, deprels)]

    def features(
        self, examples: Sequence[ParsedSentence], encoder: TextEncoder, training: bool
    ) -> list[Feature]:
        """One sequence a sentence, cut at its end.

        A word without a token, because it vanishes in normalization or stands beyond the cut, is read as the
        last token of the sequence: the model knows that it is there, and its part of speech.
        """
        texts = encoder.pieces([" ".join(example.words) for example in examples])
        features = []
        for index, (example, pieces) in enumerate(zip(examples, texts, strict=True)):
            inputs: dict[str, Any] = encoder.sequence(pieces.ids[: encoder.capacity])
            instead = len(inputs["input_ids"]) - 1
            read = range(min(len(pieces), encoder.capacity))
            first, last = (
                [instead if token is None else token + encoder.offset for token in tokens]
                for tokens in word_tokens(example.words, pieces, read)
            )
            inputs |= {"word_first": first, "word_last": last}
            if self.options.use_pos:
                inputs["pos_ids"] = [POS_TAGS.index(tag) for tag in example.pos]
            inputs["heads"] = list(example.heads)
            inputs["deprels"] = [self.labels.index(label) for label in example.deprels]
            features.append(Feature(inputs, index))
        return features

    def collate(self, features: Sequence[Feature], encoder: TextEncoder) -> dict[str, Tensor]:
        """One batch, tokens and words each padded to one of few lengths."""
        padding = {
            **encoder.padding,
            **{"word_first": NO_WORD, "word_last": NO_WORD, "pos_ids": len(POS_TAGS)},
            **dict.fromkeys(("heads", "deprels"), IGNORED_LABEL),
        }
        return pad_batch([feature.inputs for feature in features], padding, encoder.max_length)

    def build(self, backbone: Backbone) -> PreTrainedModel:
        """The benchmark's parser. Its LSTMs are as wide as the encoder, at most 768 as in the benchmark,
        whose encoders are all at least that wide."""
        config = DependencyParserConfig(
            encoder=backbone.config,
            lstm_size=min(backbone.hidden_size, DependencyParserConfig.lstm_size),
            pos_tags=len(POS_TAGS),
            use_pos=self.options.use_pos,
            tree_constraint=self.options.tree_constraint,
            id2label=dict(enumerate(self.labels)),
            label2id={label: index for index, label in enumerate(self.labels)},
        )
        return DependencyParser(config, backbone.load_encoder())

    def outputs(self, output: Any, batch: dict[str, Tensor]) -> list[np.ndarray]:
        """A row of heads and a row of labels (2, words) for each sentence."""
        lengths = (batch["word_first"] != NO_WORD).sum(dim=1).tolist()
        heads = output.heads.cpu().numpy()
        labels = output.label_logits.argmax(dim=-1).cpu().numpy()
        answers = np.stack([heads, labels], axis=1)
        return [answer[:, :length] for answer, length in zip(answers, lengths, strict=True)]

    def predictions(
        self, examples: Sequence[ParsedSentence], features: Sequence[Feature], outputs: Sequence[Any]
    ) -> list[dict[str, Any]]:
        """Each word's head and label."""
        return [
            {
                "guid": examples[feature.example].guid,
                "heads": heads.tolist(),
                "deprels": [self.labels[label] for label in labels],
            }
            for feature, (heads, labels) in zip(features, outputs, strict=True)
        ]

    def confidences(self, output: Any, batch: dict[str, Tensor]) -> list[float]:
        """The mean over words of the head's probability times the label's."""
        heads = output.arc_logits.float().softmax(dim=-1).gather(-1, output.heads[..., None])[..., 0]
        labels = output.label_logits.float().softmax(dim=-1).amax(dim=-1)  # (batch, words)
        return masked_mean(heads * labels, batch["word_first"] != NO_WORD).tolist()

    def judge(self, example: ParsedSentence, line: dict[str, Any]) -> Judgment:
        """The words that hang elsewhere, or otherwise; right is the share of the others."""
        words = example.words
        arcs = list(zip(example.heads, example.deprels, strict=True))
        given = list(zip(line["heads"], line["deprels"], strict=True))
        starts = [sum(len(word) + 1 for word in words[:place]) for place in range(len(words))]
        wrong = [place for place in range(len(words)) if arcs[place] != given[place]]
        marks = tuple(Mark(starts[at], starts[at] + len(words[at]), str(at + 1)) for at in wrong)
        gold, answer = ("; ".join(_arc(words, at, *chosen[at]) for at in wrong) for chosen in (arcs, given))
        pairs = tuple(zip(example.deprels, line["deprels"], strict=True))
        right = 1 - len(wrong) / len(words)
        return Judgment((Passage("", " ".join(words), marks),), gold, answer, right, pairs)

    def reference(self, example: ParsedSentence) -> dict[str, Any]:
        """Gold heads and labels."""
        return {"heads": list(example.heads), "deprels": list(example.deprels)}

    def check_prediction(self, example: ParsedSentence, line: dict[str, Any]) -> None:
        """Raise `ValueError` for what is no head and label a word; a head that no word has is just wrong."""
        for field in self.prediction_fields:
            value = line[field]
            if not isinstance(value, list) or len(value) != len(example.words):
                size = f"{len(value)} of them" if isinstance(value, list) else f"{value!r:.60}"
                raise ValueError(f"{field} are {size}, and the sentence has {len(example.words)} words")
        for head in line["heads"]:
            if isinstance(head, bool) or not isinstance(head, int):
                raise ValueError(f"the head {head!r:.60} is no whole number")
        for label in line["deprels"]:
            if label not in self.labels:
                raise ValueError(f"unknown label {label!r:.60}; it has {', '.join(self.labels)}")


def _arc(words: Sequence[str], place: int, head: int, label: str) -> str:
    """ "2 법을 → 만들었다 NP_OBJ"; the root's head is ROOT."""
    above = words[head - 1] if 0 < head <= len(words) else "ROOT"
    return f"{place + 1} {words[place]} → {above} {label}"


def word_tokens(
    words: Sequence[str], pieces: Pieces, tokens: range
) -> tuple[list[int | None], list[int | None]]:
    """The first and the last of the `tokens` of a sentence for each word; None where it has none of them.

    A word has the tokens that cover some of its characters. So a token across a blank is of both its words,
    and one that covers nothing but a blank, as a word mark on its own, of none.
    """
    owner: list[int | None] = []  # of each character of the words joined by blanks
    for place, word in enumerate(words):
        owner += [*([place] * len(word)), None]
    first: list[int | None] = [None] * len(words)
    last = first.copy()
    for token in tokens:
        covered = {owner[at] for at in range(pieces.starts[token], pieces.ends[token])}
        for place in (place for place in covered if place is not None):
            first[place] = token if first[place] is None else first[place]
            last[place] = token
    return first, last


def _hub_column(row: dict[str, Any], name: str, guid: str) -> list[str]:
    """A column of the Hub as a file has it. Raises `XPTError` for what is no list of texts."""
    column = row.get(name)
    cells: list[Any] = list(column) if isinstance(column, list | tuple) else [None]
    if name in ("index", "head"):
        cells = [str(cell) if type(cell) is int else cell for cell in cells]
    if not all(isinstance(cell, str) for cell in cells):
        raise XPTError(f"{guid}: {name} is {column!r:.60}, no list of cells; is it the data set klue/klue?")
    return cells


def _row_record(record: Record, place: int) -> Record:
    """A word's row, for errors that name its line; a row of the Hub has none, and is named by its word."""
    line = record.value.line
    where = f"line {line + 1 + place}" if line else f"word {place + 1}"
    return Record(record.value.rows[place], f"{record.place} {where}")


def _word(row: Record, place: int, count: int) -> tuple[str, str, int, str]:
    """Form, last part of speech, head and label of one of `count` words. Raises `XPTError` with its line."""
    index, word, _, tags, head, label = row.value
    if index != str(place + 1):
        raise row.wrong(f"the INDEX is {index!r:.60} instead of {place + 1}")
    if not word.strip():
        raise row.wrong("the WORD_FORM is empty")
    tag = tags.rpartition("+")[2]
    if tag not in POS_TAGS:
        raise row.wrong(f"unknown part of speech {tag!r:.60}")
    if head not in map(str, range(count + 1)):
        raise row.wrong(f"the HEAD is {head!r:.60}, none of the {count} words and no 0")
    return word, tag, int(head), take_label(row, label, LABELS)
