"""Marks around two entities, put between tokens in a way that leaves the words as they read without them.

Markers written into the text make most tokenizers begin a word behind each of them, so that a particle of
Korean (서울 + 에서) or the rest of a compound reads as a word of its own. The baseline fixes the one token
behind a closing marker, for two kinds of tokenizer. Here the text is tokenized without markers, which are ids
put between its tokens. Where a boundary falls inside a token, and only there, that token is tokenized anew in
parts, each in the form that it has at its place in the word: `##` of WordPiece, no word mark for the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from xpt.finetune.encoding import Pieces


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end`, the latter exclusive, and the markers around them (token ids)."""

    start: int
    end: int
    opening: int
    closing: int


def marked_ids(text: str, pieces: Pieces, spans: Sequence[Span], tokenizer: Tokenizer) -> list[int]:
    """The ids of a text's tokens, a marker at each end of each span; spans do not overlap.

    Between two markers stand the tokens of exactly the span's characters. The mark of the word that begins
    there is part of the first of them, or where it is a token of its own stands before the marker.
    """
    for place in sorted({place for span in spans for place in (span.start, span.end)}):
        pieces = divided(text, pieces, place, tokenizer)
    markers = [(span.end, 0, span.closing) for span in spans]  # 0: an end comes before a start at its place
    markers += [(span.start, 1, span.opening) for span in spans]
    ids: list[int] = []
    done = 0
    for place, opens, marker in sorted(markers):
        boundary = max(done, _tokens_up_to(pieces, place) if opens else _tokens_before(pieces, place))
        ids += [*pieces.ids[done:boundary], marker]
        done = boundary
    return [*ids, *pieces.ids[done:]]


def cut_around(ids: Sequence[int], markers: frozenset[int], capacity: int) -> list[int]:
    """At most `capacity` ids. The end is cut off as in the baseline if no marker is in it; else what stays is
    moved so that all markers are in it, with as much before the first as behind the last of them. Only where
    they stand too far apart the end is cut off nevertheless."""
    places = [index for index, id in enumerate(ids) if id in markers]
    if len(ids) <= capacity or not places or places[-1] < capacity or places[-1] - places[0] >= capacity:
        return list(ids[:capacity])
    spare = capacity - (places[-1] - places[0] + 1)
    begin = min(places[0] - spare // 2, len(ids) - capacity)
    return list(ids[begin : begin + capacity])


def divided(text: str, pieces: Pieces, place: int, tokenizer: Tokenizer) -> Pieces:
    """The tokens of a text so that none has characters on both sides of `place`; all others as they are.

    New ones are said to cover all characters of their part.
    """
    spans = list(zip(pieces.starts, pieces.ends, strict=True))
    crossing = [index for index, (start, end) in enumerate(spans) if start < place < end]
    if not crossing:
        return pieces
    first, last = crossing[0], crossing[-1] + 1
    start, end = min(pieces.starts[first:last]), max(pieces.ends[first:last])
    # Bytes that share a character with the token, and so on: a part of a character cannot be read alone.
    while first > 0 and spans[first - 1][1] > start:
        first -= 1
        start = min(start, spans[first][0])
    while last < len(spans) and spans[last][0] < end:
        end = max(end, spans[last][1])
        last += 1
    while first > 0 and spans[first - 1][0] == spans[first - 1][1]:  # blanks, and the mark of this word
        first -= 1
    since = min(start, max(pieces.ends[:first], default=0))
    ids, starts, ends = pieces.ids[:first], pieces.starts[:first], pieces.ends[:first]
    for whence, begin, stop in ((since, start, place), (place, place, end)):
        part = part_ids(text, whence, stop, tokenizer)
        ids, starts, ends = ids + part, starts + [begin] * len(part), ends + [stop] * len(part)
    rest = slice(last, None)
    return Pieces(ids + pieces.ids[rest], starts + pieces.starts[rest], ends + pieces.ends[rest])


def part_ids(text: str, start: int, end: int, tokenizer: Tokenizer) -> list[int]:
    """The tokens of `text[start:end]` as they read behind `text[:start]`, none of them reaching over `start`.

    With the blank in front of it, if there is one: a word that begins there begins with its mark.
    """
    return [
        id
        for word, continues in _words(text, start, end, tokenizer)
        for id in (_continuation(word, tokenizer) if continues else _whole(word, tokenizer))
    ]


def _words(text: str, start: int, end: int, tokenizer: Tokenizer) -> list[tuple[str, bool]]:
    """The tokenizer's words in a part of a text, and whether they continue one from before it.

    Found by comparing what it makes of the text up to the part's end and to its start. Where the two have
    nothing in common (letters that are composed across the boundary), a letter stands for what is before.
    """
    before = text[:start].rstrip()
    blanks = text[len(before) : start]
    for context in (before, "a"):
        head = "".join(_split(context, tokenizer))
        words = _split(context + blanks + text[start:end], tokenizer)
        if "".join(words).startswith(head):
            return list(_behind(words, len(head)))
    return [(word, False) for word in _split(text[start:end], tokenizer)]


def _behind(words: Sequence[str], length: int) -> Iterator[tuple[str, bool]]:
    for word in words:
        if length < len(word):
            yield word[length:], length > 0
        length = max(0, length - len(word))


def _split(text: str, tokenizer: Tokenizer) -> list[str]:
    """A text normalized and cut into words, as the tokenizer's model gets them."""
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
    if tokenizer.pre_tokenizer is None:
        return [text]
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]


def _whole(word: str, tokenizer: Tokenizer) -> list[int]:
    return [token.id for token in tokenizer.model.tokenize(word)] if word else []


def _continuation(word: str, tokenizer: Tokenizer) -> list[int]:
    """The end of a word. Models that mark it do so by a prefix; the longest known piece is taken each time,
    and the unknown token for a word that has none, as WordPiece does."""
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None)
    if not prefix:
        return _whole(word, tokenizer)
    ids, start = [], 0
    while start < len(word):
        found = (
            (end, tokenizer.token_to_id(prefix + word[start:end])) for end in range(len(word), start, -1)
        )
        end, id = next(((end, id) for end, id in found if id is not None), (0, None))
        if id is None:
            unknown = tokenizer.token_to_id(tokenizer.model.unk_token or "")
            return [] if unknown is None else [unknown]
        ids.append(id)
        start = end
    return ids


def _tokens_before(pieces: Pieces, place: int) -> int:
    """How many tokens there are up to the last one with a character before `place`."""
    spans = enumerate(zip(pieces.starts, pieces.ends, strict=True), start=1)
    return max((number for number, (start, end) in spans if start < end and start < place), default=0)


def _tokens_up_to(pieces: Pieces, place: int) -> int:
    """How many tokens there are before the first one with a character at `place` or behind it."""
    spans = enumerate(zip(pieces.starts, pieces.ends, strict=True))
    return min((number for number, (start, end) in spans if place <= start < end), default=len(pieces))
