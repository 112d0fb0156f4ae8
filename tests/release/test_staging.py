"""What goes out: for each kind of folder exactly these files, and in no byte what must stay here."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from alone import WITHOUT_THE_PACKAGE, run_alone
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_runs import fine_tune
from safetensors.torch import load_file, save_file
from tiny_decoders import decoder_source
from tiny_runs import run
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

from modeling_trelm import TreLMRobertaForMaskedLM
from xpt.cards.public import publishable
from xpt.program.errors import XPTError
from xpt.release.staged_card import CardFacts
from xpt.release.staging import Base, Kind, find_kind, stage
from xpt.text.tokenizer import save_tokenizer

FACTS = CardFacts("org/model", revision="v1.0")
MODEL = {".gitattributes", "README.md", "config.json"}
CODE = {"configuration_xpt.py", "modeling_xpt.py"}
TRELM_CODE = CODE | {"configuration_trelm.py", "modeling_trelm.py"}
OURS = {"tokenizer.json", "tokenizer_config.json", "sentencepiece.model"}
TUNED = {"tokenizer.json", "tokenizer_config.json"}  # as transformers saves it
WEIGHTS, ADAPTER = {"model.safetensors"}, {"adapter_config.json", "adapter_model.safetensors"}
SECRET = "hf_" + "Ab3" * 11


@pytest.fixture(scope="module")
def folders(options, trelm_run, tiny_tokenizer, tmp_path_factory):
    """A folder of each kind, as the scripts leave it, in a home whose owner's name is not to go out."""
    home = tmp_path_factory.mktemp("home") / "gildong"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        usual = {"steps": 2, "learning_rate": 1e-3}
        phases = [{"name": "new", "train": ["new"], **usual}]
        phases += [{"name": "lora", "train": ["lora"], "lora": {"r": 2, "merge": False}, **usual}]
        flags = [*options(phase1_steps=None, phase2_steps=None), "--phases", json.dumps(phases)]
        found = {"trained": run(flags, home / "xpt-ko")}
        found["phase"] = found["trained"] / "checkpoints" / "new" / "checkpoint-2"
        found["trelm"] = shutil.copytree(trelm_run, home / "trelm-ko")
        found["trelm phase"] = found["trelm"] / "checkpoints" / "phase1" / "checkpoint-2"
        for name, base, extra in (
            ("tuned", "trained", {}),
            ("lora", "trained", {"lora": "true"}),
            ("trelm tuned", "trelm", {}),
            ("trelm lora", "trelm", {"lora": "true"}),
        ):
            found[name] = home / name.replace(" ", "-")
            assert fine_tune(found[base], found[name], num_train_epochs=1, **extra) == 0
        config = RobertaConfig(vocab_size=len(tiny_tokenizer), hidden_size=32, num_hidden_layers=1,
                               num_attention_heads=4, intermediate_size=64)  # fmt: skip
        source = decoder_source(home / "neox", "gpt_neox", tied=False)
        changes = {"vocab_size": 600, "phase1_steps": 2, "phase2_steps": 2}
        flags = options(source_model_name_or_path=source, **changes)
        found["decoder"] = run(flags, home / "decoder-ko")
        found["decoder phase"] = found["decoder"] / "checkpoints" / "phase1" / "checkpoint-2"
        found["native"] = home / "native"
        RobertaForMaskedLM(config).save_pretrained(found["native"])
        save_tokenizer(tiny_tokenizer, found["native"])
        yield found


