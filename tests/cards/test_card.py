"""The card of every kind of checkpoint, whole, against cards written by hand; nothing in it is invented."""

import hashlib
import re
import shlex
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from card_results import ADAPTER, LORA, POST_TRAINING, STS, TRELM, folder_of, klue_results
from huggingface_hub import EvalResult, ModelCard, parse_eval_result_entries
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_runs import fine_tune
from places import FIXTURES
from safetensors.torch import load_file
from transformers import AutoTokenizer, RobertaConfig, RobertaForMaskedLM, set_seed

import train_xpt
from configuration_trelm import TreLMRobertaConfig
from modeling_xpt import XPTRobertaForMaskedLM
from xpt.cards.card import render_card, write_card
from xpt.cards.klue_results import matching_results
from xpt.cards.public import publishable, shown_command, shown_text
from xpt.finetune.klue.tasks import KLUE
from xpt.finetune.saving import load_fine_tuned
from xpt.program.errors import XPTError

EXPECTED = FIXTURES / "cards"
TEMPLATES = (Path("model_card.md"), *Path("xpt/cards").glob("*.md"))
FIVE_FILLS = r"(?:  - label: [^\n]+\n    score: 0\.\d+(?:e-05)?\n){5}"
LICENSED = {"attribution": "Text: news of 2020, CC BY 4.0.", "model_license": "cc-by-sa-4.0"}
XPT_STS = {
    "model_type": "xpt-roberta",
    "architectures": ["XPTRobertaForSequenceClassification"],
    "auto_map": {"AutoConfig": "configuration_xpt.XPTRobertaConfig"},
}
ROBERTA_YNAT = {
    "model_type": "roberta",
    "architectures": ["RobertaForSequenceClassification"],
    "id2label": {str(number): str(number) for number in range(7)},
}


@pytest.fixture
def post_trained(xpt_checkpoint, tmp_path):
    """Give `post_trained(results)` the folder of a tiny XPT model with these results."""

    def make(results: dict | None = POST_TRAINING, name: str = "xpt-ko") -> Path:
        folder = tmp_path / name
        shutil.copytree(xpt_checkpoint, folder)
        return folder_of(folder, results, None, "loss.png")

    return make


@pytest.fixture
def native(tiny_tokenizer, tmp_path):
    """A stock RoBERTa with the results of the XPT model that it would come from."""
    set_seed(3)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = RobertaConfig(vocab_size=len(tiny_tokenizer), max_position_embeddings=80, **shape)
    RobertaForMaskedLM(config).save_pretrained(tmp_path / "native")
    tiny_tokenizer.save_pretrained(tmp_path / "native")
    return folder_of(tmp_path / "native", POST_TRAINING, None)


def card_of(folder: Path, model_id: str = "org/x", **links: Any) -> str:
    write_card(folder, model_id, **links)
    return (folder / "README.md").read_text(encoding="utf-8")


def assert_card(text: str, kind: str) -> None:
    """The whole text is the one written by hand; of the fills only the form is known."""
    parts = (EXPECTED / f"{kind}.txt").read_text(encoding="utf-8").split("[FIVE FILLS]\n")
    if not re.fullmatch(FIVE_FILLS.join(map(re.escape, parts)), text):
        assert re.sub(FIVE_FILLS, "[FIVE FILLS]\n", text) == "[FIVE FILLS]\n".join(parts)
        raise AssertionError("the fills of the card are not where they should be")


# ---- whole cards -----------------------------------------------------------------------------------------


def test_the_card_of_a_post_trained_model(post_trained):
    results = deepcopy(POST_TRAINING)
    results["settings"] |= LICENSED
    links = {"revision": "v1.0", "native_id": "org/xpt-ko-native", "klue_results": [STS]}
    assert_card(card_of(post_trained(results), "org/xpt-ko", **links), "post_training")


def test_the_card_of_a_trelm(trelm_checkpoint, tmp_path):
    results = deepcopy(TRELM)
    results["settings"] |= LICENSED
    folder = shutil.copytree(trelm_checkpoint, tmp_path / "trelm-ko")
    text = card_of(
        folder_of(folder, results, None, "loss.png"), "org/trelm-ko", revision="v1.0", klue_results=[STS]
    )
    assert_card(text, "trelm")


