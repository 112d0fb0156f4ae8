"""Text becomes token ids with places in the text, and ids become sequences with their special tokens.

Any fast tokenizer will do: where a token stands is read from its offsets, never found by searching for its
text, and which special tokens stand around one text or two is asked of the tokenizer once. Both are needed
apart, because tasks cut, mark and shift tokens before they are framed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerFast

from xpt.finetune.batches import IGNORED_LABEL
from xpt.program.errors import XPTError
from xpt.text.special_tokens import text_reader


@dataclass(frozen=True)
class Pieces:
    """The tokens of a text without special ones.

    `starts[i]` and `ends[i]` are the characters of the text that token i covers, blanks at its ends left
    out; both are equal where it covers none but blanks. Between two tokens there are only blanks. Tokens
    that share one character (bytes of it) have the same place.
    """

    ids: list[int]
    starts: list[int]
    ends: list[int]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Frame:
    """The special tokens before, between and after texts, and the token types of all (0 where untyped)."""

    before: list[int]
    between: list[int]
    after: list[int]
    types: tuple[list[int], int, list[int], int, list[int]]  # before, first, between, second, after

    @property
    def specials(self) -> int:
        """How many special tokens there are."""
        return len(self.before) + len(self.between) + len(self.after)


class TextEncoder:
    """A tokenizer, and how long a sequence may be.

    Args:
        tokenizer: any fast one.
        max_length: tokens of a sequence, special ones included.
        token_types: whether the model tells two texts apart by their types.

    Raises:
        XPTError: a tokenizer without offsets.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, max_length: int, token_types: bool) -> None:
        if not tokenizer.is_fast:
            raise XPTError(
                f"the tokenizer {type(tokenizer).__name__} cannot say where its tokens stand in the text; "
                "save it as a fast one (AutoTokenizer, tokenizer.json)"
            )
        self.tokenizer, self.max_length, self.token_types = tokenizer, max_length, token_types
        self.reader = text_reader(tokenizer)
        self._marks: dict[int, bool] = {}  # ids, and whether they are a word mark and nothing else
        self.single, self.double = self._frame("가 a"), self._frame("가 a", "나 b")

    @property
    def padding(self) -> dict[str, int]:
        """What each of the model's arguments is filled up with."""
        return {
            "input_ids": self.tokenizer.pad_token_id,
            "attention_mask": 0,
            "token_type_ids": self.tokenizer.pad_token_type_id,
            "labels": IGNORED_LABEL,
        }

    @property
    def separator(self) -> int:
        """The token that ends a text: [SEP], </s>."""
        ids = (self.tokenizer.sep_token_id, self.tokenizer.eos_token_id, self.tokenizer.bos_token_id)
        found = next((id for id in ids if id is not None), None)
        if found is None:
            raise XPTError("the tokenizer has neither sep_token nor eos_token; give it one of them")
        return found

    def pieces(self, texts: Sequence[str]) -> list[Pieces]:
        """Tokens of each text on its own, whole, without special tokens; spelled out, they are text."""
        encoded = self.reader.encode_batch(list(texts), add_special_tokens=False)
        found = []
        for text, encoding in zip(texts, encoded, strict=True):
            ids = encoding.ids
            spans = [_trimmed(text, start, end) for start, end in encoding.offsets]
            # A word mark is said to stand on the text's first character, or on one that leaves no trace.
            spans = [
                (start, start) if start < end and self._is_mark(id) else (start, end)
                for id, (start, end) in zip(ids, spans, strict=True)
            ]
            spans = _closed(text, spans)
            found.append(Pieces(ids, [start for start, _ in spans], [end for _, end in spans]))
        return found

    def _is_mark(self, id: int) -> bool:
        if id not in self._marks:
            self._marks[id] = not str(self.tokenizer.decode([id])).strip()
        return self._marks[id]

    def sequence(self, ids: Sequence[int]) -> dict[str, list[int]]:
        """One text as the model reads it. The caller cuts it: `capacity` tokens are left for it."""
        frame = self.single
        before, first, _, _, after = frame.types
        return self._inputs([*frame.before, *ids, *frame.after], [*before, *([first] * len(ids)), *after])

    def pair(self, first: Sequence[int], second: Sequence[int]) -> dict[str, list[int]]:
        """Two texts as the model reads them. The caller cuts them to `pair_capacity` tokens."""
        frame = self.double
        before, one, between, two, after = frame.types
        return self._inputs(
            [*frame.before, *first, *frame.between, *second, *frame.after],
            [*before, *([one] * len(first)), *between, *([two] * len(second)), *after],
        )

    @property
    def capacity(self) -> int:
        """Tokens left for one text."""
        return max(0, self.max_length - self.single.specials)

    @property
    def pair_capacity(self) -> int:
        """Tokens left for two texts together."""
        return max(0, self.max_length - self.double.specials)

    @property
    def offset(self) -> int:
        """Where the first token of one text stands in its sequence; of a pair too."""
        return len(self.single.before)

    def second_offset(self, first: int) -> int:
        """Where the first token of the second text stands in a pair whose first has that many tokens."""
        return len(self.double.before) + first + len(self.double.between)

    def cut_pair(self, first: Sequence[int], second: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
        """Both texts without the ends that find no space, the longer one cut first (`longest_first`)."""
        capacity = self.pair_capacity
        if len(first) + len(second) <= capacity:
            return first, second
        kept = max(capacity - len(second), min(len(first), capacity - capacity // 2))
        return first[:kept], second[: capacity - kept]

    def _inputs(self, ids: list[int], types: list[int]) -> dict[str, list[int]]:
        inputs = {"input_ids": ids, "attention_mask": [1] * len(ids)}
        return {**inputs, "token_type_ids": types} if self.token_types else inputs

    def _frame(self, *texts: str) -> Frame:
        """Ask the tokenizer what it puts around texts; one that puts nothing gets a separator between two."""
        encoded: Any = self.tokenizer(*texts, return_special_tokens_mask=True, return_token_type_ids=True)
        ids, special = list(encoded["input_ids"]), list(encoded["special_tokens_mask"])
        types = list(encoded.get("token_type_ids") or [0] * len(ids))
        owner = encoded.sequence_ids(0)
        first = [index for index, text in enumerate(owner) if text == 0 and not special[index]]
        second = [index for index, text in enumerate(owner) if text == 1 and not special[index]]
        last = second if len(texts) > 1 else first
        begin, end = first[0], last[-1] + 1
        inner = slice(first[-1] + 1, second[0]) if second else slice(end, end)
        between = ids[inner]
        between_types = types[inner]
        if second and not between:
            between, between_types = [self.separator], [types[first[0]]]
        return Frame(
            before=ids[:begin],
            between=between,
            after=ids[end:],
            types=(
                types[:begin],
                types[first[0]],
                between_types,
                types[second[0]] if second else 0,
                types[end:],
            ),
        )


def _closed(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Places that take in the characters behind them on which no token stands.

    A normalizer that composes letters (NFC) says that the whole stands where its first part did.
    """
    following = [start for start, _ in [*spans, (len(text), len(text))][1:]]
    return [
        (start, end + _joined(text[end:after])) if start < end < after else (start, end)
        for (start, end), after in zip(spans, following, strict=True)
    ]


def _joined(gap: str) -> int:
    return 0 if gap[0].isspace() else len(gap.split(maxsplit=1)[0])


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