EXPECTED = {
    "trained": (
        Kind.POST_TRAINED,
        MODEL
        | WEIGHTS
        | CODE
        | OURS
        | {"results.json", "loss.png", *(f"adapter/{name}" for name in ADAPTER)},
    ),
    "phase": (Kind.PHASE, MODEL | WEIGHTS | CODE | OURS),
    "decoder": (
        Kind.POST_TRAINED,
        MODEL | WEIGHTS | OURS | {"generation_config.json", "results.json", "loss.png"},
    ),
    "decoder phase": (Kind.PHASE, MODEL | WEIGHTS | OURS | {"generation_config.json"}),
    "tuned": (Kind.FINE_TUNED, MODEL | WEIGHTS | CODE | TUNED | {"results.json", "scores.png"}),
    "lora": (Kind.ADAPTER, MODEL | ADAPTER | CODE | TUNED | {"results.json", "scores.png"}),
    "trelm": (Kind.POST_TRAINED, MODEL | WEIGHTS | TRELM_CODE | OURS | {"results.json", "loss.png"}),
    "trelm phase": (Kind.PHASE, MODEL | WEIGHTS | TRELM_CODE | OURS),
    "trelm tuned": (Kind.FINE_TUNED, MODEL | WEIGHTS | TRELM_CODE | TUNED | {"results.json", "scores.png"}),
    "trelm lora": (Kind.ADAPTER, MODEL | ADAPTER | TRELM_CODE | TUNED | {"results.json", "scores.png"}),
    "native": (Kind.NATIVE, MODEL | WEIGHTS | OURS),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_exactly_these_files_and_no_byte_of_what_stays(folders, name, tmp_path):
    folder = folders[name]
    kind, files = EXPECTED[name]
    (folder / "__pycache__").mkdir(exist_ok=True)
    for junk in ("training_args.bin", "optimizer.pt", "rng_state.pth", "notes.txt", "__pycache__/a.pyc"):
        (folder / junk).write_bytes(pickle.dumps({"token": SECRET}))
    staged = stage(folder, tmp_path / "staged", FACTS, Base("org/base", "1" * 40) if "lora" in name else None)
    there = {
        path.relative_to(staged.folder).as_posix() for path in staged.folder.rglob("*") if path.is_file()
    }
    assert staged.kind is kind
    assert there == set(staged.files)
    assert {each for each in there if not each.startswith(".eval_results/")} == files
    for each in there:
        content = (staged.folder / each).read_bytes()
        assert not (staged.folder / each).is_symlink()
        assert content[:1] != b"\x80" and content[:2] != b"PK"
        for private in (b"gildong", str(folder.parent).encode(), b"/tmp/", SECRET.encode(), b"hf_Ab3"):
            assert private not in content, (each, private)
    if there >= CODE:
        named = json.loads((staged.folder / "config.json").read_text())["auto_map"].values()
        modules = {code.split(".")[0] for code in named}
        assert len(named) == 7
        assert {f"{module}.py" for module in modules} == (TRELM_CODE - CODE if there >= TRELM_CODE else CODE)
        assert ("TreLM" in (staged.folder / "README.md").read_text()) == (there >= TRELM_CODE)


LOAD = """
import json, torch
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast, pipeline
folder = sys.argv[1]
model = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True)
tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
fills = pipeline("fill-mask", model=model, tokenizer=tokenizer)("국회는 <mask> 오늘")
total = model(**tokenizer("국회는 오늘", return_tensors="pt")).logits.sum().item()
print(json.dumps([type(model).__module__.split(".")[0], type(model).__name__, len(fills), total]))
"""


def test_a_staged_trelm_loads_in_a_new_process_that_has_nothing_but_the_folder(folders, tmp_path):
    stage(folders["trelm"], tmp_path / "staged", FACTS)
    found, _ = run_alone(WITHOUT_THE_PACKAGE + LOAD, tmp_path, tmp_path / "staged")
    model = TreLMRobertaForMaskedLM.from_pretrained(folders["trelm"]).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folders["trelm"])
    logits = model(**tokenizer("국회는 오늘", return_tensors="pt")).logits
    assert found[:3] == ["transformers_modules", "TreLMRobertaForMaskedLM", 5]
    assert found[3] == pytest.approx(logits.sum().item(), rel=1e-4)


def test_an_adapter_names_its_base_and_the_commit(folders, tmp_path):
    stage(folders["lora"], tmp_path / "staged", FACTS, Base("org/base", "1" * 40))
    config = json.loads((tmp_path / "staged" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/base", "1" * 40)


def test_shards_go_with_their_index(folders, tmp_path):
    folder = tmp_path / "model"
    RobertaForMaskedLM.from_pretrained(folders["native"]).save_pretrained(folder, max_shard_size="50KB")
    (folder / "tokenizer.json").write_text("{}")
    staged = stage(folder, tmp_path / "staged", FACTS)
    shards = {path.name for path in folder.glob("model-*.safetensors")}
    assert len(shards) > 1
    assert set(staged.files) == MODEL | shards | {"model.safetensors.index.json", "tokenizer.json"}


def test_the_folder_itself_stays_as_it_was(folders, tmp_path):
    before = {path: path.read_bytes() for path in folders["trained"].rglob("*") if path.is_file()}
    stage(folders["trained"], tmp_path / "staged", FACTS)
    assert before == {path: path.read_bytes() for path in folders["trained"].rglob("*") if path.is_file()}


# ---- refused ---------------------------------------------------------------------------------------------


def _edit(name, **entries):
    def edit(folder):
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))

    return edit


def _link(name):
    def edit(folder):
        shutil.move(folder / name, folder.parent / "elsewhere")
        os.symlink(folder.parent / "elsewhere", folder / name)

    return edit


