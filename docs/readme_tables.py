"""The rendered parts of README.md and README.ko.md, out of stored results: `python docs/render.py`.

A part stands between `<!-- NAME: docs/render.py -->` and `<!-- end of NAME -->`. Both languages show the same
figures, around which stand the words of `readme_texts.json`. Korean words get an English gloss from
`glosses.json`; a word that is not there gets none.
"""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scale_table
from performance_tables import load as load_benchmark
from performance_tables import middle, minutes, runs_of

from xpt.finetune.klue.published import SOURCE, read_published

DOCS = Path(__file__).parent
READMES = {"en": DOCS.parent / "README.md", "ko": DOCS.parent / "README.ko.md"}
DEMO = DOCS / "demo.md"
RESULTS = DOCS / "results"
KLUE_RUNS = DOCS.parent / "experiments" / "klue" / "results"
PART = re.compile(r"<!-- (\w+): docs/render.py -->\n.*?<!-- end of \1 -->", re.DOTALL)
KNOWN = ("mBERT-base", "XLM-R-base", "KLUE-BERT-base", "KLUE-RoBERTa-base")
TASKS = {
    "ynat/macro_f1": "YNAT F1",
    "sts/pearsonr": "STS r",
    "nli/accuracy": "NLI acc.",
    "ner/entity_macro_f1": "NER F1",
    "re/micro_f1": "RE F1",
    "dp/uas_macro_f1": "DP UAS",
    "mrc/rouge_w": "MRC ROUGE-W",
    "wos/jga": "WoS JGA",
}
CUT_FROM_DEV = ("mrc", "wos")  # no training set was at hand: no score of the benchmark
QUALITY = 2.0  # nats below unigram frequencies, of the record board

TEXT: dict[str, dict[str, str]] = json.loads((DOCS / "readme_texts.json").read_text(encoding="utf-8"))


