"""The ready methods of configs/methods: each trains on a tiny model, and what moved is what it says."""

import configparser
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from conftest import tiny_config
from places import REPO
from safetensors.torch import load_file
from tiny_runs import assert_equal_runs, run, stop_after, weights
from transformers import RobertaForMaskedLM, set_seed

from train_xpt import main
from xpt.recipe.command_line import METHODS, read_recipe
from xpt.run.folder import Run
from xpt.run.post_training import load_initial
from xpt.run.progress import PhaseProgress
from xpt.training.adapters import LoraSettings, attach_adapters

NEW = {"words", "itl", "bias"}
ALL = {*NEW, "embeddings", "head", "layer 0", "layer 1", "layer 2"}
NO_ITL = ALL - {"itl"}
SHARED = {"words", "embeddings", "languages", "tri", "head", "bias"}
TRELM = {
    "phase1": (4, SHARED),
    "phase1-above": (4, SHARED | {"layer 2", "layer 3"}),
    "phase1-below": (4, SHARED | {"layer 0", "layer 1"}),
    "phase2": (8, SHARED | {"layer 0", "layer 1", "layer 2", "layer 3"}),
}
# What moves in each phase, and its share of the 20 steps.
METHOD_PHASES = {
    "xpt_2021": {"phase1": (8, NEW), "phase2": (12, ALL)},
    "xpt_2022": {"phase1": (8, NEW | {"head"}), "phase2": (12, ALL)},
    "gradual_unfreezing": {
        "phase1": (8, NEW),
        "phase2-1": (4, NEW | {"head", "layer 2"}),
        "phase2-2": (4, NEW | {"head", "layer 2", "layer 1"}),
        "phase2-3": (4, ALL),
    },
    "monotrans": {"phase1": (8, {"words", "bias"}), "phase2": (12, NO_ITL)},
    "lora": {"phase1": (8, NEW), "phase2": (12, NEW)},
    "no_itl": {"phase1": (8, {"words", "bias"}), "phase2": (12, NO_ITL)},
    "from_scratch": {"phase2": (20, ALL)},
    "2x2": {"phase2": (20, {"words", "bias", "layer 0", "layer 1", "layer 3", "layer 4"})},
    "all_at_once": {"phase2": (20, ALL)},
    "frozen_embeddings": {"phase2": (20, NO_ITL - {"words"})},
    "identity_itl": {"phase1": (8, NEW), "phase2": (12, ALL)},
    "itl_in_only": {"phase1": (8, NEW), "phase2": (12, ALL)},
    "itl_out_only": {"phase1": (8, NEW), "phase2": (12, ALL)},
    "retok": {"phase1": (8, {"words", "head", "bias"}), "phase2": (12, NO_ITL)},
    "two_phase_short": {"phase1": (2, NEW), "phase2": (18, ALL)},
    "trelm": TRELM,
    "trelm_no_cdlm": TRELM,
}
WITHOUT_ITL = ("monotrans", "no_itl", "frozen_embeddings", "retok", "2x2")
DEEP = ("2x2",)  # methods that tell inner layers from outer ones
HALVED = ("trelm", "trelm_no_cdlm")  # methods that need an even number of layers, and sentence pairs
ONE_PHASE = ("2x2", "all_at_once", "frozen_embeddings")  # whose phase 1, where it has steps, trains the same
KEPT = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": "all-linear", "merge": False}


def place(name: str) -> str:
    """Where a tensor stands; told from its name here, not by the code that is tested."""
    for pattern, found in (
        (r"word_embeddings|lm_head\.decoder\.weight", "words"),
        (r"\.itl_(in|out)\.", "itl"),
        (r"\.tri\.", "tri"),
        (r"\.language_embeddings\.", "languages"),
        (r"^lm_head\.(decoder\.)?bias$", "bias"),
        (r"^lm_head\.", "head"),
        (r"\.embeddings\.", "embeddings"),
    ):
        if re.search(pattern, name):
            return found
    return f"layer {re.search(r'[.]encoder[.]layer[.]([0-9]+)[.]', name)[1]}"