def _no_weights(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _pickled(folder):
    (folder / "model.safetensors").write_bytes(pickle.dumps([1]))


def _pickled_tokenizer(folder):
    (folder / "sentencepiece.model").write_bytes(pickle.dumps([1], protocol=2))


def _index(shard):
    def edit(folder):
        (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
        index = {"metadata": {}, "weight_map": {"a": shard}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return edit


def _in_weights(text):
    def edit(folder):
        path = folder / "model.safetensors"
        save_file(load_file(path), path, metadata={"format": "pt", "from": text})

    return edit


def _in_tokenizer(text):
    def edit(folder):
        path = folder / "tokenizer.json"
        path.write_text(path.read_text().replace("\u2581", text, 1))

    return edit


REFUSED = [
    (_link("model.safetensors"), "model.safetensors: a link or no regular file"),
    (_link("config.json"), "config.json: a link"),
    (_link("tokenizer.json"), "tokenizer.json: a link"),
    (_link("loss.png"), "loss.png: a link"),
    (_link("results.json"), "results.json: a link"),
    (_no_weights, "no model.safetensors; weights are published as safetensors only"),
    (_pickled, "model.safetensors: not readable as safetensors"),
    (_pickled_tokenizer, "sentencepiece.model holds a pickle or an archive"),
    (_index("../outside.safetensors"), "'../outside.safetensors' is no shard that lies beside it"),
    (_index("/etc/passwd"), "'/etc/passwd' is no shard"),
    (_index("model-00001-of-00001.safetensors"), "is no shard that lies beside it"),
    (
        _edit("config.json", auto_map={"AutoModel": "evil/repo--modeling.Model"}),
        "runs evil/repo--modeling.Model",
    ),
    (_edit("config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]}), "code that is not ours"),
    (_edit("tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", None]}), "take that out"),
    (_edit("config.json", note=f"with {SECRET}"), "config.json holds an access token"),
    (
        _edit("config.json", vocabulary="/home/gildong/data"),
        "config.json holds a path of this machine, /home/gild",
    ),
    (_edit("tokenizer_config.json", vocab_file="/mnt/disk/a"), "holds a path of this machine, /mnt/disk"),
    (_in_weights(SECRET), "model.safetensors holds an access token"),
    (_in_tokenizer(SECRET), "tokenizer.json holds an access token"),
]


@pytest.mark.parametrize(("edit", "message"), REFUSED)
def test_what_must_not_go_out_is_refused_and_named(folders, tmp_path, edit, message):
    folder = tmp_path / "model"
    shutil.copytree(folders["trained"], folder, ignore=shutil.ignore_patterns("checkpoints"))
    edit(folder)
    with pytest.raises(XPTError) as error:
        stage(folder, tmp_path / "staged", FACTS)
    assert message in str(error.value) and "\n" not in str(error.value) and SECRET not in str(error.value)


def test_places_of_this_machine_are_found_in_weights_too(folders, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(folders["native"], folder)
    _in_weights(f"{tmp_path}/source")(folder)
    with pytest.raises(XPTError, match=r"model.safetensors holds a path of this machine"):
        stage(folder, tmp_path / "staged", FACTS)


def test_the_token_in_use_is_found_whatever_it_looks_like(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "an-odd-token")
    folder = tmp_path / "model"
    shutil.copytree(folders["native"], folder)
    _edit("config.json", note="an-odd-token")(folder)
    with pytest.raises(XPTError, match=r"config.json holds an access token") as error:
        stage(folder, tmp_path / "staged", FACTS)
    assert "an-odd-token" not in str(error.value)


def test_what_is_no_model_is_said(folders, tmp_path):
    with pytest.raises(XPTError, match=r"no config.json; give the folder of a finished run"):
        find_kind(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(XPTError, match="the run is not finished; start its command again"):
        find_kind(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(XPTError, match="a gpt2 model without results"):
        find_kind(tmp_path)


# ---- results without this machine ------------------------------------------------------------------------


def test_results_tell_nothing_of_folders():
    results = {
        "command": "python train_xpt.py /home/gildong/a.yaml --corpus '/data/my text/ko.txt' --x=/srv/y",
        "settings": {"output_dir": "output/a", "run_name": "/x/y", "seed": 1, "hub_model_id": "gildong/a",
                     "train_file": "/mnt/gildong/train.json", "source_model_name_or_path": "org/name"},
        "source": {"name": "org/name"},
        "notes": ["read from /home/gildong/wiki.txt, then ~/cache/a", "3/4 of https://host/data/x", "a / b"],
    }  # fmt: skip
    found = publishable(results)
    assert found == {
        "command": "python train_xpt.py a.yaml --corpus ko.txt --x=y",
        "settings": {"seed": 1, "train_file": "train.json", "source_model_name_or_path": "org/name"},
        "source": {"name": "org/name"},
        "notes": ["read from wiki.txt, then a", "3/4 of https://host/data/x", "a / b"],
    }
    assert publishable(found) == found


NAMES = st.text("abcgildon_-", min_size=1, max_size=6)
PATHS = st.builds(lambda start, names: start + "/".join(names), st.sampled_from(["/", "~/", "/home/"]),
                  st.lists(NAMES, min_size=2, max_size=4))  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(PATHS, st.sampled_from(["{}", "in {} there", "--file={}", "({})", "'{}'", "a, {}; b"]))
def test_of_any_path_its_last_name_is_left(path, text):
    found = publishable({"key": [text.format(path)]})
    assert found == {"key": [text.format(Path(path).name)]}


WORDS = st.text("가나다abc.,!? 0123456789%:()-", max_size=30)


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        WORDS | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner)
    )
)
def test_what_holds_no_path_stays(value):
    assert publishable(value) == value


def test_weights_are_the_same_tensors(folders, tmp_path):
    stage(folders["trained"], tmp_path / "staged", FACTS)
    before = load_file(folders["trained"] / "model.safetensors")
    after = load_file(tmp_path / "staged" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
