"""One function a kind of case: each draws its damage from a generator and gives back a command line.

A case's folder holds `in` (what it reads), `out` (its run), `cache` and `cwd`. What a valid program could take
for ever to do (a million steps) is not drawn: a case that does not end is a hang.
"""

import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from conftest import korean_sentences

from soak.fuzz_inputs import FORMATS, PACKING, Base, copy_folder
from soak.mutations import mutate_bytes, mutate_file, odd_value
from xpt.cli import REFUSED, make_parser
from xpt.files import read_record, write_record
from xpt.manifest import MANIFEST, write_manifest

# Options whose valid values ask for what the fuzzer forbids (compilers, other processes, the network) or, in
# the tens of thousands, for time or processes without end; small and senseless values of these are drawn.
ASKS_FOR_MORE = ("torch_compile", "torch_compile_backend", "torch_compile_mode", "report_to", "help")
SMALL = ("steps", "num_workers", "prefetch_factor", "accumulation", "batch_size", "num_itl", "num_fills")
PICKLE = b"cposix\nsystem\n(S'touch opened-a-pickle'\ntR."
TEXTS = (
    "",
    " ",
    "x",
    "가나다",
    "\u202e",
    "-",
    "--",
    "a\tb",
    "x" * 3000,
    "None",
    "null",
    "[]",
    "{}",
    "{",
    '{"a": 1}',
)
WHOLE = ("0", "1", "2", "-1", "3", "7", "16", "100", "-2", "１", "1_0")
NUMBERS = (*WHOLE, "0.5", "1.5", "1e-9", "1e30", "-1e30", "nan", "inf", "-inf", "0x10", "1,5", "-0")
HUGE = ("1000000000000", str(2**63), str(-(2**63) - 1), "9" * 400)


@dataclass
class Case:
    """A command line and what belongs to it."""

    folder: Path
    base: Base
    chooser: random.Random
    options: dict[str, Any] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)  # flags behind the options
    recipes: list[str] = field(default_factory=list)
    stop: tuple[int, float] | None = None  # a signal, and after how many seconds
    same_weights: bool = False  # as the undisturbed run, if it ends well
    given_output: str | None = None  # instead of `out`; relative to `cwd`, where it may then write
    what: str = ""

    @property
    def inputs(self) -> Path:
        return self.folder / "in"

    @property
    def output(self) -> Path:
        return self.folder / "out"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def arguments(self) -> list[str]:
        """The command line; the folders stand last, so that they hold."""
        given = {name: value for name, value in self.options.items() if value is not None}
        tokens = [token for name, value in given.items() for token in (f"--{name}", str(value))]
        output = str(self.output) if self.given_output is None else self.given_output
        places = [f"--output_dir={output}", f"--cache_dir={self.cache}"]
        return [*self.recipes, *tokens, *self.extra, *places]


def send_signal(case: Case) -> Callable[[int], None]:
    """Sends the case's signal, once, to the process it is called with."""
    began: list[float] = []
    waiting = [case.stop] if case.stop else []

    def meanwhile(process: int) -> None:
        if not began:
            began.append(time.monotonic())
        if waiting and time.monotonic() - began[0] > waiting[0][1]:
            os.kill(process, waiting.pop()[0])

    return meanwhile


def make_case(kind: str, folder: Path, base: Base, chooser: random.Random) -> Case:
    """Fill `folder` with a case of that kind."""
    case = Case(folder, base, chooser, base.options())
    for place in ("in", "cwd"):
        (folder / place).mkdir(parents=True)
    copy_folder(base.cache, case.cache)
    KINDS[kind](case)
    return case


