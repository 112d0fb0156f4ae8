"""What a perfect model would score: gold labels -> features -> perfect outputs -> predictions -> score.

    python experiments/klue/ceilings.py DIR TOKENIZER ... > experiments/klue/ceilings.json

DIR is the official release, whole or in part; TOKENIZER a folder with a fast tokenizer, or `bytes`, a
byte-level BPE of 8,000 pieces that is trained on the dev texts themselves. For NER and MRC an independent
reference says from character offsets what can come back, and why the rest is lost, with examples; the tests
keep it. Begins and ends inside a token are marked `[` and `]` there, `|` stands between tokens.
"""

import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import ByteLevelBPETokenizer
from tokenizers.processors import RobertaProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "finetune" / "klue"))
import klue_spans
from test_klue_ner import ceiling, perfect

from xpt.finetune.data import find_file, read_file
from xpt.finetune.encoding import TextEncoder
from xpt.finetune.klue.tasks import make_task
from xpt.finetune.spans import LONGEST
from xpt.finetune.task import Feature, Task
from xpt.finetune.trainer import score
from xpt.program.environment import describe_hardware, describe_versions

EXAMPLES = 40  # of what cannot be reached, by task
TASKS = ("ner", "re", "dp", "mrc", "wos")
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def perfect_outputs(task: Task, features: Sequence[Feature], learned: Sequence[Feature]) -> list[Any]:
    """What a model that has learned `learned` by heart answers to `features`."""
    if task.name == "ner":
        return [perfect(feature) for feature in features]
    if task.name == "re":
        return [np.eye(len(task.labels))[feature.inputs["labels"]] for feature in features]
    if task.name == "dp":
        return [np.array([feature.inputs["heads"], feature.inputs["deprels"]]) for feature in features]
    if task.name == "mrc":
        return [_span_logits(feature) for feature in learned]
    return [_state(feature) for feature in features]


def _span_logits(feature: Feature) -> np.ndarray:
    logits = np.zeros((2, len(feature.inputs["input_ids"])), np.float32)
    for row, name in enumerate(("start_positions", "end_positions")):
        place = feature.inputs[name]
        logits[row, 0] = -10  # no answer, unless that is the answer
        logits[row, place] = 10
    return logits


def _state(feature: Feature) -> tuple[np.ndarray, np.ndarray]:
    separator = feature.memory.encoder.separator
    targets = np.asarray(feature.inputs["target_ids"])
    targets = np.where(targets < 0, separator, targets)
    ids = np.full((len(targets), 10), separator)
    width = min(10, targets.shape[1])
    ids[:, :width] = targets[:, :width]
    return np.asarray(feature.inputs["gate_ids"]), ids


# ---- what offsets allow ----------------------------------------------------------------------------------


def allowed(task: Task, examples: Sequence[Any], encoder: TextEncoder) -> tuple[list[dict], Counter]:
    """Predictions that the offsets of the tokenizer allow, and what is lost by cause."""
    lines, causes = [], Counter()
    for example in examples:
        if task.name == "ner":
            tags, lost = ceiling(encoder.tokenizer, example.characters, example.tags, encoder.capacity)
            kept = {row: cause for row, cause in lost.items() if not example.characters[row].isspace()}
            causes.update(kept.values())
            lines.append({"guid": example.guid, "tags": tags})
        else:
            lines.append({"guid": example.guid, "text": _allowed_text(example, encoder, causes)})
    return lines, causes


def _allowed_text(example: Any, encoder: TextEncoder, causes: Counter) -> str:
    if not example.answers:
        return ""
    text, start = example.answers[0]
    places = klue_spans.offsets(encoder.tokenizer, example.context)
    found = klue_spans.covering(places, example.context, start, start + len(text))
    if found is None:
        causes["no token covers the answer"] += 1
        return ""
    if found[1] - found[0] >= LONGEST:
        causes[f"longer than {LONGEST} tokens"] += 1
        return ""
    covered = klue_spans.covered(encoder.tokenizer, example.context, start, start + len(text))
    causes["boundary inside a token"] += covered != text
    return covered


