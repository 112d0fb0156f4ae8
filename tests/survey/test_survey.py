"""The survey: every fact has a source; it is filtered and shown as asked; the page and the wheel have it."""

import csv
import io
import json
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.util import module_from_spec, spec_from_file_location

import pytest
import wcwidth
from hypothesis import given, settings
from hypothesis import strategies as st
from places import REPO

from xpt.command import main
from xpt.finetune.klue.published import read_published
from xpt.program.errors import XPTError
from xpt.program.formatting import LINE_WIDTH
from xpt.survey.models import KINDS, STRENGTHS, Model, read_survey
from xpt.survey.selection import Selection
from xpt.survey.tables import as_table

SURVEY = read_survey()
NAMED = (  # in the survey's two tables, and since
    "korbert kobert kalbert hanbert distilkobert kogpt2 koelectra-base-v3 kcbert-base kr-bert kobart "
    "korealbert ke-t5-base kcelectra-base kogpt-trinity hyperclova kb-albert kobigbird klue-bert kogpt "
    "et5 exaone mbert xlm xlm-r-base xlm-k alm infoxlm xlm-e unicoder xlm-align gpt-3 mbart-cc25 mass "
    "xnlg mt5-base veco mt6 polyglot-ko-1.3b polyglot-ko-3.8b polyglot-ko-5.8b polyglot-ko-12.8b "
    "ax-encoder kf-deberta komodernbert modernbert-korean-large kure mdeberta-kor mmbert-base"
).split()


def written(path, models: str):
    path.write_text(
        f"sources:\n  a: {{title: A, strength: card}}\nmodels:\n  one:\n{models}\n", encoding="utf-8"
    )
    return path


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("    vocabulary: 32000", "one: vocabulary is no source"),
        ("    b: {vocabulary: 32000}", "one: b is no source"),
        ("    a: {vocabulry: 32000}", "one: vocabulry is none of"),
    ],
)
def test_a_fact_without_a_source_is_refused(entry, told, tmp_path):
    with pytest.raises(XPTError, match=told):
        read_survey(written(tmp_path / "models.yaml", entry))


def test_the_survey_is_whole():
    assert set(NAMED) <= set(SURVEY.models)
    text = (REPO / "xpt" / "survey" / "models.yaml").read_text("utf-8")
    names = re.findall(r"^  ([\w.-]+):$", text.partition("\nmodels:")[2], re.MULTILINE)
    assert names == list(SURVEY.models), "no name stands there twice"
    used = {
        fact.source.key
        for model in SURVEY.models.values()
        for facts in model.facts.values()
        for fact in facts
    }
    assert used == set(SURVEY.sources)
    hub = [model.value("hub") for model in SURVEY.models.values() if model.value("hub")]
    assert len(hub) == len(set(hub)) and all(re.fullmatch(r"[\w.-]+/[\w.-]+", one) for one in hub)
    for model in SURVEY.models.values():
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", model.name) and model.value("title")
        for field, facts in model.facts.items():
            for fact in facts:
                assert fact.source.strength in STRENGTHS
                kind = {"vocabulary": int, "parameters": int, "positions": int, "year": int, "load": dict}
                expected = (kind.get(field, str), list) if field == "objective" else kind.get(field, str)
                assert fact.value == "undisclosed" or isinstance(fact.value, expected), (model.name, field)
        assert model.value("kind") in (*KINDS, None)


def test_figures_are_those_of_their_sources():
    """Some of each kind, typed here from the sources once more."""
    for name, field, value in (
        ("kogpt", "parameters", 6_166_502_400),
        ("polyglot-ko-12.8b", "parameters", 12_898_631_680),
        ("klue-bert", "parameters", 111_000_000),
        ("kcbert-base", "positions", 300),
        ("albert-kor", "positions", 256),
        ("kobert", "vocabulary", 8002),
        ("distilkobert", "vocabulary", 8002),
        ("hyperclova", "tokenizer", "undisclosed"),
        ("korbert", "positions", None),
    ):
        assert SURVEY.models[name].value(field) == value, (name, field)
    assert SURVEY.models["ke-t5-base"].gigabytes == pytest.approx(92.02 * 1.073741824)
    assert SURVEY.models["hyperclova"].gigabytes is None
    assert [fact.value for fact in SURVEY.models["distilkobert"].facts["vocabulary"]] == [8002, 30522]


@given(
    st.builds(
        Selection,
        name=st.sampled_from([None, "klue", "*-base", "KCBERT-?a*"]),
        kind=st.sampled_from([None, *KINDS]),
        objective=st.sampled_from([None, "mlm", "RTD"]),
        language=st.sampled_from([None, "ko", "en", "multilingual"]),
        from_year=st.none() | st.integers(2018, 2026),
        to_year=st.none() | st.integers(2018, 2026),
        max_parameters=st.none() | st.integers(10**7, 10**9),
    )
)
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
def test_each_filter_takes_away_and_all_of_them_leave_what_each_leaves(selection):
    asked = {name: value for name, value in vars(selection).items() if value is not None}
    models = list(SURVEY.models.values())
    alone = [set(map(_name, Selection(**{name: value}).of(models))) for name, value in asked.items()]
    assert set(map(_name, selection.of(models))) == set(SURVEY.models).intersection(*alone)


