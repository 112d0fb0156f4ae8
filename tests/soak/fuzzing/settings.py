"""Cases of options, recipes, phases and places that make no sense, or hardly.

What a valid program could take for ever to do (a million steps) is not drawn: what does not end is a hang.
"""

import json
import random
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from soak.fuzzing.case import Case
from soak.fuzzing.mutations import mutate_bytes, odd_value
from xpt.recipe.command_line import make_parser
from xpt.recipe.training import REFUSED
from xpt.training.phases import Phase

# Options whose valid values ask for what the fuzzer forbids (compilers, other processes, the network) or, in
# the tens of thousands, for time or processes without end; small and senseless values of these are drawn.
ASKS_FOR_MORE = (
    *("torch_compile", "torch_compile_backend", "torch_compile_mode", "report_to", "push_to_hub", "help"),
)
SMALL = ("steps", "num_workers", "prefetch_factor", "accumulation", "batch_size", "num_itl", "num_fills")
TEXTS = ("", " ", "a\tb", "x" * 3000, '{"a": 1}', *"x 가나다 \u202e - -- None null [] {} {".split())
WHOLE = tuple("0 1 2 -1 3 7 16 100 -2 １ 1_0".split())
NUMBERS = (*WHOLE, *"0.5 1.5 1e-9 1e30 -1e30 nan inf -inf 0x10 1,5 -0".split())
HUGE = ("1000000000000", str(2**63), str(-(2**63) - 1), "9" * 400)


@cache
def _actions() -> list[Any]:
    return [each for each in make_parser()._actions if each.option_strings and each.dest not in ASKS_FOR_MORE]


def _some_actions(chooser: random.Random, count: int) -> list[Any]:
    """Options, seldom those that are refused whatever their value."""
    refused = chooser.random() < 0.1
    return chooser.sample([each for each in _actions() if refused or each.dest not in REFUSED], count)


def _value(action: Any, chooser: random.Random) -> str:
    """Text for an option: mostly one of its type, else nonsense."""
    nonsense = chooser.random() < 0.15
    if action.choices and not nonsense:
        return str(chooser.choice(list(action.choices)))
    kind = getattr(action.type, "__name__", "")
    if kind in ("int", "float") and not nonsense:
        wide = not any(word in action.dest for word in SMALL)
        known = NUMBERS if kind == "float" else WHOLE
        return chooser.choice((*known, *HUGE) if wide else known[:4])
    if kind == "string_to_bool" and not nonsense:
        return chooser.choice(("true", "false", "1", "no"))
    return chooser.choice((*TEXTS, *NUMBERS))


def fuzz_option(case: Case) -> None:
    """One option after the other, with a value of any kind."""
    action = _actions()[case.number % len(_actions())]
    case.options.pop(action.dest, None)
    value = _value(action, case.chooser)
    case.extra += [action.option_strings[0] + (f"={value}" if action.nargs != 0 else "")]
    case.what = case.extra[-1]


def fuzz_flags(case: Case) -> None:
    """One to four options with values of any kind, in any spelling."""
    chooser = case.chooser
    for action in _some_actions(chooser, chooser.randint(1, 4)):
        name, value = chooser.choice(action.option_strings), _value(action, chooser)
        case.options.pop(action.dest, None)
        match chooser.randrange(30):
            case 0:
                case.extra += [name]
            case number if number < 12:
                case.extra += [f"{name}={value}"]
            case 12:
                case.extra += [name, value, chooser.choice(TEXTS)]
            case _:
                case.extra += [name, value]
        case.what += f"{name} "


def fuzz_recipe(case: Case) -> None:
    """One to three recipes with entries of wrong types, unknown names, nulls and presets."""
    chooser = case.chooser
    for number in range(chooser.randint(1, 3)):
        entries = {name: _plain(value) for name, value in case.options.items() if chooser.random() < 0.9}
        for action in _some_actions(chooser, chooser.randint(0, 3)):
            entries[action.dest] = _entry(action, chooser)
        if chooser.random() < 0.1:
            entries["preset"] = chooser.choice(("xpt2021", "xpt2022_re", "x", None, 3, ["xpt2021"]))
        if chooser.random() < 0.1:
            entries[chooser.choice(("x", "", 3, None, True))] = odd_value(chooser)
        text = yaml.safe_dump(entries, allow_unicode=True)
        case.recipes.append(_recipe(case, number, text.encode("utf-8", "surrogatepass")))
    # What the recipes leave open, and steps that end.
    kept = ("phase1_steps", "phase2_steps", "per_device_train_batch_size")
    case.options = {name: case.options[name] for name in kept}


