"""Training text with boundaries of morphemes that no SentencePiece piece crosses.

SentencePiece takes one of its own special pieces in training text for a boundary, when it collects pieces
and when it scores them, and keeps no piece for it. Its option for this, `pretokenization_delimiter`, bounds
collecting alone. Both measure the same (experiments/morphemes), but a text may hold the delimiter, and up to
version 0.2.0 it becomes a piece of the vocabulary.

Either way it collects, of repeated texts, those that different characters follow. A boundary is one
character, so that a stem which endings always follow would be none, and pieces get shorter; candidates are
therefore collected here.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from xpt.text.morphemes import Segmenter, mark_boundaries
from xpt.text.tokenizer_convert import PAD, WORD_MARK, normalized_words

_LONGEST_PIECE = 16  # characters; SentencePiece's own limit
# It takes a million, single characters among them.
_MOST_CANDIDATES = 900_000


@dataclass(frozen=True)
class CutText:
    """Marked sentences, and what stands between their marks and blanks, the first of a word with its mark."""

    lines: list[str]
    segments: Counter[str]

    def coverage(self, asked: float) -> float:
        """The character coverage that covers what `asked` does without marks, which count as covered."""
        characters = sum(len(segment) * count for segment, count in self.segments.items())
        words = sum(count for segment, count in self.segments.items() if segment[0] == WORD_MARK)
        marks = self.segments.total() - words
        return 1 - (1 - asked) * characters / max(characters + marks, 1)

    def candidates(self) -> str:
        """Pieces to choose from with their frequencies, as SentencePiece reads them from a file.

        All that stands twice between boundaries, but for what one and the same character always follows.
        """
        found: Counter[str] = Counter()
        for segment, count in self.segments.items():
            for start in range(len(segment) - 1):
                for end in range(start + 2, min(len(segment), start + _LONGEST_PIECE) + 1):
                    found[segment[start:end]] += count
        extended = {piece[:-1] for piece, count in found.items() if found.get(piece[:-1]) == count}
        chosen = [(piece, n) for piece, n in found.items() if n > 1 and piece not in extended]
        chosen.sort(key=lambda pair: (-pair[1] * len(pair[0]), pair[0]))
        return "".join(f"{piece}\t{count}\n" for piece, count in chosen[:_MOST_CANDIDATES])


def cut_text(sentences: Iterable[str], segmenter: Segmenter) -> CutText:
    """Mark the boundaries that the segmenter finds. All sentences are held in memory."""
    plain = list(sentences)
    places = segmenter.places(iter(plain))
    lines = [mark_boundaries(text, found, PAD) for text, found in zip(plain, places, strict=True)]
    segments = Counter(
        segment for line in lines for word in normalized_words(line) for segment in word.split(PAD) if segment
    )
    return CutText(lines, segments)
