"""Small hand-made files in the official formats of the eight tasks, of as many examples as a test wants."""

import json
import random
from collections.abc import Callable
from pathlib import Path

from conftest import NOUNS, korean_sentences

TOPICS = ("정치", "경제", "사회", "생활문화", "세계", "IT과학", "스포츠")
NLI_LABELS = ("entailment", "contradiction", "neutral")
RELATIONS = ("no_relation", "org:members", "per:title", "org:founded_by", "per:spouse")


def ynat(count: int, seed: int = 0) -> str:
    titles = korean_sentences(count, seed)
    return _json(
        {"guid": f"ynat-v1_dev_{n:05d}", "title": title, "label": TOPICS[n % 7], "url": "", "date": ""}
        for n, title in enumerate(titles)
    )


def sts(count: int, seed: int = 0) -> str:
    texts = korean_sentences(2 * count, seed)
    rows = []
    for n in range(count):
        score = round(5 * n / max(1, count - 1), 6)
        labels = {"label": round(score, 1), "real-label": score, "binary-label": int(score >= 3)}
        first, second = texts[2 * n : 2 * n + 2]
        rows.append({"guid": f"klue-sts-v1_dev_{n:05d}", "source": "airbnb-rtt", "sentence1": first,
                     "sentence2": second, "labels": labels})  # fmt: skip
    return _json(rows)


def nli(count: int, seed: int = 0) -> str:
    texts = korean_sentences(2 * count, seed)
    return _json(
        {"guid": f"klue-nli-v1_dev_{n:05d}", "source": "airbnb", "premise": texts[2 * n],
         "hypothesis": texts[2 * n + 1], "gold_label": NLI_LABELS[n % 3]}
        for n in range(count)
    )  # fmt: skip


def ner(count: int, seed: int = 0) -> str:
    chooser, blocks = random.Random(seed), []
    for n in range(count):
        name, place = chooser.sample(NOUNS, 2)
        kinds = chooser.sample(("PS", "LC", "OG"), 2)
        parts = [(name, kinds[0]), ("은 ", None), (f"{place} 시장", kinds[1]), ("에 갔다", None)]
        text = "".join(f"<{part}:{kind}>" if kind else part for part, kind in parts)
        rows = []
        for part, kind in parts:
            for index, character in enumerate(part):
                tag = "O" if kind is None else f"{'I' if index else 'B'}-{kind}"
                rows.append(f"{character}\t{tag}")
        blocks.append("\n".join([f"## klue-ner-v1_dev_{n:05d}-nsmc\t{text}", *rows]))
    return "## comment\n## columns : CHAR\tNE_TAG\n" + "\n\n".join(blocks) + "\n\n"


def re(count: int, seed: int = 0) -> str:
    chooser, rows = random.Random(seed), []
    for n in range(count):
        subject, object_, other = chooser.sample(NOUNS, 3)
        sentence = f"{subject}의 {object_}은 {other}에서 일한다."
        place = sentence.index(f" {object_}은") + 1
        rows.append({
            "guid": f"klue-re-v1_dev_{n:05d}", "sentence": sentence,
            "subject_entity": {"word": subject, "start_idx": 0, "end_idx": len(subject) - 1, "type": "ORG"},
            "object_entity": {"word": object_, "start_idx": place, "end_idx": place + len(object_) - 1,
                              "type": "PER"},
            "label": RELATIONS[n % len(RELATIONS)], "source": "wikitree",
        })  # fmt: skip
    return _json(rows)


def dp(count: int, seed: int = 0) -> str:
    chooser, blocks = random.Random(seed), []
    for n in range(count):
        words = [f"{chooser.choice(NOUNS)}{particle}" for particle in "은의을"] + ["보았다."]
        pos = ["NNG+JX", "NNG+JKG", "NNG+JKO", "VV+EP+EF+SF"]
        heads, labels = ([4, 3, 4, 0], ["NP_SBJ", "NP_MOD", "NP_OBJ", "VP"])
        if n % 2:
            heads, labels = ([2, 3, 4, 0], ["NP", "NP_SBJ", "NP_AJT", "VNP"])
        rows = [
            f"{index}\t{word}\t{word}\t{tag}\t{head}\t{label}"
            for index, (word, tag, head, label) in enumerate(zip(words, pos, heads, labels, strict=True), 1)
        ]
        blocks.append("\n".join([f"## klue-dp-v1_dev_{n:05d}_wikitree\t{' '.join(words)}", *rows]))
    return "## comment\n" + "\n\n".join(blocks) + "\n\n"


def mrc(count: int, seed: int = 0) -> str:
    chooser, articles = random.Random(seed), []
    for n in range(count):
        first, second, third = chooser.sample(NOUNS, 3)
        context = f"{first} 회관은 {third}에 있다. {second} 선생이 그 집을 세웠다."
        question = {"question": f"{first} 회관을 세운 사람은?", "guid": f"klue-mrc-v1_dev_{n:05d}"}
        if n % 4 == 3:
            plausible = [{"text": third, "answer_start": context.index(third)}]
            question |= {"question": f"{first} 회관의 문은?", "question_type": 3, "is_impossible": True,
                         "answers": [], "plausible_answers": plausible}  # fmt: skip
        else:
            start = context.index(f"{second} 선생이")
            answers = [{"text": f"{second} 선생", "answer_start": start}]
            question |= {"question_type": 1, "is_impossible": False, "answers": answers}
        paragraphs = [{"context": context, "qas": [question]}]
        articles.append({"title": first, "paragraphs": paragraphs, "news_category": None, "source": "wiki"})
    return json.dumps({"version": "v1", "data": articles}, ensure_ascii=False)


def wos(count: int, seed: int = 0) -> str:
    chooser, dialogues = random.Random(seed), []
    for n in range(count):
        place = chooser.choice(NOUNS)
        first = [f"식당-이름-{place}"]
        later = [*first, "식당-주차 가능-yes"] if n % 2 else [*first, "식당-예약 요일-월요일"]
        wish = "주차가 되어야 해요." if n % 2 else "월요일에 예약해요."
        dialogue = [
            {"role": "user", "text": f"{place} 식당을 찾아요.", "state": first},
            {"role": "sys", "text": "더 필요한 것은요?"},
            {
                "role": "user",
                "text": wish,
                "state": later,
            },
        ]
        dialogues.append({"guid": f"wos-v1_dev_{n:05d}", "domains": ["식당"], "dialogue": dialogue})
    return _json(dialogues)


MAKERS: dict[str, Callable[..., str]] = {
    each.__name__: each for each in (ynat, sts, nli, ner, re, dp, mrc, wos)
}
TSV = ("ner", "dp")


def write(folder: Path, task: str, count: int, seed: int = 0, split: str = "dev") -> Path:
    """An official file of a task in `folder`."""
    path = folder / f"{task}_{split}.{'tsv' if task in TSV else 'json'}"
    path.write_text(MAKERS[task](count, seed), encoding="utf-8")
    return path


def _json(rows) -> str:
    return json.dumps(list(rows), ensure_ascii=False)
