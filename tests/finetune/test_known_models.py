"""Models of the survey by name: tiny ones of the same classes with the same defects, as the Hub has them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from klue_models import change_config, checkpoint_maker
from klue_runs import fine_tune
from klue_tokenizers import make_tokenizer
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BigBirdConfig,
    DistilBertConfig,
    GPTJConfig,
    MBartConfig,
    ModernBertConfig,
    MT5Config,
    XLMConfig,
)

from finetune_klue import main
from xpt.finetune.arguments import ModelArguments
from xpt.finetune.backbone import open_backbone
from xpt.program.errors import XPTError
from xpt.survey.models import read_survey
from xpt.survey.names import Opening, as_hub_id, opening_of

ON_HUB = {name: model for name, model in read_survey().models.items() if model.value("hub")}
COMMIT = "1" * 40
TEXT = "국회는 오늘 법을 검토하였다."
OWN_TOKENIZER_CODE = ("kobert", "distilkobert")  # which is never run
OTHER_FAMILIES = {
    "big_bird": (BigBirdConfig, "wordpiece"),
    "distilbert": (DistilBertConfig, "wordpiece"),
    "xlm": (XLMConfig, "wordpiece"),
    "gptj": (GPTJConfig, "bytes"),
    "mbart": (MBartConfig, "bytes"),
    "mt5": (MT5Config, "bytes"),
    "modernbert": (ModernBertConfig, "wordpiece"),
    "gemma3_text": (lambda **fields: AutoConfig.for_model("gemma3_text", **fields), "bytes"),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Give `checkpoint(family)` the folder of a tiny model; nothing may be written there."""
    return checkpoint_maker(tmp_path_factory.mktemp("models"))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Give `hub(hub_id, revision)` an empty folder: this repository, as a machine keeps it."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def folder(hub_id: str, revision: str = "main") -> Path:
        place = tmp_path / "hub" / f"models--{hub_id.replace('/', '--')}"
        (place / "refs" / revision).parent.mkdir(parents=True)
        (place / "refs" / revision).write_text(COMMIT)
        (place / "snapshots" / COMMIT).mkdir(parents=True)
        return place / "snapshots" / COMMIT

    return folder