def unreachable(task: Task, examples: Sequence[Any], lines: Sequence[dict], tokenizer: Any) -> list[str]:
    """Some of the entities and answers that offsets do not allow, in the tokens that cover them."""
    found = []
    for example, line in zip(examples, lines, strict=True):
        if task.name == "ner":
            text, reached = "".join(example.characters), entities(line["tags"])
            found += [(text, *span[:2]) for span in entities(example.tags) if span not in reached]
        elif example.answers and line["text"] not in [answer for answer, _ in example.answers]:
            answer, start = example.answers[0]
            found.append((example.context, start, start + len(answer)))
    chosen = random.Random(0).sample(found, min(len(found), EXAMPLES))
    return [in_tokens(tokenizer, *span) for span in chosen]


def entities(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Begin, end and kind of each entity."""
    begins = [at for at, tag in enumerate(tags) if tag[0] == "B"]
    ends = [next((at for at in range(b + 1, len(tags)) if tags[at][0] != "I"), len(tags)) for b in begins]
    return [(begin, end, tags[begin][2:]) for begin, end in zip(begins, ends, strict=True)]


def in_tokens(tokenizer: Any, text: str, begin: int, end: int) -> str:
    """The tokens that cover a part of the text, which stands in brackets."""
    places = klue_spans.offsets(tokenizer, text)
    first, last = klue_spans.covering(places, text, begin, end) or (0, -1)
    marked = [f"{'[' * (at == begin)}{one}{']' * (at + 1 == end)}" for at, one in enumerate(text)]
    return "|".join("".join(marked[start:stop]) for start, stop in places[first : last + 1])


def _lost_values(examples: Sequence[Any], lines: Sequence[dict], text: Any) -> Counter:
    """State strings that do not come back, by what their values have."""
    causes: Counter = Counter()
    for example, line in zip(examples, lines, strict=True):
        for entry in set(example.state) - set(line["state"]):
            (ids,) = text.tokens([entry.split("-", 2)[2]])
            unknown = text.tokenizer.unk_token_id in ids
            long = len(ids) >= 10
            causes["unknown token" if unknown else "10 tokens or more" if long else "spacing"] += 1
    return causes


# ---- tokenizers ------------------------------------------------------------------------------------------


def open_named(name: str, texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A folder's tokenizer, or a byte-level one trained on `texts`."""
    if name != "bytes":
        return AutoTokenizer.from_pretrained(name)
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, vocab_size=8000, special_tokens=list(SPECIALS), show_progress=False)
    trained.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIALS, strict=False))
    return PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, **names)


def texts_of(examples: Sequence[Any]) -> list[str]:
    """What examples say, whatever their task."""
    joined = {"characters": "", "words": " "}
    texts = []
    for example in examples:
        for field in ("sentence", "context", "user", "characters", "words"):
            value = getattr(example, field, None)
            if value is not None:
                texts.append(joined.get(field, "").join(value))
    return texts


def measure(name: str, folder: Path, tokenizer_name: str) -> dict[str, Any]:
    """One task with one tokenizer."""
    task = make_task(name)
    file = find_file(task, folder, "validation")
    examples = read_file(task, file, "validation").examples
    tokenizer = open_named(tokenizer_name, texts_of(examples))
    task.prepare(tokenizer)
    encoder = TextEncoder(tokenizer, min(task.settings.max_seq_length, 510), token_types=False)
    features = task.features(examples, encoder, training=False)
    learned = task.features(examples, encoder, training=True)
    lines = task.predictions(examples, features, perfect_outputs(task, features, learned))
    if name == "re":  # one class a sentence: nothing is lost by tokens
        lines = [
            {**line, "probs": [float(label == line["label"]) for label in task.labels]} for line in lines
        ]
    result = {"file": file.name, "examples": len(examples), "scores": score(task, examples, lines)}
    if name in ("ner", "mrc"):
        expected, causes = allowed(task, examples, encoder)
        result["allowed_by_offsets"] = score(task, examples, expected)
        result["lost"] = dict(causes)
        result["unreachable"] = unreachable(task, examples, expected, tokenizer)
    if name == "wos":
        result["lost"] = dict(_lost_values(examples, lines, features[0].memory))
    return result


def main() -> None:
    folder, *tokenizers = sys.argv[1:]
    measured = {
        Path(name).name: {task: measure(task, Path(folder), name) for task in TASKS} for name in tokenizers
    }
    named = " ".join(Path(name).name for name in tokenizers)
    command = f"python experiments/klue/ceilings.py DIR {named}"
    results = {
        "command": command,
        "seed": "0, of the examples",
        "versions": describe_versions(),
        "hardware": describe_hardware(),
        "tokenizers": measured,
    }
    print(json.dumps(results, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
