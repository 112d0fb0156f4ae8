"""When a training reached a quality, between the two scores around it."""

from itertools import pairwise

TARGETS = (2.0, 3.0)  # nats under the unigram baseline


def minutes_to(scores: list[dict[str, float]], nats: float) -> float | None:
    """Minutes until the scores first were that good, on the line from the last that was not; None if never.

    Scores are farther apart for a training that takes long: the first good one alone would be late for it.
    """
    first = next(iter(scores), None)
    if first and first["nats_under_unigram"] >= nats:
        return first["seconds"] / 60
    for before, after in pairwise(scores):
        if after["nats_under_unigram"] >= nats:
            gained = after["nats_under_unigram"] - before["nats_under_unigram"]
            share = (nats - before["nats_under_unigram"]) / gained
            return (before["seconds"] + share * (after["seconds"] - before["seconds"])) / 60
    return None