def _entry(action: Any, chooser: random.Random) -> Any:
    """A value for an entry of a recipe: as YAML reads a fitting text, or of any type."""
    if chooser.random() < 0.6:
        try:
            return yaml.safe_load(_value(action, chooser))
        except yaml.YAMLError:
            return ""
    if any(word in action.dest for word in SMALL):
        return chooser.choice((0, 1, -1, 1.5, "x", None, [], {}, [1], True))
    return odd_value(chooser)


def fuzz_recipe_bytes(case: Case) -> None:
    """A recipe whose bytes are damaged, or that says what YAML must not do."""
    chooser = case.chooser
    text = yaml.safe_dump({name: _plain(value) for name, value in case.options.items()}).encode()
    tags = (
        b"a: !!python/object/apply:os.system ['touch x']\n",
        b"a: &a [*a]\n",
        b"? [1]\n: 2\n",
        b"%YAML 9.9\n---\n",
    )
    if chooser.random() < 0.3:
        text = chooser.choice(tags) + text
    case.recipes.append(_recipe(case, 0, mutate_bytes(text, chooser)))
    case.options = {"phase1_steps": 1, "phase2_steps": 1}


def fuzz_phases(case: Case) -> None:
    """`phases:` of every shape."""
    chooser = case.chooser
    groups = "word_embeddings source_embeddings itl itl.in itl.out encoder encoder.0 encoder.9".split()
    groups += "encoder.top1 encoder.bottom9 lm_head_transform lm_head_bias all new lora".split()
    adapters: list[Any] = [
        {"r": 2},
        {"r": 1, "merge": True},
        {"r": -1},
        {"r": 2, "x": 1},
        {"r": 10**6},
        3,
        "x",
        {},
    ]
    senseless = ("", "x", "encoder.-1", "itl.", 3, None)
    keys = [*(entry.name for entry in fields(Phase)), "x"]
    phases: list[Any] = []
    for number in range(chooser.choice((0, 1, 1, 2, 2, 3))):
        phase: dict[str, Any] = {"name": f"p{number}", "train": chooser.sample(groups, chooser.randint(1, 3))}
        if chooser.random() < 0.1:
            phase["train"].append(chooser.choice(senseless))
        if chooser.random() < 0.2:
            phase["lora"] = chooser.choice(adapters)
        phase |= {"steps": chooser.choice((1, 1, 2)), "learning_rate": chooser.choice((1e-3, 0.0, 1e30))}
        for _ in range(chooser.choice((0, 0, 0, 1, 1, 2))):
            key = chooser.choice(keys)
            phase[key] = (
                chooser.choice((0, -1, 1.5, "2", None, [], {})) if key == "steps" else odd_value(chooser)
            )
        phases.append(phase if chooser.random() < 0.95 else odd_value(chooser))
    if chooser.random() < 0.5:
        case.extra += ["--phases", json.dumps(phases)]
    else:
        case.recipes.append(
            _recipe(case, 0, yaml.safe_dump({"phases": phases}).encode("utf-8", "surrogatepass"))
        )
    case.options |= {"phase1_steps": None, "phase2_steps": None}


def fuzz_paths(case: Case) -> None:
    """Folders and files where others are expected; names that a file system dislikes."""
    chooser, somewhere = case.chooser, case.inputs
    (somewhere / "empty").mkdir()
    (somewhere / "file").write_text("x")
    (somewhere / "loop").symlink_to("loop")
    places = [
        "",
        " ",
        ".",
        "..",
        "~nobody/x",
        "가 나\n다",
        "x" * 300,
        "a/" * 2500,
        "--",
        "*",
        "[",
        "**/*",
        "org/name",
    ]
    places += ["org/name:c@r", "org/name@", "/dev/null", "/proc/self/mem", "a\udcffb"]
    places += [str(somewhere / name) for name in ("empty", "file", "loop", "none", "file/x")]
    places += [
        str(case.base.text),
        str(case.base.tokenizer),
        str(case.base.source("bert")),
        str(case.base.whole),
    ]
    options = "source_model_name_or_path tokenizer_name_or_path corpus source_revision corpus_column".split()
    for name in chooser.sample(options, chooser.randint(1, 2)):
        case.options[name] = chooser.choice(places)
    if chooser.random() < 0.3:
        names = [
            "가 나\n다",
            "x" * 300,
            "a/" * 2500,
            "new/b/c",
            ".",
            "",
            " ",
            "*",
            "~nobody/x",
            "/proc/x",
            "/dev/null/x",
        ]
        case.given_output = chooser.choice((*names, str(somewhere / "file"), str(somewhere / "loop")))
    if chooser.random() < 0.2:
        case.recipes = [chooser.choice([place for place in places if not place.startswith("-")])]


def _recipe(case: Case, number: int, content: bytes) -> str:
    path = case.inputs / f"recipe{number}.yaml"
    path.write_bytes(content)
    return str(path)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