def trelm_card(**changes: Any) -> str:
    changed = {name: {**TRELM[name], **change} for name, change in changes.items()}
    return " ".join(render_card({**TRELM, **changed}, "ko").split())


def test_the_card_of_a_trelm_says_how_it_began():
    note = "the source is post-trained already: word embeddings new, output bias new, TRILayer copied"
    again = trelm_card(
        source={"family": "trelm-roberta"},
        transplant={"notes": [note], "num_languages": 3, "default_language": 2},
    )
    assert "which was post-trained so before: word embeddings new, output bias new, TRILayer copied." in again
    assert "A table of 3 *language embeddings*" in again and "as Korean, row 2, where" in again
    control = trelm_card(transplant={"layers_copied": False})
    assert "drawn at random: a control for **TreLM** (Li et al. 2021), which copies them." in control
    assert "Implicit" not in trelm_card() + again + control
    itls = trelm_card(transplant={"num_itl_in": 2, "num_itl_out": 1})
    assert "Implicit Translation Layers stand around it, too: 2 before the first layer and 1 after" in itls


def test_the_card_of_a_trelm_without_results(trelm_checkpoint, tmp_path):
    card = card_of(shutil.copytree(trelm_checkpoint, tmp_path / "bare"))
    assert "made by **TreLM** (Li et al. 2021)" in card and "this card states none" in card
    assert "modeling_trelm.py" in card and "Lee" not in card and "xpt native" not in card


@pytest.mark.parametrize("lora", [None, LORA])
def test_the_card_of_a_fine_tuned_trelm(tmp_path, lora):
    config = TreLMRobertaConfig(architectures=["TreLMRobertaForSequenceClassification"], num_labels=1)
    results = {**STS, "model": {**STS["model"], "family": "trelm-roberta", "lora": lora}}
    adapters = ["adapter_config.json"] if lora else []
    card = card_of(folder_of(tmp_path, results, config.to_dict(), *adapters), xpt_id="org/trelm-ko")
    assert "- trelm\n- klue\n- sts\n" in card and "base_model: org/trelm-ko\n" in card
    assert "arXiv:2107.12627" in card and "Lee" not in card and "trust_remote_code=True)" in card
    assert ("modeling_trelm.py" in card) == (lora is None) and "language embeddings" not in card


def test_the_card_of_a_native_twin(native):
    assert_card(card_of(native, "org/xpt-ko-native", xpt_id="org/xpt-ko"), "native")


def test_the_card_of_a_fine_tuned_model(tmp_path):
    folder = folder_of(tmp_path, STS, XPT_STS, "scores.png")
    links = {"revision": "v1.0", "xpt_id": "org/xpt-ko", "model_license": "apache-2.0"}
    assert_card(card_of(folder, "org/xpt-ko-sts", **links), "fine_tuned")


def test_the_card_of_adapters(tmp_path):
    folder = folder_of(tmp_path, ADAPTER, ROBERTA_YNAT, "adapter_config.json")
    assert_card(card_of(folder, "org/ynat-lora"), "adapter")


# ---- for machines ----------------------------------------------------------------------------------------


def test_the_hub_reads_back_every_score(post_trained):
    ynat = klue_results("ynat", {"ynat/macro_f1": 80.25}, changed={"learning_rate": 3e-5})
    ynat["data"]["validation"]["revision"] = "ed7d0a1"
    folder = post_trained()
    card_of(folder, klue_results=[ynat, STS])
    read = ModelCard.load(folder / "README.md").data
    assert (read.language, read.base_model, read.mask_token) == ("ko", "FacebookAI/roberta-base", "<mask>")
    scores = {(one.metric_name, one.metric_value) for one in read.eval_results}
    assert scores == {
        ("Loss in nats per masked token", 4.0625),
        ("Perplexity of masked tokens", 58.1194),
        ("ynat/macro_f1", 80.25),
        ("sts/pearsonr", 45.6906),
        ("sts/f1", 59.5556),
    }
    assert read.eval_results[2] == EvalResult(
        task_type="text-classification",
        task_name="topic classification",
        dataset_type="klue/klue",
        dataset_name="KLUE ynat",
        dataset_config="ynat",
        dataset_split="validation",
        dataset_revision="ed7d0a1",
        metric_type="f1",
        metric_name="ynat/macro_f1",
        metric_value=80.25,
        metric_args={"seed": 7, "learning_rate": 3e-5},
    )