def load(name: str) -> dict[str, Any] | None:
    """A result of a demo, or None."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def grid(head: str, rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [
        f"| {head} |",
        "|" + "-|" * (head.count("|") + 1),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines)


def glossed(piece: str, words: dict[str, str]) -> str:
    """A piece as code, its English gloss behind it where the table has one."""
    return f"`{piece}`" + (f" ({words[piece]})" if piece in words else "")


def hardware_of(result: dict[str, Any], language: str) -> str:
    """Threads and processor, in words."""
    threads, cpu = result["hardware"]["threads"], result["hardware"]["cpu"]
    return {"en": f"{threads} CPU cores ({cpu})", "ko": f"{cpu} CPU 코어 {threads}개"}[language]


def tokens_of(result: dict[str, Any], language: str) -> str:
    """Tokens read in training, in millions or, in Korean, in units of 10,000."""
    tokens = sum(phase["tokens"] for phase in result["phases"])
    return {"en": f"{tokens / 1e6:.2f} M", "ko": f"{tokens / 1e4:.0f}만"}[language]


def minutes_of(result: dict[str, Any]) -> str:
    """Of the whole run, preparation and evaluation included."""
    return f"{sum(result['seconds'].values()) / 60:.1f}"


def state(language: str) -> str:
    """What is shown and what is not, and what it costs, in four points."""
    text, demo, control = TEXT[language], load("demo"), load("demo-control")
    if demo is None or control is None:
        return text["missing"]
    shown = text["shown"].format(
        hardware=hardware_of(demo, language),
        gain=f"{control['test']['loss'] - demo['test']['loss']:.2f}",
        tokens=tokens_of(demo, language),
    )
    without, both = (board_minutes(name) for name in ("no_itl", "quick"))
    board = text["board"].format(quality=QUALITY, without=without, both=both)
    nli = "nli/accuracy"
    quality = text["quality"].format(ours=klue_score(nli, text), theirs=read_published()[nli]["mBERT-base"])
    base = scale_table.rates_of(scale_table.stored_rates(), "base", "cpu", 1)
    price = text["price"].format(
        minutes=minutes_of(demo),
        memory=f"{demo['peak_memory_mib']['cpu'] / 1024:.1f}",
        speed=f"{base['phase2']:,.0f}",
    )
    return "\n".join(f"- {point}" for point in (shown, board, quality, price))


def board_minutes(name: str) -> str:
    """Median over the seeds, to `QUALITY`."""
    found = middle(minutes(runs_of(name), QUALITY))
    return "-" if found is None else f"{found:.2f}"


def demo(language: str) -> str:
    """Three rows, what they cost, and what is filled in."""
    text, ours, control = TEXT[language], load("demo"), load("demo-control")
    if ours is None:
        return text["missing"]
    columns = [column(ours), column(control) if control else [text["missing"]] * 3]
    labels = (text["loss"], text["unigram"], text["shuffled"])
    rows = [list(cells) for cells in zip(labels, *columns, strict=True)]
    cost = text["cost"].format(
        tokens=tokens_of(ours, language),
        minutes=minutes_of(ours),
        other=minutes_of(control) if control else "-",
        hardware=hardware_of(ours, language),
        memory=f"{ours['peak_memory_mib']['cpu'] / 1024:.1f}",
        **{name: ours[name] for name in ("command", "seed", "precision")},
        **{name: ours["versions"][name] for name in ("torch", "transformers")},
    )
    parts = [grid(text["columns"], rows), "", cost]
    return "\n".join([*parts, "", fills(ours, language)] if ours["fills"] else parts)


def column(result: dict[str, Any]) -> list[str]:
    """Loss, and the gaps to both baselines."""
    loss = result["test"]["loss"]
    gaps = (result[f"{name}_loss"] - loss for name in ("unigram", "shuffled_context"))
    return [f"{loss:.2f}", *(f"{gap:.2f}" for gap in gaps)]


def fills(result: dict[str, Any], language: str, before: int = 3) -> str:
    """Masked words of held-out sentences, before and after; in English with glosses."""
    text = TEXT[language]
    table = json.loads((DOCS / "glosses.json").read_text(encoding="utf-8"))
    words, sentences = (table[name] if language == "en" else {} for name in ("words", "sentences"))
    rows = []
    for one in result["fills"]:
        sentence = one["sentence"].replace("<mask>", "**`<mask>`**")
        if one["sentence"] in sentences:
            sentence += f"<br>*{sentences[one['sentence']]}*"
        pieces = (
            ", ".join(glossed(piece, words) for piece, _ in one[when][:count])
            for when, count in (("before", before), ("after", 5))
        )
        rows.append([sentence, glossed(one["answer"], words), *pieces])
    found = sum(one["answer"] in [piece for piece, _ in one["after"]] for one in result["fills"])
    note = text["fills"].format(found=found, count=len(rows))
    return f"{grid(text['fills_head'], rows)}\n\n{note}"


def use(_: str) -> str:
    """How a checkpoint loads, and the stored fills of a held-out sentence as a pipeline prints them."""
    result = load("demo")
    if result is None or not result["fills"]:
        return TEXT["en"]["missing"]
    one = result["fills"][0]
    printed = [
        (piece.removeprefix("##").replace("(space)", ""), round(share, 2)) for piece, share in one["after"]
    ]
    lines = [
        "```python",
        "from transformers import AutoModel, PreTrainedTokenizerFast, pipeline",
        "",
        'tokenizer = PreTrainedTokenizerFast.from_pretrained("output/demo")',
        'model = AutoModel.from_pretrained("output/demo", trust_remote_code=True)',
        'hidden = model(**tokenizer("안녕하세요.", return_tensors="pt")).last_hidden_state  # (1, length, '
        f"{result['source']['hidden_size']})",
        "",
        'fill = pipeline("fill-mask", "output/demo", tokenizer=tokenizer, trust_remote_code=True)',
        f'text = "{one["sentence"]}"',
        'print([(one["token_str"], round(one["score"], 2)) for one in fill(text)])',
        f"# {printed}",
        "```",
    ]
    return "\n".join(lines)


def klue(language: str) -> str:
    """Models that people know as published, the method as published, ours as measured."""
    text, published = TEXT[language], read_published()
    rows = [[f"{name} ({text['published']})", *(published[task][name] for task in TASKS)] for name in KNOWN]
    with open(RESULTS / "published_xpt.csv", encoding="utf-8", newline="") as file:
        paper = {row["model"]: row for row in csv.DictReader(file)}
    rows.append([text["paper_row"], *(paper["RoBERTa-base + XPT"][task] or "-" for task in TASKS)])
    rows.append([text["demo_row"], *(klue_score(metric, text) for metric in TASKS)])
    rows.append([text["own_row"], *[text["missing"]] * len(TASKS)])
    note = text["klue_note"].format(
        source=SOURCE,
        klue_bert=paper["KLUE-BERT-base"]["re/micro_f1"],
        mbert=paper["mBERT-base"]["re/micro_f1"],
    )
    return f"{grid(' | '.join([text['model'], *TASKS.values()]), rows)}\n\n{note}"


def klue_score(metric: str, text: dict[str, str]) -> str:
    """The demo's model on a task; a dagger where it learned on a part of the training set."""
    task = metric.split("/")[0]
    file = KLUE_RUNS / f"xpt-demo-{task}.json"
    if not file.exists():
        return text["missing"]
    if task in CUT_FROM_DEV:
        return "-"
    result = json.loads(file.read_text(encoding="utf-8"))
    return f"{result['metrics'][metric]:.2f}" + ("" if result["data"]["train"]["whole"] else "†")