def flags(options, method: str, deep: Path | None = None) -> list[str]:
    """The method's own file, and as many steps as the table says."""
    phases = METHOD_PHASES[method]
    steps = {"phase1_steps": phases["phase1"][0]} if "phase1" in phases else {"phase1_steps": None}
    steps["phase2_steps"] = sum(steps for name, (steps, _) in phases.items() if "phase1" not in name)
    assert sum(steps for steps, _ in phases.values()) == 20
    if method in (*DEEP, *HALVED):
        steps["source_model_name_or_path"] = deep
    if method in HALVED:
        steps |= {"source_num_layers": 4, "parallel": deep / "pairs.tsv"}
    return [str(REPO / f"configs/methods/{method}.yaml"), *options(**steps, num_fills=1, save_steps=100)]


@pytest.fixture(scope="module")
def deep(tmp_path_factory) -> Path:
    """A source of five layers, with sentence pairs beside it."""
    set_seed(11)
    folder = tmp_path_factory.mktemp("deep")
    words, draw = [chr(0xAC00 + 97 * number) + "다" for number in range(20)], random.Random(3)
    with open(folder / "pairs.tsv", "w", encoding="utf-8") as file:
        for _ in range(40):
            chosen = [draw.randrange(20) for _ in range(draw.randrange(2, 9))]
            there, here = (" ".join(f"word{n}" for n in chosen), " ".join(words[n] for n in reversed(chosen)))
            file.write(f"{there}\t{here}\n")
    RobertaForMaskedLM(tiny_config("roberta", num_hidden_layers=5)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def finished(options, deep, tmp_path_factory):
    """Finished runs by method, made once."""
    made: dict[str, Path] = {}

    def make(method: str) -> Path:
        if method not in made:
            made[method] = run(flags(options, method, deep), tmp_path_factory.mktemp("methods") / method)
        return made[method]

    return make


@pytest.fixture(scope="module")
def kept(options, tmp_path_factory) -> Path:
    """A finished run whose phase 2 keeps its adapters, by a recipe stacked on the method."""
    folder = tmp_path_factory.mktemp("kept")
    phases = yaml.safe_load((REPO / "configs/methods/lora.yaml").read_text())["phases"]
    phases[1]["lora"] = KEPT
    (folder / "keep.yaml").write_text(yaml.safe_dump({"phases": phases}))
    method, *rest = flags(options, "lora")
    return run([method, str(folder / "keep.yaml"), *rest], folder / "run")


def checkpoint(folder: Path, phase: str, steps: int) -> Path:
    return folder / "checkpoints" / phase / f"checkpoint-{steps}"


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    """A and B of each adapted matrix, by the matrix's name."""
    stored = load_file(folder / "adapter" / "adapter_model.safetensors")
    return {name.removeprefix("base_model.model."): tensor for name, tensor in stored.items()}


def products(learned: dict[str, torch.Tensor], scale: float) -> dict[str, torch.Tensor]:
    """What the adapters add to each weight."""
    stems = {name.split(".lora_")[0] for name in learned}
    return {
        f"{s}.weight": scale * learned[f"{s}.lora_B.weight"] @ learned[f"{s}.lora_A.weight"] for s in stems
    }


def test_every_method_is_tested_and_holds_nothing_but_the_method():
    files = {file.stem: file for file in (REPO / "configs/methods").glob("*.yaml")}
    assert files.keys() == METHOD_PHASES.keys()
    for file in files.values():
        text = file.read_text()
        assert re.search(r"\b(19|20)\d\d\b", text) and "ot published" in text, file  # a paper, and its gaps
        of_a_user = (
            "source_model",
            "corpus",
            "tokenizer_name",
            "output_dir",
            "cache",
            "language",
            "sentences",
        )
        assert not [entry for entry in yaml.safe_load(text) if entry.startswith(of_a_user)], file


@pytest.mark.parametrize("method", METHOD_PHASES)
def test_each_phase_moves_what_the_method_says(finished, method):
    folder = finished(method)
    results = json.loads((folder / "results.json").read_text())
    assert [phase["name"] for phase in results["phases"]] == list(METHOD_PHASES[method])
    before, ends = weights(folder / "checkpoints" / "initial"), {}
    for name, (steps, moving) in METHOD_PHASES[method].items():
        before = started(name, ends) if method in HALVED and name != "phase1" else before
        ends[name] = after = weights(checkpoint(folder, name, steps))
        assert after.keys() == before.keys() and moving <= set(map(place, after))
        for tensor in before:
            moves = place(tensor) in moving
            if moves and tensor.endswith("attention.self.key.bias"):
                continue  # softmax does not depend on it
            assert torch.equal(before[tensor], after[tensor]) != moves, (name, tensor)
        before = after
    there = (NO_ITL if method in WITHOUT_ITL else ALL) | ({"layer 3", "layer 4"} if method in DEEP else set())
    assert set(map(place, before)) == (TRELM["phase2"][1] if method in HALVED else there)


@pytest.mark.parametrize("method", HALVED)
def test_a_trelm_says_what_it_read_beside_the_target_language(finished, deep, method):
    results = json.loads((finished(method) / "results.json").read_text())
    pairs = 40 if method == "trelm" else 0
    count = len({line.split("\t")[0] for line in (deep / "pairs.tsv").read_text("utf-8").splitlines()})
    assert (results["bilingual"]["source_sentences"], results["bilingual"]["pairs"]) == (count, pairs)
    told = f"| Other text | {count} sentences of the source's language" + (
        ", 40 sentence pairs |" if pairs else " |"
    )
    assert told in (finished(method) / "README.md").read_text(encoding="utf-8")


def started(phase: str, ends: dict) -> dict[str, torch.Tensor]:
    """From what a phase of TreLM starts (Li et al. 2021): the first one's end, or both halves joined."""
    if phase != "phase2":
        return ends["phase1"]
    below, above = ends["phase1-below"], ends["phase1-above"]
    halves = {"layer 0": below, "layer 1": below, "layer 2": above, "layer 3": above}
    return {
        name: halves[place(name)][name]
        if place(name) in halves
        else (tensor.double() + above[name]).float() / 2
        for name, tensor in below.items()
    }


@pytest.mark.parametrize("points", [[("phase1-above", 2), ("phase1-below", 1), ("phase2", 1)]])
def test_a_trelm_stopped_in_every_stage_ends_bit_equal(
    options, deep, finished, tmp_path, monkeypatch, points
):
    stop_after(monkeypatch, *points)
    command = [*flags(options, "trelm", deep), "--output_dir", str(tmp_path / "run")]
    assert [main(command) for _ in points] == [143] * len(points) and main(command) == 0
    assert_equal_runs(tmp_path / "run", finished("trelm"))


def test_methods_with_one_itl_have_it_at_their_end(finished):
    for method, end in (
        ("itl_in_only", "itl_in"),
        ("itl_out_only", "itl_out"),
        ("identity_itl", "itl_(in|out)"),
    ):
        names = [name for name in weights(finished(method)) if ".itl_" in name]
        assert names and all(re.search(rf"\.{end}\.0\.", name) for name in names), method


def test_an_identity_itl_begins_without_output_and_learns_some(finished):
    folder = finished("identity_itl")
    start, end = weights(folder / "checkpoints" / "initial"), weights(folder)
    outputs = [name for name in start if re.search(r"\.itl_.*output\.dense\.(weight|bias)$", name)]
    assert len(outputs) == 8
    assert all(not start[name].any() and end[name].any() for name in outputs)
    others = [n for n in start if re.search(r"\.itl_.*(self\.\w+|intermediate\.dense)\.weight$", n)]
    assert len(others) == 8 and all(start[name].any() for name in others)


def test_frozen_embeddings_are_vectors_of_the_text(finished):
    results = json.loads((finished("frozen_embeddings") / "results.json").read_text())
    assert results["transplant"]["embeddings"]["method"] == "static"


@pytest.mark.parametrize(
    "method", [pytest.param(one, marks=() if one == "retok" else pytest.mark.slow) for one in ONE_PHASE]
)
def test_steps_of_a_phase_1_of_methods_of_one_phase_are_the_beginning_of_it(options, deep, method, tmp_path):
    """Without dropout, which each phase draws anew, 8 and 12 steps are 20 to the bit."""
    common = flags(options, method, deep)
    common += ["--dropout", "0", "--embedding_init", "random", "--learning_rates", '{"lm_head_bias": 3.0}']
    whole = run(common, tmp_path / "whole")
    parts = run([*common, "--phase1_steps", "8", "--phase2_steps", "12"], tmp_path / "parts")
    assert [phase["name"] for phase in Run(parts).results()["phases"]] == ["phase1", "phase2"]
    one, other = weights(whole), weights(parts)
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    rates = [[e["learning_rate"] for e in Run(f).read_log() if "loss" in e] for f in (whole, parts)]
    assert rates[0] == rates[1] and len(rates[0]) == 10


def test_from_scratch_nothing_is_the_sources(finished, tiny_source):
    source = load_file(tiny_source("roberta") / "model.safetensors")
    start = weights(finished("from_scratch") / "checkpoints" / "initial")
    shared = [name for name in start if name in source and start[name].shape == source[name].shape]
    assert len(shared) > 50
    assert not [name for name in shared if torch.equal(start[name], source[name])]
    copies = weights(finished("xpt_2021") / "checkpoints" / "initial")
    assert [name for name in shared if torch.equal(copies[name], source[name])]


def test_from_scratch_both_phases_of_a_recipe_train_everything():
    method = str(REPO / "configs/methods/from_scratch.yaml")
    recipe = read_recipe([method, "--phase1_steps", "5"])
    everything_new = {group: {"copied": 0, "new": 1} for group in ("word_embeddings", "itl", "encoder")}
    phases = recipe.planned_phases({"groups": everything_new, "layers": 3})
    assert [(phase.steps, phase.train) for phase in phases] == [(5, ("all",)), (60_000, ("all",))]


# ---- LoRA ------------------------------------------------------------------------------------------------


def test_merged_adapters_are_in_the_weights_and_nowhere_else(finished):
    folder = finished("lora")
    phase2 = checkpoint(folder, "phase2", 12)
    base, final, update = weights(phase2), weights(folder), products(adapter(phase2), scale=1.0)
    assert len(update) == 6 and all(name.endswith(("query.weight", "value.weight")) for name in update)
    for name, tensor in final.items():
        if name in update:
            assert not torch.equal(tensor, base[name])
            torch.testing.assert_close(tensor, base[name] + update[name], rtol=1e-6, atol=1e-8)
        else:
            assert torch.equal(tensor, base[name]), name
    results = json.loads((folder / "results.json").read_text())
    assert results["adapter"] is None and "lora" not in results["parameters"]
    assert not (folder / "adapter").exists() and "PeftModel" not in (folder / "README.md").read_text()
    trained = results["phases"][1]["trainable_parameters"] - results["phases"][0]["trainable_parameters"]
    assert trained == sum(tensor.numel() for tensor in adapter(phase2).values())


def test_both_halves_of_an_adapter_learn_from_a_start_that_the_seed_gives(finished):
    folder = finished("lora")
    model, _ = load_initial(Run(folder))
    attach_adapters(model, LoraSettings(), 42, "phase2")
    start = {name.replace(".default.", "."): p for name, p in model.named_parameters() if ".lora_" in name}
    learned = adapter(checkpoint(folder, "phase2", 12))
    assert learned.keys() == start.keys()
    for name, tensor in learned.items():
        far = 12 * 1e-3 * 1.1  # no step of Adam is much longer than its rate
        assert 0 < (tensor - start[name]).abs().max() < far, name


LOAD_KEPT = """
import json, sys
import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForMaskedLM
folder, out = sys.argv[1:]
base = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True).eval()
ids = torch.arange(5, 25).reshape(2, 10)
with torch.no_grad():
    alone = base(input_ids=ids).logits
    model = PeftModel.from_pretrained(base, folder + "/adapter").eval()
    adapted = model(input_ids=ids).logits
save_file({"ids": ids, "alone": alone, "adapted": adapted}, out + "/logits.safetensors")
model.save_pretrained(out + "/again")
"""


def test_kept_adapters_load_through_peft_in_a_process_without_the_package(kept, tmp_path):
    environment = {"HF_MODULES_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOAD_KEPT, str(kept), str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    got = load_file(tmp_path / "logits.safetensors")
    model, _ = load_initial(Run(kept))
    base, update = weights(kept), products(adapter(kept), scale=8 / 4)
    model.load_state_dict(base, strict=False)
    with torch.no_grad():
        alone = model.eval()(input_ids=got["ids"]).logits
        for name, product in update.items():
            model.get_parameter(name).add_(product)
        adapted = model(input_ids=got["ids"]).logits
    torch.testing.assert_close(got["alone"], alone, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got["adapted"], adapted, rtol=1e-4, atol=1e-5)
    assert (adapted - alone).abs().max() > 1e-3
    ours, peft = kept / "adapter", tmp_path / "again"
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (ours, peft))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    ours, peft = (json.loads((folder / "adapter_config.json").read_text()) for folder in (ours, peft))
    assert ours["base_model_name_or_path"] is None
    changed = {key for key in ours.keys() | peft.keys() if ours.get(key) != peft.get(key)}
    assert changed <= {"base_model_name_or_path", "auto_mapping"}  # peft writes where this machine had it


def test_a_run_that_keeps_adapters_says_so(kept, capsys):
    results, card = json.loads((kept / "results.json").read_text()), (kept / "README.md").read_text()
    assert results["adapter"] == "adapter"
    assert results["parameters"]["lora"] == sum(tensor.numel() for tensor in adapter(kept).values())
    assert results["phases"][1]["lora"] == {**KEPT, "target_modules": ["query", "key", "value", "dense"]}
    assert 'PeftModel.from_pretrained(model, name, subfolder="adapter")' in card
    assert all(
        torch.equal(tensor, weights(checkpoint(kept, "phase2", 12))[name])
        for name, tensor in weights(kept).items()
    )


def test_a_source_that_keeps_adapters_is_refused_for_they_would_be_lost(options, kept, tmp_path, capsys):
    flags = options(source_model_name_or_path=kept)
    assert main([*flags, "--output_dir", str(tmp_path / "run")]) == 2
    assert "keeps LoRA adapters beside its weights, and they would be lost" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


SEVERAL = [
    {"name": "phase1", "train": "new"},
    {"name": "low_rank", "train": ["lora", "itl"], "steps": 4, "lora": {"r": 2, "lora_dropout": 0.1}},
    {"name": "again", "train": ["lora"], "steps": 4, "lora": {"r": 2, "target_modules": "all-linear"}},
    {"name": "everything", "train": "all", "steps": 3},
]


# The same with every option that a schedule, an optimizer or a mask may have.
OPTIONS = [
    {**SEVERAL[0], "mlm_probability": [0.45, 0.15], "learning_rates": {"itl.in": 4.0}},
    {**SEVERAL[1], "rewarm": False, "learning_rates": {"lora": 3.0}},
    {**SEVERAL[2], "train": ["lora", "itl"], "rewarm": False, "mlm_probability": [0.1, 0.3]},
    {**SEVERAL[3], "rewarm": False, "learning_rates": {"encoder.top1": 0.5}},
]
RATES = json.dumps({"word_embeddings": 2.0, "itl": 0.5})


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"phases": json.dumps(SEVERAL)}, marks=pytest.mark.slow),
        {"phases": json.dumps(OPTIONS), "learning_rates": RATES, "whole_word_masking": "true"},
    ],
    ids=["adapters", "all options"],
)
def test_interrupted_within_and_after_phases_the_run_ends_bit_equal(
    options, tmp_path, monkeypatch, arguments
):
    arguments = options(phase2_steps=None, save_steps=2, num_fills=1, **arguments)
    whole = run(arguments, tmp_path / "whole")
    assert not (whole / "adapter").exists()
    chooser = random.Random(7)
    points = {("low_rank", chooser.randint(1, 4)), ("again", chooser.randint(1, 4)), ("everything", 1)}
    points |= {"low_rank is over", "again is over"}
    step_end, record = PhaseProgress.on_step_end, Run.record

    def interrupt(point):
        if point in points:
            points.remove(point)
            raise KeyboardInterrupt

    def on_step_end(self, args, state, control, **kwargs):
        step_end(self, args, state, control, **kwargs)
        interrupt((self.phase, state.global_step))

    def record_stage(self, stage, result):
        interrupt(f"{stage} is over")  # the adapters are merged, and nothing says so yet
        record(self, stage, result)

    monkeypatch.setattr(PhaseProgress, "on_step_end", on_step_end)
    monkeypatch.setattr(Run, "record", record_stage)
    codes = []
    while not codes or codes[-1] == 130:
        codes.append(main([*arguments, "--output_dir", str(tmp_path / "stopped")]))
    assert codes == [130] * 5 + [0]
    assert_equal_runs(whole, tmp_path / "stopped")
    for name in ("low_rank", "again"):
        one, other = (adapter(checkpoint(tmp_path / folder, name, 4)) for folder in ("whole", "stopped"))
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