def entries_of(folder: Path) -> dict[str, list]:
    return {
        path.name: parse_eval_result_entries(yaml.safe_load(path.read_text("utf-8")))
        for path in sorted((folder / ".eval_results").glob("*"))
    }


def test_a_file_for_each_task_holds_an_entry_for_each_run(post_trained):
    seeds = [klue_results("sts", {"sts/pearsonr": value, "sts/f1": 1.5}, seed=seed)
             for seed, value in ((1, 45.5), (2, 46.5))]  # fmt: skip
    nli = klue_results("nli", {"nli/accuracy": 61.25}, changed={"num_train_epochs": 2.0})
    nli["data"]["validation"]["revision"] = "ed7d0a1"
    nli["data"]["train"] |= {"whole": False, "records": 1_000, "official_records": 24_998}
    folder = post_trained()
    card_of(folder, klue_results=[*seeds, nli])
    entries = entries_of(folder)
    assert list(entries) == ["klue-nli.yaml", "klue-sts.yaml"]
    (one,) = entries["klue-nli.yaml"]
    assert (one.dataset_id, one.task_id, one.value) == ("klue/klue", "nli", 61.25)
    assert one.dataset_revision == "ed7d0a1"
    assert one.notes == "nli/accuracy, validation, seed 7, num_train_epochs 2.0, learned 1,000 of 24,998"
    assert [(one.value, one.notes) for one in entries["klue-sts.yaml"]] == [
        (45.5, "sts/pearsonr, validation, seed 1"),
        (46.5, "sts/pearsonr, validation, seed 2"),
    ]
    card_of(folder)
    assert entries_of(folder) == {}, "a score that is no longer given must not stay"


def test_a_score_on_a_part_of_the_validation_set_is_on_no_leaderboard(tmp_path):
    folder = folder_of(tmp_path, ADAPTER, ROBERTA_YNAT, "adapter_config.json")
    card_of(folder)
    assert entries_of(folder) == {}


# ---- nothing invented ------------------------------------------------------------------------------------


def without(results: dict, *path: str) -> dict:
    results = deepcopy(results)
    inner = results
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return results


def test_nothing_is_shown_of_what_was_not_measured():
    card = render_card(without(POST_TRAINING, "test"), "ko")
    assert "## Results" not in card and "model-index" not in card and "perplexity" not in card
    card = render_card({**POST_TRAINING, "unigram_loss": None, "shuffled_context_loss": None}, "ko")
    assert "4.062" in card and "unigram frequencies" not in card and "another sentence" not in card
    card = render_card({**POST_TRAINING, "fills": []}, "ko")
    assert "What it fills in" not in card and "Masked word" not in card
    assert "KLUE" not in card and "license:" not in card and "No license is stated" in card


def test_an_undefined_score_has_no_row(tmp_path):
    scored = klue_results("sts", {"sts/pearsonr": None, "sts/f1": 12.5}, variants={"sts/spearmanr": None})
    folder = folder_of(tmp_path / "one", scored, XPT_STS)
    card = card_of(folder, klue_results=[klue_results("nli", {"nli/accuracy": None})])
    assert "| sts/f1 | 12.50 |" in card and "pearsonr" not in card and "spearmanr" not in card
    assert "nli" not in card and "scores.png" not in card
    assert [one.metric_name for one in ModelCard(card).data.eval_results] == ["sts/f1"]
    assert entries_of(folder) == {}
    card = card_of(folder_of(tmp_path / "none", klue_results("nli", {"nli/accuracy": None}), XPT_STS))
    assert "## Results" not in card and "model-index" not in card


def test_a_model_without_results_has_a_card_without_figures(post_trained):
    card = card_of(post_trained(None))
    assert "this card states none" in card and "trust_remote_code=True" in card
    assert not any(
        part in card for part in ("## Training", "## Results", "widget", "language", "model-index")
    )


