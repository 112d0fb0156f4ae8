"""How many training sentences each entry of `corpus` gives: arithmetic on shares and counts."""

from collections.abc import Sequence
from fractions import Fraction


def apportion(total: int, shares: Sequence[Fraction]) -> list[int]:
    """Divide `total` by `shares` (their sum is 1) into whole numbers that add up to it.

    By the method of D'Hondt: never less than the share rounded down, and no part shrinks when the total
    grows, which nested corpora rest on. (Rounding by the largest remainders lets a part shrink.)
    """
    parts = [int(total * share) for share in shares]
    for _ in range(total - sum(parts)):
        # The first of equals wins, so that the result is one.
        next_one = max(range(len(parts)), key=lambda entry: (shares[entry] / (parts[entry] + 1), -entry))
        parts[next_one] += 1
    return parts


def largest_mixture(available: Sequence[int], shares: Sequence[Fraction]) -> list[int]:
    """What each entry gives where all give as much as the shares allow without repeating a sentence."""
    total = min(int(count / share) for count, share in zip(available, shares, strict=True) if share)
    while any(part > count for part, count in zip(apportion(total, shares), available, strict=True)):
        total -= 1  # a few times at most: only the rounding can ask for more than there is
    return apportion(total, shares)


def wanted_of_entries(available: Sequence[int], shares: Sequence[Fraction], limit: int | None) -> list[int]:
    """How many sentences each entry shall give: parts of `limit`, or of all that the shares allow."""
    return largest_mixture(available, shares) if limit is None else apportion(limit, shares)