# ---- configuration ---------------------------------------------------------------------------------------


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
    groups = (
        "word_embeddings",
        "source_embeddings",
        "itl",
        "itl.in",
        "itl.out",
        "encoder",
        "encoder.0",
        "encoder.9",
    )
    groups += ("lm_head_transform", "lm_head_bias", "all")
    senseless = ("", "x", "encoder.-1", "itl.", 3, None)
    keys = (
        "name",
        "train",
        "steps",
        "learning_rate",
        "warmup_steps",
        "lr_scheduler_type",
        "mlm_probability",
        "x",
    )
    phases: list[Any] = []
    for number in range(chooser.choice((0, 1, 1, 2, 2, 3))):
        phase: dict[str, Any] = {"name": f"p{number}", "train": chooser.sample(groups, chooser.randint(1, 3))}
        if chooser.random() < 0.1:
            phase["train"].append(chooser.choice(senseless))
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
    options = (
        "source_model_name_or_path",
        "tokenizer_name_or_path",
        "corpus",
        "source_revision",
        "corpus_column",
    )
    for name in chooser.sample(options, chooser.randint(1, 2)):
        case.options[name] = chooser.choice(places)
    if chooser.random() < 0.3:
        names = (
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
        )
        case.given_output = chooser.choice((*names, str(somewhere / "file"), str(somewhere / "loop")))
    if chooser.random() < 0.2:
        case.recipes = [chooser.choice([place for place in places if not place.startswith("-")])]


def _recipe(case: Case, number: int, content: bytes) -> str:
    path = case.inputs / f"recipe{number}.yaml"
    path.write_bytes(content)
    return str(path)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


# ---- inputs ----------------------------------------------------------------------------------------------


def fuzz_corpus(case: Case) -> None:
    """One or two files of any format: odd text in them, or damage before or after they were packed."""
    chooser = case.chooser
    for number in range(chooser.choice((1, 1, 2))):
        name, packing = chooser.choice(list(FORMATS)), chooser.choice(["", "", *PACKING])
        sentences = korean_sentences(200, seed=chooser.randrange(5))
        data = FORMATS[name]([_odd_text(chooser) if chooser.random() < 0.05 else one for one in sentences])
        damage = chooser.choice(("none", "none", "before", "before", "after"))
        data = PACKING[packing](mutate_bytes(data, chooser) if damage == "before" else data)
        folder = case.inputs / f"text{number}"
        folder.mkdir()
        (folder / (name + packing)).write_bytes(mutate_bytes(data, chooser) if damage == "after" else data)
    case.options["corpus"] = chooser.choice((case.inputs, case.inputs / "text0", f"{case.inputs}/**/*"))
    case.options["language"] = chooser.choice(("ko", "ko", "ko", "ko", "en", "zh", "xx", ""))
    case.options["split_by"] = chooser.choice(("sentence", "sentence", "document"))
    if chooser.random() < 0.3:
        case.options |= {
            "tokenizer_name_or_path": None,
            "vocab_size": chooser.choice((6, 60, 200, 300, 5000)),
        }


def _odd_text(chooser: random.Random) -> str:
    pieces = (
        "가",
        "나라 ",
        "A",
        "\u0000",
        "\u202e",
        "\u200d",
        "\ud7ff",
        "\U0010ffff",
        "🇰🇷",
        "\u0301",
        "\u1100\u1161",
        "\r",
    )
    pieces += (
        "\u2028",
        "\t",
        ". ",
        "?!",
        '"',
        "<",
        "&amp;",
        "\ufeff",
        "\ufffd",
        "１",
        "https://a.kr ",
        "\x1f",
        "\u00ad",
    )
    return "".join(chooser.choices(pieces, k=chooser.choice((1, 10, 100, 20_000))))


def _damage(folder: Path, chooser: random.Random, names: list[str] | None = None) -> str:
    """Damage one to three files of a folder; says which."""
    files = sorted(
        file for file in folder.rglob("*") if file.is_file() and (names is None or file.name in names)
    )
    said = []
    for file in chooser.sample(files, min(len(files), chooser.choice((1, 1, 1, 2, 3)))):
        said.append(str(file.relative_to(folder)))
        match chooser.randrange(14):
            case 0:
                file.unlink()
            case 1:
                file.unlink()
                file.mkdir()
            case 2:
                file.write_bytes(
                    chooser.choice(files).read_bytes() if chooser.choice(files).is_file() else b""
                )
            case _:
                file.write_bytes(mutate_file(file.name, file.read_bytes(), chooser))
    return ", ".join(said)


def _plant_pickles(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).write_bytes(PICKLE)


def fuzz_tokenizer(case: Case) -> None:
    """A tokenizer's files, damaged."""
    folder = copy_folder(case.base.tokenizer, case.inputs / "tokenizer")
    (folder / "special_tokens_map.json").write_text('{"mask_token": "<mask>", "pad_token": "<pad>"}')
    case.what = _damage(folder, case.chooser)
    case.options["tokenizer_name_or_path"] = folder