def test_the_card_says_what_few_phases_have():
    first, second = POST_TRAINING["phases"]
    unusual = {"mlm_probability": [0.45, 0.15], "learning_rates": {"itl": 2.0, "encoder.0": 0.25}}
    settings = {**POST_TRAINING["settings"], "whole_word_masking": True}
    phases = [{**first, **unusual}, {**second, "mlm_probability": 0.3, "rewarm": False}]
    phases[1]["until"] = {"every": 2000, "patience": 3, "least": 0.01}
    card = render_card({**POST_TRAINING, "phases": phases, "settings": settings}, "ko")
    assert "masks 45 to 15 % of the tokens; learning rate of itl x 2, encoder.0 x 0.25 |" in card
    assert "; trains all; goes on with the schedule before it; ends where validation loss, taken" in card
    assert "every 2,000 steps, has not improved by 0.01 nats 3 times in a row |" in card
    assert "| Masks | whole words in training" in card
    assert "masks" not in render_card(POST_TRAINING, "ko").lower()


def test_a_source_from_a_folder_is_no_base_on_the_hub():
    source = {**POST_TRAINING["source"], "name": "minilm", "revision": None}
    card = render_card({**POST_TRAINING, "source": source}, "ko")
    assert "base_model" not in card and "encoder `minilm`:" in card


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((None, None), "an *Implicit Translation Layer* stands before the first and after the last English"),
        ((2, None), "Layers* 2 stand before the first and 2 after the last English layer."),
        ((0, 3), "Layers* 0 stand before the first and 3 after the last English layer."),
    ],
)
def test_the_card_counts_the_new_layers(given, said):
    changes = dict(zip(("num_itl_in", "num_itl_out"), given, strict=True))
    assert said in render_card({**POST_TRAINING, "settings": {**POST_TRAINING["settings"], **changes}}, "ko")


def test_the_card_says_who_cut_the_words_of_the_vocabulary():
    changed = {**POST_TRAINING["tokenizer"], "morphemes": "kiwipiepy 0.24.1"}
    row = "pieces of text cut into morphemes by kiwipiepy 0.24.1, "
    assert row in render_card({**POST_TRAINING, "tokenizer": changed}, "ko")
    assert "morphemes" not in render_card(POST_TRAINING, "ko")


NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


def numbers_in(text: str) -> set[str]:
    return {found.rstrip(",") for found in NUMBER.findall(text)}


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict | list):
        return [
            leaf for one in (value.values() if isinstance(value, dict) else value) for leaf in leaves(one)
        ]
    return [value]