def _name(model: Model) -> str:
    return model.name


@pytest.mark.parametrize(
    ("asked", "inside", "outside"),
    [
        ({"kind": "decoder"}, {"kogpt2", "polyglot-ko-1.3b"}, {"klue-bert", "kobart"}),
        ({"objective": "rtd"}, {"koelectra-base"}, {"klue-bert"}),
        ({"language": "en"}, {"ke-t5-base", "ax-encoder"}, {"klue-bert", "mbert"}),
        (
            {"from_year": 2022, "to_year": 2022},
            {"polyglot-ko-1.3b"},
            {"klue-bert", "polyglot-ko-12.8b", "xlm"},
        ),
        ({"max_parameters": 100_000_000}, {"kobert", "et5"}, {"klue-bert", "koelectra-base", "kalbert"}),
        ({"name": "klue"}, {"klue-bert", "klue-roberta-large"}, {"kobert"}),
        ({"name": "k*bert"}, {"klue-bert", "kobert"}, {"kcbert-base"}),
    ],
)
def test_filters_mean_what_they_say(asked, inside, outside):
    found = set(map(_name, Selection(**asked).of(SURVEY.models.values())))
    assert inside <= found and not outside & found


def test_what_the_command_shows(capsys):
    def shown(*words):
        assert main(["models", *words]) == 0
        return capsys.readouterr().out

    lines = shown().splitlines()
    assert [line.split()[0] for line in lines[1 : len(SURVEY.models) + 1]] == list(SURVEY.models)
    assert max(map(wcwidth.width, lines)) <= LINE_WIDTH
    rows = list(csv.DictReader(io.StringIO(shown("--format", "csv", "--name", "kogpt"))))
    assert {
        "model": "kogpt",
        "field": "parameters",
        "value": "6166502400",
        "source": "kogpt_readme",
    }.items() <= next(row for row in rows if row["model"] == "kogpt" and row["field"] == "parameters").items()
    assert all(row["source"] in SURVEY.sources and row["where"] for row in rows)
    content = json.loads(shown("--format", "json", "hanbert"))
    assert content["models"]["hanbert"]["vocabulary"] == [{"value": 54000, "source": "survey"}]
    assert content["sources"]["survey"]["strength"] == "secondary"
    full = shown("distilkobert")
    for part in ("8,002 [inference]", "  but also", "30,522 [survey]", "Not known to us: tokens it reads"):
        assert part in full
    assert shown("monologg/distilkobert") == full
    assert "| `kalbert` | encoder [1]" in shown("--name", "kalbert", "--format", "markdown")
    assert "undisclosed [1]" in shown("--name", "kalbert", "--format", "markdown")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["klu-bert"], "klu-bert: no model of the survey; did you mean klue-bert"),
        (["nothing-like-it-at-all"], "no model of the survey; xpt models lists all"),
        (["--kind", "coder"], "invalid choice: 'coder'"),
        (["--max_parameters", "many"], "'many' is no count; give one such as 350M"),
        (["--from_year", "2040"], "no model of the survey is so; leave out an option"),
        (["kobert", "--kind", "encoder"], "not both"),
        (["--kin", "encoder"], "unrecognized arguments: --kin"),
    ],
)
def test_a_mistake_is_one_line(words, told, capsys):
    assert main(["models", *words]) == 2
    said = capsys.readouterr()
    assert told in said.err and said.err.startswith("error: ") and said.err.count("\n") == 1 and not said.out


def test_wide_letters_stand_in_columns():
    model = SURVEY.models["klue-bert"]
    korean = Model("한국어-모델", model.facts)
    places = [
        wcwidth.width(line[: line.index("encoder")]) for line in as_table([model, korean]).splitlines()[1:3]
    ]
    assert places[0] == places[1]


def test_listing_imports_nothing_slow():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "xpt.command", "models"],
        cwd=REPO,
        capture_output=True,
        text=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "yaml" in imported
    assert not imported & {"torch", "transformers", "numpy", "matplotlib"}


def test_the_page_and_the_wheel_have_the_file():
    sys.path.append(str(REPO / "docs"))
    specification = spec_from_file_location("models_page", REPO / "docs" / "models_page.py")
    page = module_from_spec(specification)
    specification.loader.exec_module(page)
    text = page.MODELS.read_text("utf-8")
    assert page.rendered(text) == text and page.PICTURE.exists(), "run python docs/render.py"
    assert page.rendered(text.replace(page.END, f"| more |\n{page.END}")) == text
    assert all(f"| `{name}` | " in text for name in SURVEY.models)
    setup = ConfigParser(interpolation=None)
    setup.read(REPO / "setup.cfg")
    assert "survey/models.yaml" in setup["options.package_data"]["xpt"].split()


def test_models_that_the_benchmark_reports_are_in_the_survey():
    published = next(iter(read_published().values()))
    known = {"mBERT-base": "mbert", "XLM-R-base": "xlm-r-base", "XLM-R-large": "xlm-r-large"}
    known |= {"KR-BERT-base": "kr-bert", "koELECTRA-base": "koelectra-base-v3", "KLUE-BERT-base": "klue-bert"}
    for name in published:
        assert known.get(name, name.lower()) in SURVEY.models, name
