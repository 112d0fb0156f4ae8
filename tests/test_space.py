"""The demo page: what its checkpoints answer, and, in a real browser, what a visitor sees."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch
from places import REPO
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from configuration_trelm import TreLMRobertaConfig
from modeling_trelm import TreLMRobertaForMaskedLM

sys.path[:0] = [str(REPO / "space"), str(REPO / "benchmarks")]
from charts import bars, heat_map, problem  # noqa: E402
from checkpoint import Checkpoint, InputError, OperatorError  # noqa: E402
from space_page import serve  # noqa: E402
from wording import LABELS, TEXTS, say  # noqa: E402

SENTENCE = "국회는 오늘 <mask> 검토하였다."


@pytest.fixture(scope="module")
def checkpoint(xpt_checkpoint):
    return Checkpoint(str(xpt_checkpoint))


def test_a_mask_is_filled_with_what_the_model_finds_likeliest(checkpoint, xpt_checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(xpt_checkpoint)
    model = AutoModelForMaskedLM.from_pretrained(xpt_checkpoint, trust_remote_code=True).eval()
    inputs = tokenizer(SENTENCE, return_tensors="pt")
    place = inputs["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    with torch.no_grad():
        expected = model(**inputs).logits[0, place].softmax(-1).sort(descending=True)
    [found] = checkpoint.fill(SENTENCE, top=3)
    assert [piece for piece, _ in found] == checkpoint.shown(expected.indices[:3].tolist())
    assert [share for _, share in found] == pytest.approx(expected.values[:3].tolist(), rel=1e-5)
    assert checkpoint.fill(SENTENCE.replace("<mask>", "[MASK]"), top=3) == [found]


def test_attention_is_that_of_the_first_and_the_last_layer(checkpoint):
    assert not checkpoint.is_trelm
    tokens, layers = checkpoint.attention("국회는 오늘 검토하였다.")
    assert [layer.name for layer in layers] == ["itl_in", "itl_out"]
    for layer in layers:
        assert layer.weights.shape == (checkpoint.heads, len(tokens), len(tokens))
        assert torch.allclose(layer.weights.sum(-1), torch.ones(()))
    inputs = checkpoint.tokenizer("국회는 오늘 검토하였다.", return_tensors="pt")
    states = checkpoint.model.roberta.embeddings(inputs["input_ids"])
    own = checkpoint.model.roberta.itl_in[0].attention.self
    query, key = (
        part(states).view(len(tokens), checkpoint.heads, -1).transpose(0, 1) for part in (own.query, own.key)
    )
    expected = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
    assert torch.allclose(layers[0].weights, expected, atol=1e-5)
    last = checkpoint.model(**inputs, output_attentions=True).attentions[-1][0]
    assert torch.equal(layers[1].weights, last) and not torch.equal(last, layers[0].weights)


@pytest.mark.parametrize(
    ("itls", "names"),
    [
        ((0, 0), ["first_layer", "tri", "last_layer"]),
        ((2, 1), ["itl_in", "itl_in", "tri", "itl_out"]),
    ],
)
def test_attention_of_a_trelm_is_that_of_its_trilayer_beside_the_outer_layers(
    trelm_checkpoint, tmp_path, itls, names
):
    config = TreLMRobertaConfig.from_pretrained(trelm_checkpoint)
    config.num_itl_in, config.num_itl_out = itls
    TreLMRobertaForMaskedLM(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(trelm_checkpoint).save_pretrained(tmp_path)
    checkpoint, entered = Checkpoint(str(tmp_path)), []
    checkpoint.model.roberta.tri.register_forward_pre_hook(lambda module, given: entered.append(given[0]))
    tokens, layers = checkpoint.attention("국회는 오늘 검토하였다.")
    assert checkpoint.is_trelm and [layer.name for layer in layers] == names
    assert all(say(name, "en") != say(name, "ko") for name in names)
    own = checkpoint.model.roberta.tri.attention.self
    query, key = (
        part(entered[0].clone()).view(len(tokens), checkpoint.heads, -1).transpose(0, 1)
        for part in (own.query, own.key)
    )
    expected = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
    for layer in layers:
        is_tri = torch.allclose(layer.weights, expected, atol=1e-5)
        assert is_tri == (layer.name == "tri"), layer.name


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (" ", "empty"),
        ("국회는 오늘", "no_mask"),
        ("<mask> " * 6, "many_masks"),
        ("가" * 2001 + "<mask>", "many_characters"),
        ("국회는 " * 90 + "<mask>", "too_long"),
    ],
)
def test_a_text_that_cannot_be_filled_is_refused_in_both_languages(checkpoint, text, key):
    with pytest.raises(InputError) as caught:
        checkpoint.fill(text)
    assert caught.value.key == key
    korean, english = (say(key, language, **caught.value.facts) for language in ("ko", "en"))
    assert korean != english and "\n" not in korean + english
    assert re.search("[가-힣]", korean)


def test_a_long_sentence_is_not_drawn(checkpoint):
    with pytest.raises(InputError) as caught:
        checkpoint.attention("국회는 오늘 " * 15)
    assert caught.value.key == "too_long_to_draw"


def test_every_text_has_both_languages():
    assert all(len(pair) == 2 and all(pair) for pair in [*TEXTS.values(), *LABELS.values()])


def test_code_from_the_hub_needs_a_commit(monkeypatch):
    asked = []

    def opened(name, **options):
        asked.append((name, options["trust_remote_code"]))
        raise OSError("not there")

    monkeypatch.setattr(AutoModelForMaskedLM, "from_pretrained", opened)
    for given in ("org/xpt-ko", "org/xpt-ko@main", "org/xpt-ko@" + "a" * 40):
        with pytest.raises(OperatorError, match="not there"):
            Checkpoint(given)
    assert asked == [("org/xpt-ko", False), ("org/xpt-ko", False), ("org/xpt-ko", True)]


def test_a_pickle_is_not_opened(xpt_checkpoint, tmp_path):
    folder = shutil.copytree(xpt_checkpoint, tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(OperatorError, match="pickled"):
        Checkpoint(str(folder))


def test_what_visitors_type_is_text_not_markup():
    evil = "<script>\"'&"
    shown = bars([(evil, 0.5)], 1.0) + heat_map([evil], [[1.0]], 1.0) + problem(evil)
    assert "<script" not in shown and "&lt;script&gt;&quot;" in shown


def test_the_readme_of_the_space_quotes_stored_results_and_pinned_versions():
    text = (REPO / "space" / "README.md").read_text("utf-8")
    pinned = dict(line.split("==") for line in (REPO / "constraints.txt").read_text().split() if "==" in line)
    assert f"sdk_version: {pinned['gradio']}\n" in text
    setup = (REPO / "setup.cfg").read_text()
    for line in (REPO / "space" / "requirements.txt").read_text().split():
        assert f"    {line}\n" in setup, line
    latency = json.loads((REPO / "docs" / "results" / "space.json").read_text("utf-8"))
    assert f"{1000 * latency['median_seconds']:.0f} ms (median of {latency['requests']})" in text
    assert latency["command"] in text and latency["median_seconds"] < 1
    nearest = json.loads((REPO / "experiments" / "nearest_words" / "result.json").read_text("utf-8"))
    for name, one in nearest["checkpoints"].items():
        row = f"| {name} | {one['median_rank']:,.0f} of {nearest['words']:,} | {one['in_first_ten']} |"
        assert row in text, name


# ---- in a browser ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium in the system")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def python_with_gradio(tmp_path_factory):
    """An environment upon this one: gradio wants an older Pillow, which is not to be forced on this one."""
    folder = tmp_path_factory.mktemp("space") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    (site / "parent.pth").write_text(f"{sysconfig.get_path('purelib')}\n{REPO}\n")
    wanted = next(
        line for line in (REPO / "constraints.txt").read_text().split() if line.startswith("gradio==")
    )
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    done = subprocess.run([*pip, "-c", str(REPO / "constraints.txt"), wanted], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(python)


@pytest.fixture(scope="module")
def address(python_with_gradio, xpt_checkpoint, tmp_path_factory):
    judges = tmp_path_factory.mktemp("judges")
    tokenizer = AutoTokenizer.from_pretrained(xpt_checkpoint)
    for name, labels in (("nli", ("entailment", "contradiction", "neutral")), ("ynat", ("정치", "스포츠"))):
        model = AutoModelForSequenceClassification.from_pretrained(
            xpt_checkpoint, trust_remote_code=True, num_labels=len(labels), id2label=dict(enumerate(labels))
        )
        model.save_pretrained(judges / name)
        tokenizer.save_pretrained(judges / name)
    options = [
        "--model",
        str(xpt_checkpoint),
        "--compare",
        str(xpt_checkpoint),
        "--compare_title",
        "이전|before",
    ]
    options += ["--nli", str(judges / "nli"), "--ynat", str(judges / "ynat")]
    with serve(options, python_with_gradio) as url:
        yield url


@pytest.fixture(params=[(1100, 800), (360, 740)], ids=["desktop", "phone"])
def page(browser, address, request):
    width, height = request.param
    opened = browser.new_page(viewport={"width": width, "height": height})
    opened.set_default_timeout(30_000)
    opened.goto(address)
    opened.wait_for_selector("#fill-button")
    yield opened
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it scrolls sideways"
    opened.close()


def open_tab(page, key):
    """Open a tab; on a narrow screen those that do not fit stand in a menu."""
    label = say(key, "ko")
    tab = page.get_by_role("tab", name=label, exact=True)
    if not tab.is_visible():
        page.locator(".overflow-menu > button:visible").click()
        tab = page.locator(".overflow-dropdown").get_by_text(label, exact=True)
    tab.click()


@pytest.mark.slow
def test_a_visitor_fills_a_blank_in_both_languages(page, checkpoint):
    page.fill("#fill-text textarea", SENTENCE)
    page.click("#fill-button")
    page.wait_for_selector("#fill-result .xpt-bar")
    [expected] = checkpoint.fill(SENTENCE)
    pieces = [piece for piece, _ in expected]
    assert page.locator("#fill-result dt").all_inner_texts() == [*pieces, *pieces]
    assert page.locator("#fill-result h3").first.inner_text() == "이전"
    widths = [box["width"] for box in map(lambda bar: bar.bounding_box(), page.locator(".xpt-bar").all())]
    assert widths[:5] == sorted(widths[:5], reverse=True) and widths[0] > 40
    page.get_by_label("English", exact=True).click()
    page.wait_for_function("document.querySelector('#fill-result h3').innerText == 'before'")
    assert page.locator("#fill-button").inner_text() == say("fill_button", "en")
    assert page.input_value("#fill-text textarea") == SENTENCE


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "key"), [("", "empty"), ("국회는 <b>오늘</b>", "no_mask")])
def test_a_visitor_is_told_what_is_wrong(page, typed, key):
    page.fill("#fill-text textarea", typed)
    page.click("#fill-button")
    page.wait_for_selector("#fill-result [role=alert]")
    assert page.locator("#fill-result [role=alert]").inner_text() == say(key, "ko")
    page.get_by_label("English", exact=True).click()
    page.get_by_text(say(key, "en")).wait_for()


@pytest.mark.slow
def test_a_visitor_sees_attention_and_judgments(page, checkpoint):
    open_tab(page, "attention_tab")
    page.fill("#attention-text textarea", "국회는 <i> 오늘")
    page.click("#attention-button")
    page.wait_for_selector("#attention-result .xpt-heat")
    tokens, _ = checkpoint.attention("국회는 <i> 오늘")
    maps = page.locator("#attention-result .xpt-heat")
    assert maps.count() == 4
    assert maps.first.locator("tbody th").all_inner_texts() == tokens
    assert maps.first.locator("tbody td").count() == len(tokens) ** 2
    for name, labels in (("nli", {"함의", "모순", "중립"}), ("topic", {"정치", "스포츠"})):
        open_tab(page, f"{name}_tab")
        page.click(f"#{name}-button")
        page.wait_for_selector(f"#{name}-result .xpt-bar")
        assert set(page.locator(f"#{name}-result dt").all_inner_texts()) == labels
