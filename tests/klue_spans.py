"""What windows, answers and scores must be, worked out slowly from tokens and the tokenizer's offsets."""

from transformers import PreTrainedTokenizerFast


def slow_windows(tokens: int, capacity: int, step: int) -> list[tuple[int, int]]:
    """Begin and end of each window, by handing on what overflowed as the slow tokenizers do."""
    rest, found = list(range(tokens)), []
    while True:
        window, overflow = rest[:capacity], rest[capacity:]
        begin = len(found) * step
        found.append((begin, begin + len(window)))
        if not overflow:
            return found
        rest = window[step:] + overflow  # the overlap is what is left of the window after a step


def most_context(ranges: list[tuple[int, int]], place: int) -> int:
    """Number of the window that shows a token best."""
    best, found = None, -1
    for number, (begin, end) in enumerate(ranges):
        if begin <= place < end:
            score = min(place - begin, end - 1 - place) + 0.01 * (end - begin)
            if best is None or score > best:
                best, found = score, number
    return found


def slow_prediction(context: str, windows, outputs) -> str:
    """The answer by the official rules: `windows` and rows (2, length) of logits, as lists of one context."""
    candidates, null = [], None
    for window, (starts, ends) in zip(windows, outputs, strict=True):
        starts, ends = [float(value) for value in starts], [float(value) for value in ends]
        null = starts[0] + ends[0] if null is None else min(null, starts[0] + ends[0])
        for start in sorted(range(len(starts)), key=lambda place: -starts[place])[:20]:
            for end in sorted(range(len(ends)), key=lambda place: -ends[place])[:20]:
                first, last = start - window.first, end - window.first
                if not (0 <= first < len(window.starts) and 0 <= last < len(window.starts)):
                    continue
                blank = any(window.starts[token] == window.ends[token] for token in (first, last))
                if blank or not window.central[first] or last < first or last - first + 1 > 30:
                    continue
                text = context[window.starts[first] : window.ends[last]]
                candidates.append((starts[start] + ends[end], text))
    if not candidates:
        return ""
    score, text = max(candidates, key=lambda candidate: candidate[0])
    return "" if null - score > 0 else text


def offsets(tokenizer: PreTrainedTokenizerFast, text: str) -> list[tuple[int, int]]:
    """Begin and end of each token, as the tokenizer says it; one that is but a blank stands on nothing.

    Letters that the tokenizer composes are said to stand on the first of them: the others belong there too.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    places = encoded["offset_mapping"]
    found = []
    for number, (id, (begin, end)) in enumerate(zip(encoded["input_ids"], places, strict=True)):
        limit = places[number + 1][0] if number + 1 < len(places) else len(text)
        blank = not tokenizer.decode([id]).strip() or not text[begin:end].strip()
        while not blank and end < limit and not text[end].isspace():
            end += 1
        found.append((begin, begin if blank else end))
    return found


def covering(places: list[tuple[int, int]], context: str, begin: int, end: int) -> tuple[int, int] | None:
    """First and last of the tokens that share a character with `begin` to `end`; blanks apart."""
    touched = [
        token
        for token, (first, last) in enumerate(places)
        if context[first:last].strip() and first < end and begin < last
    ]
    return (touched[0], touched[-1]) if touched else None


def covered(tokenizer: PreTrainedTokenizerFast, context: str, begin: int, end: int) -> str:
    """The shortest text of whole tokens around `begin` to `end`: the most that any model can answer."""
    places = offsets(tokenizer, context)
    span = covering(places, context, begin, end)
    return context[places[span[0]][0] : places[span[1]][1]].strip() if span else ""


def block_f1(predicted: str, gold: str) -> float:
    """F1 of characters in the longest block that both texts hold."""
    if not predicted or not gold:
        return float(predicted == gold)
    longest = max(
        (size for size in range(len(predicted) + 1) for begin in range(len(predicted) - size + 1)
         if predicted[begin : begin + size] in gold),
    )  # fmt: skip
    precision, recall = longest / len(predicted), longest / len(gold)
    return 2 * precision * recall / (precision + recall) if longest else 0.0