def lower_cased_words(folder: Path, **settings) -> None:
    """A WordPiece vocabulary, and of its class no word but what `settings` say."""
    for file in folder.glob("*token*"):
        file.unlink()
    vocabulary = make_tokenizer("wordpiece").get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)), encoding="utf-8")
    settings |= {"do_lower_case": True, "strip_accents": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def own_code(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()
    settings = {
        "tokenizer_class": "KoBERTTokenizer",
        "auto_map": {"AutoTokenizer": ["own.KoBERTTokenizer", None]},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")


def without_special_tokens(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    kept = {
        name: value for name, value in json.loads(path.read_text()).items() if not name.endswith("_token")
    }
    path.write_text(json.dumps(kept))


def put(name: str, folder: Path, checkpoint) -> None:
    """The model's class, configuration and tokenizer, small, with what is wrong with the real one."""
    family, reads = ON_HUB[name].value("family") or "roberta", ON_HUB[name].number("positions")
    if family in OTHER_FAMILIES:
        make_config, kind = OTHER_FAMILIES[family]
        tokenizer = make_tokenizer(kind)
        make_config(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    else:
        shutil.copytree(checkpoint(family), folder, dirs_exist_ok=True)
    if name.startswith("klue-roberta"):
        make_tokenizer("wordpiece").save_pretrained(folder)
        tokenizer = make_tokenizer("wordpiece")
        change_config(folder, tokenizer_class="BertTokenizer", pad_token_id=tokenizer.pad_token_id)
    if name == "albert-kor":
        lower_cased_words(folder)
    if name == "gpt3-kor-small":
        lower_cased_words(folder, tokenizer_class="BertTokenizer")
    if name in OWN_TOKENIZER_CODE:
        own_code(folder)
    if name == "kogpt":
        without_special_tokens(folder)
    rows = {"roberta": 2, "xlm-roberta": 2}.get(family, 0)
    if reads:
        field = "n_positions" if family in ("gpt2", "gptj") else "max_position_embeddings"
        change_config(folder, **{field: 2 * reads + rows})


@pytest.mark.parametrize("name", ON_HUB)
def test_each_entry_opens_with_its_class_and_reads_what_it_can(name, hub, checkpoint):
    arguments = ModelArguments(name)
    hub_id, revision = arguments.model_name_or_path, arguments.model_revision
    assert hub_id == ON_HUB[name].value("hub")
    folder = hub(hub_id, revision or "main")
    put(name, folder, checkpoint)
    if name in OWN_TOKENIZER_CODE:
        with pytest.raises(XPTError, match=f"{hub_id}") as caught:
            open_backbone(hub_id, revision)
        assert "\n" not in str(caught.value) and not (folder / "ran").exists()
        return
    backbone = open_backbone(hub_id, revision)
    family, reads = ON_HUB[name].value("family"), ON_HUB[name].number("positions")
    assert family in (None, backbone.config.model_type)
    assert str(backbone.kind) == ON_HUB[name].value("kind")
    tokenizer = backbone.tokenizer
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert len(ids) > 3 and ids.count(tokenizer.unk_token_id) < len(ids) / 2
    assert tokenizer.pad_token is not None
    if reads:  # though the configuration has twice the rows
        assert backbone.max_positions == reads and tokenizer.model_max_length <= reads
        assert backbone.encoder_for(100_000).max_length == reads


def test_a_lower_cased_vocabulary_is_read_lower_cased_with_its_letters_whole(hub, checkpoint):
    folder = hub("kykim/albert-kor-base")
    put("albert-kor", folder, checkpoint)
    with (folder / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("\nseoul\n대한민국")
    tokenizer = open_backbone("kykim/albert-kor-base").tokenizer
    assert tokenizer.tokenize("SEOUL 대한민국") == ["seoul", "대한민국"]
    assert tokenizer.mask_token == "[MASK]"


def test_special_tokens_that_no_file_names_are_named(hub, checkpoint):
    folder = hub("kakaobrain/kogpt", "KoGPT6B-ryan1.5b")
    put("kogpt", folder, checkpoint)
    name, revision = as_hub_id("kogpt", None)
    tokenizer = open_backbone(name, revision).tokenizer
    assert (tokenizer.mask_token, tokenizer.pad_token, tokenizer.eos_token) == ("[MASK]", "[PAD]", "[EOS]")
    assert as_hub_id("kogpt", "mine") == ("kakaobrain/kogpt", "mine")


def test_a_pickle_is_read_as_weights_and_a_run_says_the_hub_id(hub, checkpoint, tmp_path, monkeypatch):
    folder = hub("kykim/albert-kor-base")
    put("albert-kor", folder, checkpoint)
    change_config(folder, max_position_embeddings=40)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert fine_tune(Path("albert-kor"), tmp_path / "out", num_train_epochs=1) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert "kykim/albert-kor-base" in json.dumps(results) and 'albert-kor"' not in json.dumps(
        results["settings"]
    )
    saved = open_backbone(
        str(tmp_path / "out" / "model" if (tmp_path / "out" / "model").exists() else tmp_path / "out")
    )
    assert saved.tokenizer("SEOUL")["input_ids"] == saved.tokenizer("seoul")["input_ids"]
    assert saved.load(AutoModelForSequenceClassification, num_labels=3)


def test_names_that_are_no_alias_stay_and_a_folder_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "klue-bert").mkdir()
    for name in ("klue-bert", "klue/bert-base", "gpt2", "bert-base-uncased", str(tmp_path)):
        assert as_hub_id(name, None) == (name, None)
        assert ModelArguments(name).model_name_or_path == name
    assert as_hub_id("klue-roberta-base", "v1") == ("klue/roberta-base", "v1")
    (tmp_path / "klue").mkdir()
    (tmp_path / "klue" / "roberta-base").mkdir()
    assert opening_of("klue/roberta-base") == Opening() == opening_of("somebody/else")


def test_a_model_that_the_hub_lacks_is_refused_before_anything_is_read(tmp_path, capsys):
    flags = ["--task", "nli", "--output_dir", str(tmp_path / "out"), "--data_dir", "nowhere"]
    assert main(["--model_name_or_path", "korbert", *flags]) == 2
    told = capsys.readouterr().err
    assert told == (
        "error: korbert: has no Hub id in the survey (on application); get it and give its folder "
        "(see xpt models korbert)\n"
    )
    assert not (tmp_path / "out").exists()
