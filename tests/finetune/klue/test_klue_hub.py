"""The Hub's rows of every task are the examples of the official files, its own defects undone."""

import json

import datasets
import klue_files
import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value
from hub_datasets import hub_folder

from xpt.finetune.data import content_sha256, read_file
from xpt.finetune.hub import read_hub
from xpt.finetune.klue.tasks import TASKS, make_task
from xpt.program.errors import XPTError

TEXT, NUMBER, TEXTS = Value("string"), Value("int32"), Sequence(Value("string"))
# Class labels in the Hub's order, which is not the benchmark's.
YNAT = ClassLabel(names=["IT과학", "경제", "사회", "생활문화", "세계", "스포츠", "정치"])
NLI = ClassLabel(names=["entailment", "neutral", "contradiction"])
NER = ClassLabel(names=[f"{part}-{kind}" for kind in "DT LC OG PS QT TI".split() for part in "BI"] + ["O"])
LOST_GUIDS = ("ner", "dp")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def hub_rows(task: str, examples) -> tuple[list[dict], Features]:
    """The same examples as the Hub has them."""
    records = json.loads(klue_files.MAKERS[task](len(examples))) if task not in (*LOST_GUIDS, "mrc") else []
    if task == "ynat":
        rows = [{**record, "label": YNAT.str2int(record["label"])} for record in records]
        return rows, Features({"guid": TEXT, "title": TEXT, "label": YNAT, "url": TEXT, "date": TEXT})
    if task == "nli":
        rows = [{**record, "label": NLI.str2int(record.pop("gold_label"))} for record in records]
        return rows, Features(
            dict.fromkeys(["guid", "source", "premise", "hypothesis"], TEXT) | {"label": NLI}
        )
    if task == "sts":
        labels = {"label": Value("float64"), "real-label": Value("float64"),
                  "binary-label": ClassLabel(names=["negative", "positive"])}  # fmt: skip
        texts = dict.fromkeys(["guid", "source", "sentence1", "sentence2"], TEXT)
        return records, Features({**texts, "labels": labels})
    if task == "re":
        relations = ClassLabel(names=list(make_task("re").labels))
        entity = {"word": TEXT, "start_idx": NUMBER, "end_idx": NUMBER, "type": TEXT}
        rows = [{**record, "label": relations.str2int(record["label"])} for record in records]
        entities = {"subject_entity": entity, "object_entity": entity}
        return rows, Features(
            {"guid": TEXT, "sentence": TEXT, **entities, "label": relations, "source": TEXT}
        )
    if task == "ner":
        rows = [{"sentence": "", "tokens": list(each.characters),
                 "ner_tags": [NER.str2int(tag) for tag in each.tags]} for each in examples]  # fmt: skip
        return rows, Features({"sentence": TEXT, "tokens": TEXTS, "ner_tags": Sequence(NER)})
    if task == "dp":
        rows = [{"sentence": " ".join(each.words), "index": list(range(1, len(each.words) + 1)),
                 "word_form": list(each.words), "lemma": list(each.words), "pos": list(each.pos),
                 "head": list(each.heads), "deprel": list(each.deprels)} for each in examples]  # fmt: skip
        numbers = dict.fromkeys(["index", "head"], Sequence(NUMBER))
        return rows, Features({"sentence": TEXT, **numbers,
                               **dict.fromkeys(["word_form", "lemma", "pos", "deprel"], TEXTS)})  # fmt: skip
    if task == "mrc":
        rows = [_question(each) for each in examples]
        texts = dict.fromkeys(["title", "context", "news_category", "source", "guid", "question"], TEXT)
        answers = {"answer_start": Sequence(NUMBER), "text": TEXTS}
        return rows, Features({**texts, "is_impossible": Value("bool"), "question_type": NUMBER,
                               "answers": answers})  # fmt: skip
    for record in records:
        for utterance in record["dialogue"]:
            utterance.setdefault("state", [])  # as the Hub gives the system's turns
    utterance = {"role": TEXT, "text": TEXT, "state": TEXTS}
    return records, Features({"guid": TEXT, "domains": TEXTS, "dialogue": [utterance]})


def _question(example) -> dict:
    """With plausible answers among the answers of a question that has none."""
    answers = example.answers or ((example.context[:2], 0),)
    return {
        "title": example.title, "context": example.context, "news_category": None, "source": "wiki",
        "guid": example.guid, "question": example.question, "is_impossible": example.impossible,
        "question_type": example.question_type,
        "answers": {"answer_start": [start for _, start in answers], "text": [text for text, _ in answers]},
    }  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_rows_become_the_examples_of_the_files(task, tmp_path):
    count = 9
    official = read_file(make_task(task), klue_files.write(tmp_path, task, count), "validation")
    rows, features = hub_rows(task, official.examples if task in (*LOST_GUIDS, "mrc") else range(count))
    columns = {name: [row.get(name) for row in rows] for name in features}
    folder = hub_folder(tmp_path / "hub", task, {"validation": Dataset.from_dict(columns, features)})
    found = read_hub(make_task(task), folder, None, "validation")
    if task in LOST_GUIDS:
        assert len({example.guid for example in found.examples}) == count
        fields = [{**vars(example), "guid": ""} for example in official.examples]
        assert [{**vars(example), "guid": ""} for example in found.examples] == fields
    else:
        assert found.examples == official.examples
        assert found.sha256 == official.sha256 == content_sha256(official.examples)
    with pytest.raises(XPTError, match=f"its {task} train cannot be had"):
        read_hub(make_task(task), folder, None, "train")


def test_a_row_without_a_label_is_named(tmp_path):
    columns = {"guid": ["a"], "premise": ["b"], "hypothesis": ["c"], "label": [-1]}
    features = Features({"guid": TEXT, "premise": TEXT, "hypothesis": TEXT, "label": NLI})
    folder = hub_folder(tmp_path / "hub", "nli", {"train": Dataset.from_dict(columns, features)})
    with pytest.raises(XPTError, match="nli train: a: the field 'gold_label' is None"):
        read_hub(make_task("nli"), folder, None, "train")
