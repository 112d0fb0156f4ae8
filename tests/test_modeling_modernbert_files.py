"""An XPT model of a ModernBERT from its folder, in a new process that has nothing else."""

import json
from pathlib import Path

import pytest
import torch
from alone import WITHOUT_THE_PACKAGE, run_alone
from tiny_modernberts import CLASSES, HEADS, make_stock, make_xpt, shaken
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.dynamic_module_utils import get_imports, get_relative_imports

import configuration_xpt_modernbert
import modeling_xpt_modernbert
from configuration_xpt_modernbert import AUTO_MAP
from modeling_xpt_modernbert import XPTModernBertForMaskedLM, XPTModernBertForSequenceClassification

AUTO_CLASSES = [name for name in AUTO_MAP if name != "AutoConfig"]
CODE = {f"{part}_{end}.py" for part in ("configuration", "modeling") for end in ("xpt", "xpt_modernbert")}
LABELS = {number: f"label {number}" for number in range(7)}

LOAD_ALL = """
import json, torch, transformers
from pathlib import Path
ids = torch.tensor([[0, 5, 6, 7, 2], [0, 8, 2, 1, 1]])
report = {}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    for name in sys.argv[2:]:
        batch = ids[:, None].repeat(1, 3, 1) if "MultipleChoice" in name else ids
        torch.manual_seed(7)
        model = getattr(transformers, name).from_pretrained(str(folder), trust_remote_code=True)
        assert type(model).__module__.startswith("transformers_modules."), type(model).__module__
        with torch.no_grad():
            output = model(batch, attention_mask=batch.ne(1).long())[0]
            backbone = getattr(model, "model", model)
            states = backbone(ids, attention_mask=ids.ne(1)).last_hidden_state
        assert output.isfinite().all()
        report[f"{folder.name} {name}"] = [type(model).__name__, list(output.shape), states[0].tolist()]
print(json.dumps(report))
"""


def test_every_checkpoint_through_every_auto_class(tmp_path):
    expected = {}
    for number, (name, head) in enumerate(CLASSES.items()):
        model = make_xpt(head, "sdpa", id2label=LABELS, label2id={v: k for k, v in LABELS.items()})
        shaken(model, seed=number).save_pretrained(tmp_path / "saved" / name)
        saved = json.loads((tmp_path / "saved" / name / "config.json").read_text())
        assert saved["model_type"] == "xpt-modernbert" and saved["auto_map"] == AUTO_MAP
        files = {file.name for file in (tmp_path / "saved" / name).iterdir()}
        assert files == {"config.json", "model.safetensors", *CODE}
        ids = torch.tensor([[0, 5, 6, 7, 2], [0, 8, 2, 1, 1]])
        with torch.no_grad():
            backbone = getattr(model, "model", model)
            expected[name] = backbone(ids, attention_mask=ids.ne(1)).last_hidden_state[0]
    script = WITHOUT_THE_PACKAGE + LOAD_ALL
    report, _ = run_alone(script, tmp_path, tmp_path / "saved", *AUTO_CLASSES)
    shapes = {
        "AutoModel": [2, 5, 32],
        "AutoModelForMaskedLM": [2, 5, 60],
        "AutoModelForSequenceClassification": [2, 7],
        "AutoModelForTokenClassification": [2, 5, 7],
        "AutoModelForQuestionAnswering": [2, 5],
        "AutoModelForMultipleChoice": [2, 3],
    }
    assert len(report) == 36
    for folder in HEADS:
        for name in AUTO_CLASSES:
            kind, shape, states = report[f"{folder} {name}"]
            assert [kind, shape] == [AUTO_MAP[name].split(".")[1], shapes[name]], (folder, name)
            torch.testing.assert_close(torch.tensor(states), expected[folder], rtol=0, atol=1e-5)


USE = """
import json, torch
from pathlib import Path
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, pipeline
folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
try:
    AutoModel.from_pretrained(folder, trust_remote_code=False)
    refused = False
except ValueError as error:
    refused = "trust_remote_code" in str(error)
fills = pipeline("fill-mask", model=folder, trust_remote_code=True)("w1 <mask> w2")
model = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True)
model.save_pretrained(folder + "-again")
tokenizer.save_pretrained(folder + "-again")
again = pipeline("fill-mask", model=folder + "-again", trust_remote_code=True)("w1 <mask> w2")
files = sorted(file.name for file in Path(folder + "-again").glob("*.py"))
print(json.dumps([refused, len(fills), fills == again, files]))
"""


def test_fill_mask_pipeline_and_saving_again(tmp_path):
    words = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, **{f"w{n}": n for n in range(4, 59)}, "<mask>": 59}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in names.items()},
    )
    make_xpt().save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    result, messages = run_alone(WITHOUT_THE_PACKAGE + USE, tmp_path, tmp_path / "model")
    assert result == [True, 5, True, sorted(CODE)]
    assert "not supported for" not in messages


INSTALLED = """
import json, sys, transformers
sys.path.append(sys.argv[2])
import modeling_xpt_modernbert
modules = {type(getattr(transformers, name).from_pretrained(sys.argv[1])).__module__ for name in sys.argv[3:]}
print(json.dumps(sorted(modules)))
"""


def test_installed_package_needs_no_remote_code(tmp_path):
    make_xpt().save_pretrained(tmp_path / "model")
    root = Path(modeling_xpt_modernbert.__file__).parent
    result, _ = run_alone(INSTALLED, tmp_path, tmp_path / "model", root, *AUTO_CLASSES)
    assert result == ["modeling_xpt_modernbert"]


def test_code_files_ask_for_nothing_but_each_other():
    assert get_imports(modeling_xpt_modernbert.__file__) == ["copy", "torch", "transformers", "typing"]
    named = {"configuration_xpt", "configuration_xpt_modernbert", "modeling_xpt"}
    assert set(get_relative_imports(modeling_xpt_modernbert.__file__)) == named
    assert get_imports(configuration_xpt_modernbert.__file__) == ["transformers", "typing"]
    assert get_relative_imports(configuration_xpt_modernbert.__file__) == []


@pytest.mark.parametrize("kind", [XPTModernBertForMaskedLM, XPTModernBertForSequenceClassification])
def test_what_a_stock_checkpoint_lacks_is_drawn_from_the_seed(kind, tmp_path):
    make_stock().save_pretrained(tmp_path)
    loaded = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        loaded.append(kind.from_pretrained(tmp_path).state_dict())
    for name, tensor in loaded[0].items():
        assert torch.equal(tensor, loaded[1][name])
        new = ".itl_" in name or "classifier" in name
        if new and "norm" in name:
            assert torch.equal(tensor, torch.ones_like(tensor))
        elif new and name.endswith("bias"):
            assert not tensor.any()
        else:
            assert torch.equal(tensor, loaded[2][name]) != new
            assert not new or 0.01 < tensor.std() < 0.3
