"""From options to word embeddings at step 0: what is refused before text is read, what is recorded."""

import json
import lzma
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import korean_sentences
from ready_tokenizers import wordpiece
from safetensors.torch import load_file, save_file
from tiny_runs import flags
from tiny_sources import random_source
from toy_starts import short_games

from train_xpt import main
from xpt.recipe.command_line import read_recipe
from xpt.run.preparation import check_source, prepare_model, prepare_text
from xpt.run.start import NEAR, chosen_scale, start_embeddings
from xpt.training.evaluation import evaluate_mlm
from xpt.transplant.embeddings import EMBEDDING_INITS
from xpt.transplant.source import format_report, open_source

ENGLISH = [f"{first}{second}" for first in "wxyz" for second in "abcdefghij"]
WORDS = sorted({word for sentence in korean_sentences(300) for word in sentence.split()})


@pytest.fixture(autouse=True)
def _short_games(monkeypatch):
    short_games(monkeypatch)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A BERT with a tokenizer of English words, a donor, and all the files that starts read."""
    folder = tmp_path_factory.mktemp("starts")
    source = random_source(folder / "source", "bert", 0, max_position_embeddings=42)
    vocabulary = "[PAD] [UNK] [CLS] [SEP] [MASK] . 1 2 3".split() + ENGLISH

    def change(described):
        described["model"]["vocab"] = {piece: index for index, piece in enumerate(vocabulary)}

    wordpiece(change=change).save_pretrained(source)
    pairs = list(zip(ENGLISH * 8, WORDS, strict=False))
    (folder / "dictionary.txt").write_text("".join(f"{one} {other}\n" for one, other in pairs))
    with lzma.open(folder / "pairs.tsv.xz", "wt", encoding="utf-8") as file:
        file.writelines(f"{one} .\t{other} .\n" for one, other in pairs)
    (folder / "links.txt").write_text("0-0 1-1\n" * len(pairs))
    random = np.random.default_rng(0)
    lines = [" ".join(random.choice(ENGLISH, 8)) for _ in range(200)]
    (folder / "english.txt").write_text("\n".join(lines))
    return folder


def given(files, method, **changes):
    """Options of a start with the files that it needs."""
    paths = {
        "dictionary": files / "dictionary.txt",
        "parallel": files / "pairs.tsv.xz",
        "donor": files / "donor",
    }
    needed = {name: paths[name] for name in EMBEDDING_INITS[method].needs}
    return {"source_model_name_or_path": files / "source", "embedding_init": method, **needed, **changes}


@pytest.fixture(scope="module")
def donor(files, tiny_tokenizer):
    """A model of the tiny tokenizer's vocabulary, and the folder of that tokenizer."""
    folder = random_source(files / "donor", "roberta", 1, vocab_size=300)
    tiny_tokenizer.save_pretrained(folder)
    return folder


def test_in_a_vocabulary_of_two_languages_words_of_the_source_translate_themselves(files, options):
    both = {"objective": "cdlm+mlm", "languages": "both"}
    phases = json.dumps([{"name": "one", "train": "all", "steps": 1, **both}])
    trelm = {"architecture": "trelm", "source_num_layers": 2, "phases": phases}
    trelm |= {"phase1_steps": None, "phase2_steps": None, "parallel": files / "pairs.tsv.xz"}
    trelm["source_text"] = files / "english.txt"
    source = open_source(files / "source")
    for method in ("align", "dictionary"):
        recipe = read_recipe(options(**given(files, method, vocab_size=500, **trelm)))
        text = prepare_text(recipe, source)
        start, context = start_embeddings(
            recipe, source, text.tokenizer, text.special, text.sample(10**6), joint=True
        )
        pairs = context.dictionary if method == "dictionary" else context.parallel.pairs
        own = [(one, other) for one, other in pairs if one == other]
        assert {one.split()[0] for one, _ in own} >= set(ENGLISH) and len(pairs) > len(own)
        if method == "align":
            whole = [word for word in ENGLISH if f"▁{word}" in text.tokenizer.get_vocab()]
            rows = start.matrix[[text.tokenizer.convert_tokens_to_ids(f"▁{word}") for word in whole]]
            theirs = torch.nn.functional.normalize(source.word_embeddings, dim=1)
            nearest = (torch.nn.functional.normalize(rows, dim=1) @ theirs.T).argmax(1).tolist()
            assert len(whole) >= 10 and nearest == [9 + ENGLISH.index(word) for word in whole]