def hardware(language: str) -> str:
    """Speed, memory and time, of each size that was measured; the rest is said not to be."""
    text, rates = TEXT[language], scale_table.stored_rates()
    rows = []
    for device, model, memory in (
        ("cpu", "demo", None),
        ("cpu", "mini", ("throughput-mini", "ours, phase 2")),
        ("cpu", "base", ("memory-base", "ours, phase 2")),
        ("gpu", "base", None),
    ):
        found = scale_table.rates_of(rates, model, device, 1)
        if len(found) < 2:
            rows.append([text[device], text[f"{model}_model"], *[text["missing"]] * 3])
            continue
        if memory is None:
            result = load("demo")
            peak = result["peak_memory_mib"]["cpu"]
        else:
            result = load_benchmark(memory[0])
            peak = result["results"][memory[1]]["peak_mib"]
        hours = f"{1e9 / found['phase2'] / 3600:,.0f}"
        time = text["whole"].format(minutes=minutes_of(result)) if memory is None else ""
        rows.append(
            [
                hardware_of(result, language) if device == "cpu" else text[device],
                text[f"{model}_model"],
                " / ".join(f"{found[phase]:,.0f}" for phase in ("phase1", "phase2")),
                f"{peak / 1024:.1f} GiB",
                time or text["hours"].format(hours=hours),
            ]
        )
    return grid(text["machines"], rows)


PARTS: dict[str, Callable[[str], str]] = {
    "state": state,
    "demo": demo,
    "use": use,
    "klue": klue,
    "hardware": hardware,
}


def rendered(text: str, language: str = "en") -> str:
    """A README with the figures of the stored results."""
    return PART.sub(
        lambda match: (
            f"<!-- {match[1]}: docs/render.py -->\n{PARTS[match[1]](language)}\n<!-- end of {match[1]} -->"
        ),
        text,
    )


# ---- docs/demo.md ----------------------------------------------------------------------------------

ROWS = (
    "masked-LM loss on held-out documents, nats per masked token (lower is better)",
    "gap below unigram frequencies, nats (higher is better)",
    "gap below the shuffled-context baseline, nats (higher is better)",
    "gap below unigram frequencies after phase 1, validation, nats",
    "validation loss after phase 1, nats",
    "tokens read in training",
    "time, preparation and evaluation included, minutes",
    "peak memory, GiB",
)


def all_rows(result: dict[str, Any] | None) -> list[str]:
    """One run's figures, in the order of `ROWS`."""
    if result is None:
        return ["*not measured*"] * len(ROWS)
    first = result["phases"][0]
    return [
        *column(result),
        f"{first['eval_unigram_loss'] - first['eval_loss']:.2f}",
        f"{first['eval_loss']:.2f}",
        tokens_of(result, "en"),
        minutes_of(result),
        f"{result['peak_memory_mib']['cpu'] / 1024:.1f}",
    ]


def demo_page(text: str) -> str:
    """docs/demo.md with all figures of the stored runs, fills before and after in full."""
    ours, control = load("demo"), load("demo-control")
    rows = [list(cells) for cells in zip(ROWS, all_rows(ours), all_rows(control), strict=True)]
    parts = [grid("| English source | random source", rows)]
    if ours is not None:
        versions = ours["versions"]
        parts += ["", fills(ours, "en", before=5), ""]
        parts += [
            f"`{ours['command']}`, seed {ours['seed']}; {ours['hardware']['threads']} threads of "
            f"{ours['hardware']['cpu']}, {ours['precision']}; torch {versions['torch']}, transformers "
            f"{versions['transformers']}."
        ]
    return PART.sub(f"<!-- demo: docs/render.py -->\n{chr(10).join(parts)}\n<!-- end of demo -->", text)