# ---- recipes ---------------------------------------------------------------------------------------------


def test_a_method_is_found_by_its_name_wherever_the_package_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(["lora", "--phase2_steps", "7", "--phase2_learning_rate", "4e-4"])
    first, second = recipe.planned_phases()
    assert first.lora is None and second.lora == LoraSettings()
    assert (second.steps, second.learning_rate) == (7, 4e-4)
    assert METHODS.resolve() == REPO / "configs/methods"
    setup = configparser.ConfigParser()
    setup.read(REPO / "setup.cfg")
    assert "recipe/methods/*.yaml" in setup["options.package_data"]["xpt"].split()


def test_methods_stack_and_the_later_one_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(["xpt_2022", "lora"])
    assert recipe.source.lm_head_init == "random" and recipe.training.per_device_train_batch_size == 256
    assert [phase.lora is not None for phase in recipe.planned_phases()] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["lorra"],
            "lorra: no such recipe; give a YAML file, or one of the methods 2x2, all_at_once, from_scratch, ",
        ),
        (["lora", "--phases", "null"], "phases: give a list of phases"),
        (["gradual_unfreezing", "--phase2_steps", "2"], "steps is 2; unfreezing 3 layers"),
        (
            ["lora", "--phases", json.dumps([{**SEVERAL[1], "lora": {"merge": False}}, SEVERAL[3]])],
            "phase 'low_rank' keeps its adapters (merge: false), so that no phase can follow",
        ),
        (
            ["--phases", json.dumps([{**SEVERAL[1], "lora": {"target_modules": "querry"}}])],
            "no encoder layer has a matrix 'querry'",
        ),
        (["lora", "--phase3_steps", "2"], "unknown option --phase3_steps"),
        (["--phases", json.dumps([SEVERAL[1]]), "--phase1_steps", "2"], "--phase1_steps has no effect"),
        (["--phases", json.dumps([SEVERAL[1]] * 2)], "phases: give each phase a name of its own; found low_"),
    ],
)
def test_a_method_that_cannot_be_is_one_line_and_nothing_is_written(
    options, tmp_path, capsys, arguments, message
):
    plain = options(phase1_steps=None, phase2_steps=None)
    recipes = [argument for argument in arguments[:1] if not argument.startswith("--")]
    flags = arguments[len(recipes) :]
    assert main([*recipes, *plain, *flags, "--output_dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error, error
    assert not (tmp_path / "run").exists()