def renumbered(value: Any, draw: Any) -> Any:
    """The same results with every number replaced by a drawn one."""
    if isinstance(value, dict):
        return {key: renumbered(one, draw) for key, one in value.items()}
    if isinstance(value, list):
        return [renumbered(one, draw) for one in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return draw(st.integers(0, 10**9))
    return draw(st.floats(1e-6, 999.0))


def forms(leaf: Any) -> set[str]:
    """How a number of the results may be written."""
    if isinstance(leaf, str):
        return numbers_in(leaf)
    if leaf is None or isinstance(leaf, bool):
        return set()
    shown = {str(leaf), f"{leaf:,}", f"{leaf:.3f}", f"{leaf:.2f}", f"{leaf:.1f}", f"{100 * leaf:.1f}"}
    return shown | numbers_in(yaml.safe_dump(leaf))


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_every_number_of_a_card_is_in_the_results(tmp_path_factory, data):
    text = [re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", path.read_text("utf-8")) for path in TEMPLATES]
    written = numbers_in(" ".join(text)) | {"0.15"}  # the Hub has "15 %" as a share
    for original in (POST_TRAINING, TRELM):
        results = renumbered(original, data.draw)
        total = f"{sum(results['parameters'].values()):,}"
        card = render_card(results, "ko")
        known = {form for leaf in leaves(results) for form in forms(leaf)}
        assert numbers_in(card) <= written | known | {total}
        told = {total, f"{results['test']['loss']:.3f}", f"{results['phases'][1]['tokens']:,}"}
        assert told <= numbers_in(card)
    for original, config in ((STS, XPT_STS), (ADAPTER, ROBERTA_YNAT)):
        results = renumbered(original, data.draw)
        card = card_of(folder_of(tmp_path_factory.mktemp("card"), results, config))
        known = {form for leaf in leaves(results) for form in forms(leaf)}
        described = numbers_in((Path("xpt/finetune/klue/klue_metric/names.py")).read_text("utf-8"))
        described |= numbers_in(KLUE.citation)
        assert numbers_in(card) <= written | known | described | {results["model"]["sha256"][:12]}


# ---- widget ----------------------------------------------------------------------------------------------


def test_the_widget_shows_what_the_model_fills_in(post_trained):
    folder = post_trained()
    widget = ModelCard(card_of(folder)).data.widget
    assert len(widget) == 3
    model, tokenizer = (
        XPTRobertaForMaskedLM.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    for example in widget:
        ids = tokenizer(example["text"], return_tensors="pt")
        place = ids["input_ids"][0].tolist().index(tokenizer.mask_token_id)
        with torch.no_grad():
            shares = model(**ids).logits[0, place].softmax(-1)
        best = shares.sort(descending=True).indices[:5].tolist()
        pieces = tokenizer.convert_ids_to_tokens(best)
        assert [one["label"] for one in example["output"]] == [
            piece if i in tokenizer.all_special_ids else piece.replace("▁", "") or "(space)"
            if piece.startswith("▁") else f"##{piece}"
            for i, piece in zip(best, pieces, strict=True)
        ]  # fmt: skip
        scores = [one["score"] for one in example["output"]]
        assert scores == pytest.approx(shares[best].tolist(), abs=6e-5)


def test_there_are_no_examples_in_a_language_that_nobody_here_writes(post_trained):
    results = {**POST_TRAINING, "settings": {**POST_TRAINING["settings"], "language": "cy"}}
    card = card_of(post_trained(results))
    assert "widget" not in card and "language: cy" in card and "A Welsh encoder" in card


# ---- what a user gets wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "klue"}', '{"source": 3}'])
def test_damaged_results_are_named_and_nothing_is_written(tmp_path, content):
    folder = folder_of(tmp_path, None, XPT_STS)
    (folder / "results.json").write_text(content)
    with pytest.raises(XPTError, match=r"results\.json is (damaged|not what a run writes)") as error:
        write_card(folder, "org/x")
    assert "\n" not in str(error.value) and {path.name for path in folder.iterdir()} == {
        "config.json",
        "results.json",
    }


def test_a_folder_of_no_model_is_refused(tmp_path):
    with pytest.raises(XPTError, match=r"no config\.json; give the folder of a model"):
        write_card(tmp_path, "org/x")


@pytest.mark.parametrize("identifier", ["Apache 2.0", "", "MIT", "cc-by-"])
def test_a_license_that_the_hub_cannot_know_is_refused(tmp_path, capsys, identifier):
    flags = ["--model_license", identifier, "--output_dir", str(tmp_path / "run")]
    assert train_xpt.main(flags) == 2
    assert "is no identifier of the Hub; give one such as apache-2.0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# ---- nothing of a machine --------------------------------------------------------------------------------

POISON = "/home/zz-alice/zz-secret dir/x.txt"


def poisoned(value: Any, key: str = "") -> Any:
    """The same results where everything that a user types has a path of their machine and a token in it."""
    if isinstance(value, dict):
        return {name: poisoned(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one, key) for one in value]
    if key in ("command", "attribution"):
        return f"python x.py --corpus={shlex.quote(POISON)} ~zz-alice/b ../../zz-alice/c hf_zzTokenzz12345"
    return POISON if key in ("file", "dataset", "name", "origin", "output_dir") else value


def test_no_path_user_or_token_reaches_a_card_or_its_scores(post_trained, tmp_path):
    results = poisoned(POST_TRAINING)
    results["phases"] = POST_TRAINING["phases"]
    results["settings"]["attribution"] = "Text: /home/zz-alice/news, hf_zzTokenzz12345"
    scored = poisoned({**STS, "model": {**STS["model"], "revision": "abc"}})
    folders = [post_trained(results), folder_of(tmp_path / "tuned", scored, XPT_STS)]
    for folder in folders:
        card_of(folder, POISON, native_id=POISON, xpt_id=POISON, klue_results=[scored])
        written = [folder / "README.md", *(folder / ".eval_results").glob("*")]
        assert len(written) == 2
        for path in written:
            assert "zz" not in path.read_text("utf-8") and "/home" not in path.read_text("utf-8")
        assert "x.txt" in written[0].read_text("utf-8")


WORD = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)


@given(WORD.map(lambda word: f"zz{word}"), st.lists(WORD, max_size=2), WORD, st.sampled_from(range(8)))
def test_of_a_path_of_the_machine_the_last_part_is_left(user, folders, name, form):
    inner = "/".join([*folders, name])
    path = [
        f"/home/{user}/{inner}",
        f"~{user}/{inner}",
        f"../{user}/{inner}",
        f"a/../../{user}/{inner}",
        f"file:///srv/{user}/{inner}",
        "C:\\Users\\" + user + "\\" + inner.replace("/", "\\"),
        f"/srv/{user}/with space/{inner}",
        f"/Users/{user}/{inner}",
    ][form]
    for words in (
        ["x.py", path],
        ["x.py", f"--corpus={path}"],
        ["x.py", f'[{{"a": "{path}"}}]'][: 2 - (form == 6)],
    ):
        shown = shown_command(shlex.join(words))
        assert user not in shown
        assert name in shown or len(words) == 1
    assert user not in shown_text(f"see {path}" if form != 6 else path)


@pytest.mark.parametrize("path", ["/home/zz", "/Users/zz/", "~zz", "C:\\Users\\zz", "file:/home/zz"])
def test_a_home_folder_is_called_after_nobody(path):
    assert "zz" not in shown_text(path) and "zz" not in shown_text(f"in {path}, say")


@pytest.mark.parametrize(
    "text",
    ["output/ko", "klue-v1.1/ynat-v1.1/train.json.xz", "org/name:config@abc", "https://a.org/b/c", "and/or",
     "Text: CC BY 4.0, https://a.org/x.", "5 % of 1/2"],
)  # fmt: skip
def test_what_says_nothing_of_a_machine_stays(text):
    assert shown_text(text) == text and publishable({"a": [text]}) == {"a": [text]}


def test_a_login_in_an_address_goes():
    assert shown_text("from https://zz:pass@a.org/b") == "from https://a.org/b"


# ---- results of this checkpoint --------------------------------------------------------------------------


def test_results_are_those_of_the_same_weights(xpt_checkpoint, tmp_path):
    own = hashlib.sha256((xpt_checkpoint / "model.safetensors").read_bytes()).hexdigest()
    sts, ynat = (klue_results(task, {}, own) for task in ("sts", "ynat"))
    folder_of(tmp_path / "all" / "sts", sts, None)
    folder_of(tmp_path / "all" / "ynat", ynat, None)
    folder_of(tmp_path / "all" / "foreign", klue_results("nli", {}), None)
    assert matching_results(xpt_checkpoint, [tmp_path / "all", tmp_path / "all" / "sts"]) == [ynat, sts]
    with pytest.raises(XPTError) as error:
        matching_results(xpt_checkpoint, [tmp_path / "all", tmp_path / "all" / "foreign"])
    assert "foreign: holds results of other checkpoints only: 555555555555 (ko)" in str(error.value)
    assert own[:12] in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(XPTError, match="no results"):
        matching_results(xpt_checkpoint, [folder_of(tmp_path / "empty", None, None)])


# ---- its lines load it -----------------------------------------------------------------------------------


def loaded(card: str) -> Any:
    """The model that the card's own lines load."""
    space: dict[str, Any] = {}
    exec(card.split("```python\n")[1].split("```")[0], space)
    return space["model"]


def test_the_lines_of_the_card_load_the_model(post_trained, native, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = loaded(card_of(post_trained(), "xpt-ko"))
    stored = load_file("xpt-ko/model.safetensors")
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in stored.items())
    assert type(loaded(card_of(native, "native"))) is RobertaForMaskedLM


@pytest.mark.parametrize("lora", ["false", "true"])
def test_the_lines_of_a_real_fine_tuning_load_it(xpt_checkpoint, tmp_path, monkeypatch, lora):
    shutil.copytree(xpt_checkpoint, tmp_path / "tiny-xpt")
    changes = {"lora": lora, "num_train_epochs": 1, "model_license": "apache-2.0"}
    assert fine_tune(tmp_path / "tiny-xpt", tmp_path / "nli", **changes) == 0
    monkeypatch.chdir(tmp_path)
    card = card_of(tmp_path / "nli", "nli")
    assert "license: apache-2.0" in card and str(tmp_path) not in card and "![Validation score" in card
    expected, tokenizer = load_fine_tuned(tmp_path / "nli")
    ids = tokenizer("국회는 오늘 법을 검토하였다.", return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(loaded(card).eval()(**ids).logits, expected(**ids).logits)
