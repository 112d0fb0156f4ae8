"""Small hand-made tables of KoBEST's five tasks with what the official ones have of traps.

One label is spelled in two ways, a split has another order of columns or more of them, cells end in blanks
and begin with a quotation mark that nothing closes, lines end as on Windows, the last one not at all.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from conftest import NOUNS, korean_sentences

FOLDERS = {"boolq": "BoolQ", "copa": "COPA", "hellaswag": "HellaSwag", "sentineg": "SentiNeg", "wic": "WiC"}
FILES = {"train": "train", "validation": "dev", "test": "test"}
SPELLINGS = ("True", "FALSE", "TRUE", "False")  # the label of row n is number n % 4
LEAK = "사전뜻"  # stands in columns that no model may read
QUOTED = 3  # the row with the quotation mark


def boolq(count: int, split: str = "dev", seed: int = 0) -> str:
    texts = korean_sentences(2 * count, seed)
    rows = [
        (str(n + 1), _text(texts[2 * n], n), f"{texts[2 * n + 1]} ", SPELLINGS[n % 4]) for n in range(count)
    ]
    return _table(("ID", "Text", "Question", "Answer"), rows)


def copa(count: int, split: str = "dev", seed: int = 0) -> str:
    texts = korean_sentences(3 * count, seed)
    rows = []
    for n in range(count):
        asked = ("원인", "결과 ")[n // 2 % 2]
        rows.append(
            (str(n + 1), _text(texts[3 * n], n), asked, *texts[3 * n + 1 : 3 * n + 3], str(1 + n % 2))
        )
    return _table(("ID", "sentence", "question", "1", "2", "Answer"), rows)


def hellaswag(count: int, split: str = "dev", seed: int = 0) -> str:
    texts = korean_sentences(5 * count, seed)
    rows = [(_text(texts[5 * n], n), *texts[5 * n + 1 : 5 * n + 5], str(n % 4)) for n in range(count)]
    names = ("context", "choice1", "choice2", "choice3", "choice4", "label")
    return _table(names, rows, newline="\n") + "\n"


def sentineg(count: int, split: str = "dev", seed: int = 0) -> str:
    texts = korean_sentences(2 * count, seed)
    rows = []
    for n in range(count):
        text, label = _text(texts[n], n), str(n % 2)
        own = {"train": (str(n), text, label), "dev": (str(n), label, text)}
        rows.append(own.get(split, (str(n), str(1 - n % 2), texts[count + n], label, text, "1")))
    names = {"train": ("ID", "Text", "Label"), "dev": ("ID", "Label", "Text")}
    return _table(
        names.get(split, ("ID", "Label_origin", "Text_origin", "Label", "Text", "Category_neg")), rows
    )


def wic(count: int, split: str = "dev", seed: int = 0) -> str:
    texts = korean_sentences(2 * count, seed)
    rows = []
    for n in range(count):
        word, link = NOUNS[n], f"https://{LEAK}/{n}"
        first, second = (f"[{word}]은 {text}" for text in texts[2 * n : 2 * n + 2])
        rows.append((str(n), word, _text(first, n), f"{LEAK}{n}", link, second, LEAK, link, SPELLINGS[n % 4]))
    names = ("ID", "Target", "SENTENCE1", "Dictionary 1", "Link 1", "SENTENCE2", "Dictionary 2", "Link2",
             "ANSWER")  # fmt: skip
    return _table(names, rows)


MAKERS: dict[str, Callable[..., str]] = {
    each.__name__: each for each in (boolq, copa, hellaswag, sentineg, wic)
}


def write(folder: Path, task: str, counts: dict[str, int], seed: int = 0) -> Path:
    """A folder like the official release with the splits of a task, each of so many examples."""
    for number, (split, count) in enumerate(counts.items()):
        path = folder / FOLDERS[task] / f"{FILES[split]}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = MAKERS[task](count, FILES[split], seed + number)
        path.write_bytes(text.encode("utf-8"))
    return folder


def _text(text: str, row: int) -> str:
    return f'"{text}' if row == QUOTED else f"{text} " if row % 3 == 0 else text


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], newline: str = "\r\n") -> str:
    return newline.join("\t".join(cells) for cells in [names, *rows])
