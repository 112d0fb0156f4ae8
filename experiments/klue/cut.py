"""Cut an official JSON file in two: where a training set is not at hand, dev must serve for both.

    python experiments/klue/cut.py FILE COUNT TRAIN VALIDATION

The first COUNT questions (MRC) or dialogues (WoS) go to TRAIN, the rest to VALIDATION; articles of MRC stay
whole, and one that would be divided goes to the rest. What is scored this way is no score of the benchmark.
"""

import json
import sys
from pathlib import Path
from typing import Any

from xpt.finetune.data import read_text


def questions(article: dict[str, Any]) -> int:
    """How many questions an article has; a dialogue counts as one."""
    return sum(len(paragraph["qas"]) for paragraph in article.get("paragraphs", ())) or 1


def main() -> None:
    source, count, *targets = sys.argv[1:]
    content = json.loads(read_text(Path(source)))
    entries = content["data"] if isinstance(content, dict) else content
    place = taken = 0
    while place < len(entries) and taken + questions(entries[place]) <= int(count):
        taken += questions(entries[place])
        place += 1
    for target, part in zip(targets, (entries[:place], entries[place:]), strict=True):
        whole = {**content, "data": part} if isinstance(content, dict) else part
        Path(target).write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
        print(f"{target}: {sum(map(questions, part)):,}")


if __name__ == "__main__":
    main()
