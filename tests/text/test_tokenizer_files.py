"""The tokenizer's files: the same input gives the same bytes, they load anywhere; bad input is named."""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import unicodedata

import pytest
import sentencepiece
from places import REPO
from tokenizer_texts import SHIPPED, synthetic_sentences
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from xpt.program.errors import XPTError
from xpt.text.tokenizer import (
    SENTENCEPIECE_FILE,
    load_tokenizer,
    save_tokenizer,
    sentencepiece_processor,
    tokenizer_fingerprint,
)
from xpt.text.tokenizer_training import _explain, train_tokenizer


@pytest.mark.slow
def test_a_sample_is_the_same_in_every_process():
    code = (
        "from tokenizer_texts import synthetic_sentences as texts; from xpt.text.tokenizer import *; "
        "from xpt.text.tokenizer_training import *; "
        "print(tokenizer_fingerprint(train_tokenizer(texts(), 400, max_sentences=300)))"
    )
    paths = os.pathsep.join([str(REPO), str(REPO / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    prints = {
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in "ab"
    }
    assert len(prints) == 1 and len(prints.pop()) == 65


def test_training_is_deterministic_streams_and_is_quiet(sentences, tmp_path, capfd):
    read = []

    def stream(form):
        for sentence in sentences:
            read.append(sentence)
            yield unicodedata.normalize(form, sentence)

    files = {}
    for name, form in (("a", "NFC"), ("b", "NFC"), ("c", "NFD")):
        save_tokenizer(train_tokenizer(stream(form), 400, max_sentences=700), tmp_path / name)
        sentencepiece.set_random_generator_seed(len(files) + 5)
        files[name] = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
    assert files["a"] == files["b"] == files["c"]
    assert len(read) == 3 * len(sentences)
    assert set(files["a"]) == {"tokenizer.json", "tokenizer_config.json", SENTENCEPIECE_FILE}
    assert b"tsv" not in files["a"][SENTENCEPIECE_FILE]
    save_tokenizer(train_tokenizer(iter(sentences), 400), tmp_path / "d")
    assert (tmp_path / "d" / "tokenizer.json").read_bytes() != files["a"]["tokenizer.json"]
    assert capfd.readouterr() == ("", "")


def test_saved_files_and_fingerprint_know_nothing_of_past_calls(trained, tmp_path):
    tokenizer = trained["unigram"]
    fingerprint = tokenizer_fingerprint(tokenizer)
    save_tokenizer(tokenizer, tmp_path / "before")
    tokenizer("나는 다 를", truncation=True, max_length=3, padding="max_length")
    assert tokenizer_fingerprint(tokenizer) == fingerprint
    save_tokenizer(tokenizer, tmp_path / "after")
    for path in (tmp_path / "before").iterdir():
        assert path.read_bytes() == (tmp_path / "after" / path.name).read_bytes()
    loaded = load_tokenizer(tmp_path / "after")
    assert tokenizer_fingerprint(loaded) == fingerprint
    assert sentencepiece_processor(loaded).encode("나는") == loaded.encode("나는", add_special_tokens=False)
    prints = {kind: tokenizer_fingerprint(tokenizer) for kind, tokenizer in trained.items()}
    assert len(set(prints.values())) == len(prints)
    loaded.backend_tokenizer.normalizer = None
    assert tokenizer_fingerprint(loaded) != fingerprint


def test_config_names_a_class_both_major_versions_know(trained, tmp_path):
    save_tokenizer(trained["unigram"], tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["model_input_names"] == ["input_ids", "attention_mask"]
    assert "model_max_length" not in config
    limited = train_tokenizer(synthetic_sentences(), 400, model_max_length=128)
    save_tokenizer(limited, tmp_path)
    assert load_tokenizer(tmp_path).model_max_length == 128


FRESH_PROCESS = """
import json, sys
from transformers import AutoTokenizer
results = []
for folder in sys.argv[1:]:
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    results.append([type(tokenizer).__name__, tokenizer("나는 <mask>를 각 ㅋㅋ", "XPT")["input_ids"]])
print(json.dumps(results))
"""


def test_loads_in_a_fresh_process_without_code_or_question(trained, shipped, tmp_path):
    """Alone, and beside a config.json of a model type of our own that points to code of its own."""
    for name in ("alone", "model"):
        save_tokenizer(trained["unigram"], tmp_path / name)
    config = {"model_type": "xpt-roberta", "auto_map": {"AutoConfig": "configuration_xpt.XPTRobertaConfig"}}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, tmp_path / "alone", tmp_path / "model", SHIPPED],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": "",
            "HF_HUB_OFFLINE": "1",
            "HF_MODULES_CACHE": str(tmp_path / "modules"),
        },
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    alone, model, ready = json.loads(done.stdout.splitlines()[-1])
    assert alone[1] == model[1] == trained["unigram"]("나는 <mask>를 각 ㅋㅋ", "XPT")["input_ids"]
    assert ready[1] == shipped("나는 <mask>를 각 ㅋㅋ", "XPT")["input_ids"]


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_a_vocabulary_larger_than_the_text_allows(model_type):
    few = ["나는 밥을 먹는다", "너는 물을 마신다"] * 5
    with pytest.raises(
        XPTError, match=r"5000 is more than the text allows \(10 sentences\): use at most (\d+)"
    ) as caught:
        train_tokenizer(few, 5000, model_type)
    largest = int(re.search(r"at most (\d+)", str(caught.value))[1])
    assert len(train_tokenizer(few, largest, model_type)) == largest
    with pytest.raises(XPTError, match="more than the text allows"):
        train_tokenizer(few, largest + 1, model_type)


def test_a_vocabulary_too_small_for_the_characters(sentences):
    with pytest.raises(XPTError, match=r"40 does not hold the single characters .* at least (\d+)") as caught:
        train_tokenizer(sentences, 40)
    least = int(re.search(r"at least (\d+)", str(caught.value))[1])
    assert len(train_tokenizer(sentences, least)) == least
    with pytest.raises(XPTError, match="at least"):
        train_tokenizer(sentences, least - 1)
    with pytest.raises(XPTError, match="no space for text"):
        train_tokenizer(sentences, 5)


def broken_corpus():
    yield "나는 간다"
    raise XPTError("corpus.txt is not UTF-8")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ([], {}, "no text to train a tokenizer on"),
        (["", "  \n"], {}, "no text to train a tokenizer on"),
        (["가"], {"model_type": "wordpiece"}, "'wordpiece' is not known"),
        (["가"], {"character_coverage": 0.2}, "0.2 is outside"),
        (broken_corpus(), {}, "^corpus.txt is not UTF-8$"),
    ],
)
def test_bad_input_is_named_in_one_line(text, options, message):
    with pytest.raises(XPTError, match=message) as caught:
        train_tokenizer(text, 300, **options)
    assert "\n" not in str(caught.value)