@pytest.mark.parametrize("method", EMBEDDING_INITS)
def test_every_start_from_options_to_the_model(method, files, options, donor, tiny_tokenizer):
    changes = {"tokenizer_name_or_path": donor} if method == "omp" else {}
    recipe = read_recipe(options(**given(files, method, **changes)))
    source = open_source(files / "source")
    check_source(recipe, source)
    text = prepare_text(recipe, source)
    model, report = prepare_model(recipe, source, text)
    table = model.roberta.embeddings.word_embeddings.weight
    assert table is model.lm_head.decoder.weight and table.isfinite().all()
    rows = report["embeddings"]["rows"]
    assert report["embeddings"]["method"] == method and sum(rows.values()) == len(table) - 1
    if EMBEDDING_INITS[method].compares:
        assert torch.equal(table[text.special.mask], source.word_embeddings[4])
        assert rows["copied"] >= 4
    if method in ("dictionary", "align", "procrustes", "adversarial"):
        assert rows["mixed"] > 30
    assert json.loads(json.dumps(report)) == report  # as it is recorded
    assert (f"word embeddings by {method}: " in format_report(report)) == (method != "random")
    assert torch.equal(model.lm_head.bias, text.log_probs)


def test_the_output_bias_is_mixed_where_it_is_asked_for(files, options):
    recipe = read_recipe(options(**given(files, "align", output_bias_init="mixed")))
    source = open_source(files / "source")
    check_source(recipe, source)
    text = prepare_text(recipe, source)
    model, _ = prepare_model(recipe, source, text)
    assert source.output_bias.std() > 0.1
    assert model.lm_head.bias[text.special.mask] == source.output_bias[4]
    assert source.output_bias.min() <= model.lm_head.bias.min()
    assert model.lm_head.bias.max() <= source.output_bias.max()


def test_links_and_source_text_count(files, options):
    source = open_source(files / "source")
    tables = []
    for changes in ({}, {"alignments": files / "links.txt"}):
        recipe = read_recipe(options(**given(files, "align", **changes)))
        _, report = prepare_model(recipe, source, prepare_text(recipe, source))
        tables.append(report["embeddings"]["notes"])
    assert "aligned here" in tables[0][0] and "were given" in tables[1][0]
    recipe = read_recipe(options(**given(files, "dictionary", source_text=files / "english.txt")))
    _, report = prepare_model(recipe, source, prepare_text(recipe, source))
    assert "vectors of --source_text (40 of 90)" in report["embeddings"]["notes"][0]


def wide(files):
    """The source's configuration, of which new tensors are drawn with a deviation of 1."""
    config = open_source(files / "source").config
    config.initializer_range = 1.0
    return config


def test_a_fitted_scale_starts_at_the_loss_of_word_frequencies(files, options):
    source, losses = replace(open_source(files / "source"), config=wide(files)), {}
    for scale in ("none", "unigram"):
        recipe = read_recipe(options(**given(files, "random", embedding_scale=scale)))
        text = prepare_text(recipe, source)
        model, report = prepare_model(recipe, source, text)
        scored = evaluate_mlm(model, text.held_out["validation"], text.log_probs)
        losses[scale] = scored.loss - scored.unigram_loss
    assert losses["none"] > 1 > 4 * NEAR > abs(losses["unigram"])
    assert "--embedding_scale unigram" in report["embeddings"]["notes"][-1]
    assert model.roberta.embeddings.word_embeddings.weight.abs().max() > 0


def test_the_largest_scale_that_will_do_is_taken_else_the_nearest():
    assert chosen_scale({2.0: 9.0, 1.0: 5.04, 0.5: 5.01, 0.25: 5.0}, 5.0) == 1.0
    assert chosen_scale({2.0: 9.0, 1.0: 4.0, 0.5: 5.0}, 5.0) == 1.0
    assert chosen_scale({2.0: 9.0, 1.0: 5.2, 0.5: 5.3}, 5.0) == 1.0


