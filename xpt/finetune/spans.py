"""Windows over a text that is longer than a sequence, and the best span in them, as SQuAD 2.0 is scored.

    tokens of a context -> windows, each with the tokens that it shows best
    characters of an answer -> the tokens that cover them
    start and end logits of a window -> its best span and the score of "no answer"

The rules and numbers are those of the SQuAD code of transformers 3.5.1, which the KLUE baseline uses.
"""

from dataclasses import dataclass

import numpy as np

STEP = 128  # tokens from one window's start to the next one's
BEST = 20  # starts, and ends, of a window that are tried
LONGEST = 30  # tokens of an answer


@dataclass(frozen=True)
class Window:
    """What turns the logits of one sequence back into a part of its context.

    Args:
        first: place in the sequence of the window's first context token.
        starts: (tokens,) first character in the context of each of its context tokens.
        ends: (tokens,) the character after their last; equal to `starts` for blanks.
        central: (tokens,) whether no other window shows the token with more context around it.
    """

    first: int
    starts: np.ndarray
    ends: np.ndarray
    central: np.ndarray


@dataclass(frozen=True)
class Span:
    """Characters `begin` to `end` (exclusive) of a context and the sum of its logits."""

    begin: int
    end: int
    score: float


def step_for(capacity: int) -> int:
    """How far apart windows of `capacity` tokens start: `STEP` where they overlap enough.

    A span may begin only in the window that shows its first token best, and is lost if it ends outside.
    None of `LONGEST` tokens is lost where neighbors share two such lengths, as the official ones of 510
    tokens do. Smaller windows start nearer to each other, down to half of the capacity.
    """
    return min(STEP, max(capacity - 2 * LONGEST, (capacity + 1) // 2))


def windows(tokens: int, capacity: int, step: int) -> list[tuple[int, int]]:
    """Begin and end (exclusive) of the windows over `tokens` tokens, at least one, the last one cut.

    Args:
        tokens: how many there are.
        capacity: how many a window holds, at least one.
        step: from start to start: not their overlap, which is `capacity` - `step`; at most `capacity`.
    """
    begins = range(0, max(1, tokens - capacity + step), step)
    return [(begin, min(tokens, begin + capacity)) for begin in begins]


def central_tokens(ranges: list[tuple[int, int]]) -> list[np.ndarray]:
    """Which tokens of each window no other window shows better: every token is central in exactly one.

    A token's context in a window is the smaller number of tokens to its left and right, and a hundredth of
    the window's length; of equal windows the first one counts. That hundredth is the official code's: where
    the last window shows a single token that the one before does not, and is over 100 tokens shorter, an
    answer with the context's last token is lost.
    """
    places = np.arange(ranges[-1][1])
    left = np.stack([places - begin for begin, _ in ranges])
    right = np.stack([end - 1 - places for _, end in ranges])
    lengths = np.array([[end - begin] for begin, end in ranges])
    shown = np.minimum(left, right)
    best = np.where(shown < 0, -1.0, shown + 0.01 * lengths).argmax(axis=0)
    return [best[begin:end] == number for number, (begin, end) in enumerate(ranges)]


def covering_tokens(starts: np.ndarray, ends: np.ndarray, begin: int, end: int) -> tuple[int, int] | None:
    """First and last (inclusive) of the tokens with a character of `begin` to `end`; None if there is none.

    Tokens that share a character are all among them.
    """
    (found,) = np.nonzero((starts < end) & (ends > begin) & (starts < ends))
    return (int(found[0]), int(found[-1])) if len(found) else None


def best_span(window: Window, start_logits: np.ndarray, end_logits: np.ndarray) -> Span | None:
    """The possible span of the largest sum of logits among the `BEST` starts and ends, if there is one.

    A possible one lies in the context, is at most `LONGEST` tokens long and begins with a token that is
    central in this window, as in the official code: where it ends does not matter. Neither of its ends is a
    token of blanks. Of equal sums the one of the better start counts, then of the better end.

    Args:
        window: where the sequence's tokens stand in the context.
        start_logits: (length of the sequence,), special tokens and question included.
        end_logits: the same.
    """
    starts, ends = _best(start_logits) - window.first, _best(end_logits) - window.first
    filled = window.starts < window.ends
    starts = starts[_holds(filled & window.central, starts)]
    ends = ends[_holds(filled, ends)]
    lengths = ends[None, :] - starts[:, None] + 1
    sums = start_logits[window.first + starts].astype(float)[:, None] + end_logits[window.first + ends]
    sums[(lengths < 1) | (lengths > LONGEST)] = -np.inf
    if not np.isfinite(sums).any():
        return None
    row, column = np.unravel_index(sums.argmax(), sums.shape)
    begin, end = window.starts[starts[row]], window.ends[ends[column]]
    return Span(int(begin), int(end), float(sums[row, column]))


def _best(logits: np.ndarray) -> np.ndarray:
    return np.argsort(-logits, kind="stable")[:BEST]


def _holds(allowed: np.ndarray, places: np.ndarray) -> np.ndarray:
    inside = (places >= 0) & (places < len(allowed))
    return inside & np.append(allowed, False)[np.where(inside, places, -1)]