def test_folders_that_cannot_be_used(trained, tmp_path):
    def refused(match):
        with pytest.raises(XPTError, match=match) as caught:
            load_tokenizer(tmp_path / "t")
        assert "\n" not in str(caught.value)

    refused("no tokenizer folder")
    save_tokenizer(trained["unigram"], tmp_path / "t")
    path = tmp_path / "t" / "tokenizer.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    refused("cannot load a tokenizer")
    path.unlink()
    refused("no tokenizer.json")
    path.write_text(whole)
    config_path = tmp_path / "t" / "tokenizer_config.json"
    config = json.loads(config_path.read_text())
    config_path.write_text(json.dumps({**config, "mask_token": None}))
    refused("no mask token")
    own_class = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": [None, "own.OwnTokenizer"]}}
    config_path.write_text(json.dumps({**config, **own_class}))
    refused("contains custom code")
    config_path.write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}))
    refused(r"is not a fast one \(ByT5Tokenizer\): give a tokenizer.json")


def test_special_tokens_far_outside_the_vocabulary_are_refused(tmp_path):
    words = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 50}
    roles = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    roles |= {"pad_token": "<pad>", "mask_token": "<mask>", "unk_token": "<unk>"}
    model = Tokenizer(WordLevel(words, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=model, **roles).save_pretrained(tmp_path)
    with pytest.raises(XPTError, match="has 5 pieces and ids up to 50, so that most rows"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_of_others_has_no_sentencepiece_model(trained, tmp_path):
    save_tokenizer(trained["unigram"], tmp_path)
    (tmp_path / SENTENCEPIECE_FILE).unlink()
    with pytest.raises(XPTError, match=f"has no {SENTENCEPIECE_FILE} beside it: only tokenizers made by xpt"):
        sentencepiece_processor(load_tokenizer(tmp_path))


def test_what_sentencepiece_says_otherwise_is_passed_on():
    said = str(_explain("Internal: out of luck", 10, 300, masks=1))
    assert said == "SentencePiece cannot train a vocabulary of 300: Internal: out of luck"


def test_shipped_note_is_rendered_from_its_record():
    specification = importlib.util.spec_from_file_location("make", SHIPPED / "make.py")
    make = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(make)
    record = json.loads((SHIPPED / "made.json").read_text(encoding="utf-8"))
    assert (SHIPPED / "README.md").read_text(encoding="utf-8") == make.render_note(record)


def test_shipped_files_are_those_of_the_note(shipped):
    note = (SHIPPED / "README.md").read_text(encoding="utf-8")
    sizes = 0
    for name in ("tokenizer.json", "tokenizer_config.json", SENTENCEPIECE_FILE):
        content = (SHIPPED / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() in note
        sizes += len(content)
    assert sizes < 4_000_000
    assert tokenizer_fingerprint(shipped) in note
    assert isinstance(sentencepiece_processor(shipped), sentencepiece.SentencePieceProcessor)