def fuzz_source(case: Case) -> None:
    """A source's config and weights, damaged; code and pickles lie beside them."""
    chooser = case.chooser
    folder = copy_folder(case.base.source(chooser.choice(("roberta", "bert"))), case.inputs / "source")
    if chooser.random() < 0.3:
        (folder / "code.py").write_text("raise RuntimeError('code of the source was run')\n")
        config = json.loads((folder / "config.json").read_text())
        config["auto_map"] = {"AutoConfig": "code.C", "AutoModelForMaskedLM": "code.M"}
        (folder / "config.json").write_text(json.dumps(config))
        _plant_pickles(folder, ("pytorch_model.bin",))
    case.what = _damage(folder, chooser, ["config.json", "model.safetensors"])
    case.options["source_model_name_or_path"] = folder


# ---- what a run left -------------------------------------------------------------------------------------


def fuzz_run_folder(case: Case) -> None:
    """Files of an interrupted run, damaged: it says so, or ends with the weights of the undisturbed one."""
    copy_folder(case.base.stopped, case.output)
    for checkpoint in case.output.glob("checkpoints/*/checkpoint-*"):
        _plant_pickles(checkpoint, ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"))
    case.what = _damage(case.output, case.chooser)
    case.options, case.same_weights = case.base.options(), True


def fuzz_sealed_checkpoint(case: Case) -> None:
    """Files of a checkpoint that are senseless although every hash is right."""
    chooser = case.chooser
    copy_folder(case.base.stopped, case.output)
    pointer = case.output / "checkpoints" / "latest.json"
    listed = read_record(pointer)
    folder = case.output / "checkpoints" / listed[-1]["phase"] / f"checkpoint-{listed[-1]['step']}"
    facts = json.loads((folder / MANIFEST).read_text())
    names = [file.name for file in folder.iterdir() if file.name != MANIFEST]
    case.what = _damage(folder, chooser, names)
    for made in folder.iterdir():
        if made.is_dir():
            made.rmdir()
    listed[-1]["manifest_sha256"] = write_manifest(
        folder, {key: value for key, value in facts.items() if key not in ("files", "format")}
    )
    write_record(pointer, listed)


def fuzz_sealed_record(case: Case) -> None:
    """run.json, progress.json or the pointer with senseless content and the right hash; log lines of any kind."""
    chooser = case.chooser
    copy_folder(case.base.stopped, case.output)
    name = chooser.choice(("run.json", "progress.json", "checkpoints/latest.json", "log.jsonl"))
    path = case.output / name
    if name == "log.jsonl":
        path.write_bytes(mutate_file(name, path.read_bytes(), chooser))
    else:
        content = json.dumps(read_record(path)).encode()
        write_record(path, json.loads(_valid_json(content, chooser)))
    case.what = name


def _valid_json(content: bytes, chooser: random.Random) -> bytes:
    from soak.mutations import mutate_json

    return mutate_json(content.decode(), chooser).encode("utf-8", "surrogatepass")


def fuzz_finished(case: Case) -> None:
    """Files of a finished run, damaged, and its command again."""
    copy_folder(case.base.whole, case.output)
    case.what = _damage(case.output, case.chooser, ["results.json", "run.json", "progress.json", "log.jsonl"])


def fuzz_cache(case: Case) -> None:
    """Prepared text, damaged."""
    case.what = _damage(case.cache, case.chooser)


def fuzz_signal(case: Case) -> None:
    """SIGTERM or Ctrl-C at any time of a run that is in order."""
    number = case.chooser.choice((signal.SIGTERM, signal.SIGINT))
    case.stop = number, case.chooser.uniform(0.02, 2.5)
    case.what = f"{number.name} after {case.stop[1]:.2f} s"


KINDS: dict[str, Callable[[Case], None]] = {
    "flags": fuzz_flags,
    "recipe": fuzz_recipe,
    "recipe bytes": fuzz_recipe_bytes,
    "phases": fuzz_phases,
    "paths": fuzz_paths,
    "corpus": fuzz_corpus,
    "tokenizer": fuzz_tokenizer,
    "source": fuzz_source,
    "run folder": fuzz_run_folder,
    "sealed checkpoint": fuzz_sealed_checkpoint,
    "sealed record": fuzz_sealed_record,
    "finished run": fuzz_finished,
    "cache": fuzz_cache,
    "signal": fuzz_signal,
}