REFUSED = [
    ("dictionary", {"dictionary": None}, "--embedding_init dictionary needs --dictionary"),
    ("align", {"parallel": None}, "--embedding_init align needs --parallel"),
    ("omp", {"donor": None}, "--embedding_init omp needs --donor"),
    ("omp", {}, "name its tokenizer as the target's too"),
    ("omp", {"donor": "{source}", "tokenizer_name_or_path": "{donor}"}, "has another vocabulary"),
    ("random", {"dictionary": "{dictionary.txt}"}, "has no effect with --embedding_init random"),
    ("align", {"source_text": "{english.txt}"}, "give --embedding_init dictionary or procrustes or"),
    ("static", {"overlap_rest": "focus"}, "--overlap_rest has no effect with --embedding_init static"),
    ("overlap", {"overlap_rest": "dictionary"}, "overlap --overlap_rest dictionary needs --dictionary"),
    ("dictionary", {"dictionary": "{nowhere}"}, "there is no such file"),
    ("dictionary", {"dictionary": "{one_column}"}, "no line holds two words"),
    ("align", {"parallel": "{one_column}"}, "line 1 has no tab between two sentences"),
    ("align", {"parallel": "{bytes}"}, "it is not UTF-8 text"),
    ("align", {"parallel": "{cut.xz}"}, "it cannot be read"),
    ("align", {"alignments": "{one_column}"}, "has 2 lines for the"),
    ("align", {"alignments": "{beyond}"}, "line 1 is no list of links as 0-0 1-2 between the 2 and 2 words"),
    ("procrustes", {"source_text": "{nowhere}"}, "--source_text"),
    ("focus", {"source_model_name_or_path": "{bare}"}, "compares the source's pieces, but no tokenizer.json"),
    ("focus", {"source_model_name_or_path": "{other}"}, "its tokenizer has 300 ids for 90 word embeddings"),
    ("matched", {"output_bias_init": "mixed"}, "--embedding_init matched mixes nothing"),
    ("focus", {"source_model_name_or_path": "{headless}", "output_bias_init": "mixed"}, "has no output bias"),
]


@pytest.mark.parametrize(("method", "changes", "message"), REFUSED)
def test_what_cannot_be_meant_is_refused_before_the_text_is_read(
    method, changes, message, files, options, donor, tiny_tokenizer, monkeypatch, capsys, tmp_path
):
    (tmp_path / "one_column").write_text("alone\nalone\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xfa\t\n")
    (tmp_path / "cut.xz").write_bytes((files / "pairs.tsv.xz").read_bytes()[:60])
    lines = len((files / "links.txt").read_text().splitlines())
    (tmp_path / "beyond").write_text("0-2\n" * lines)
    random_source(tmp_path / "bare", "bert", 0)
    random_source(tmp_path / "headless", "bert", 0, head=None)
    shutil.copy(files / "source" / "tokenizer.json", tmp_path / "headless")
    shutil.copy(files / "source" / "tokenizer_config.json", tmp_path / "headless")
    random_source(tmp_path / "other", "bert", 0)
    tiny_tokenizer.save_pretrained(tmp_path / "other")
    places = {"{source}": files / "source", "{donor}": donor}
    places |= {f"{{{path.name}}}": path for path in [*files.iterdir(), *tmp_path.iterdir()]}
    places["{nowhere}"] = tmp_path / "nowhere"
    changes = {name: places.get(value, value) for name, value in changes.items()}
    monkeypatch.setattr("train_xpt.prepare_text", lambda *_: pytest.fail("the text was read"))
    command = [*options(**given(files, method, **changes)), *flags({"output_dir": tmp_path / "run"})]
    assert main(command) != 0
    error = capsys.readouterr().err.strip()
    assert message in error.splitlines()[-1] and "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_a_bias_of_another_vocabulary_is_none(tmp_path):
    folder = random_source(tmp_path, "bert", 0)
    before = open_source(folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["cls.predictions.bias"] = torch.zeros(7)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    after = open_source(folder)
    assert before.output_bias is not None and after.output_bias is None
    assert before.sha256 == after.sha256


@pytest.mark.parametrize("family", ["roberta", "bert", "electra", "distilbert"])
def test_the_output_bias_of_a_family_is_read(family, tmp_path):
    source = open_source(random_source(tmp_path, family))
    assert source.output_bias.shape == (90,) and source.output_bias.std() > 0.05
