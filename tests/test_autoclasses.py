"""Any head's checkpoint through every Auto class, in a new process that has nothing but the folder."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from alone import WITHOUT_THE_PACKAGE, run_alone
from tiny_models import BACKBONE, CLASSIFIER, HEADS, KINDS, MASKED, SHAPE, make
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel
from transformers.dynamic_module_utils import get_imports, get_relative_imports

import configuration_trelm
import configuration_xpt
import modeling_trelm
import modeling_xpt
from configuration_xpt import AUTO_MAP

AUTO_CLASSES = [name for name in AUTO_MAP if name != "AutoConfig"]
both = pytest.mark.parametrize("kind", KINDS)
LABELS = {number: f"label {number}" for number in range(7)}

# Put before each script: the repository, installed for these tests, is made unfindable.

LOAD_ALL = """
import json, torch, transformers
from pathlib import Path
ids = torch.tensor([[0, 5, 6, 7, 2], [0, 8, 2, 1, 1]])
keys = json.loads(sys.argv[2])
report = {}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    for name in sys.argv[3:]:
        batch = ids[:, None].repeat(1, 3, 1) if "MultipleChoice" in name else ids
        runs = []
        for _ in range(2):
            torch.manual_seed(7)
            model = getattr(transformers, name).from_pretrained(str(folder), trust_remote_code=True)
            assert type(model).__module__.startswith("transformers_modules."), type(model).__module__
            with torch.no_grad():
                runs.append((model(batch, attention_mask=batch.ne(1))[0], model.state_dict()))
        (output, weights), (output_again, weights_again) = runs
        assert output.isfinite().all() and torch.equal(output, output_again)
        assert all(torch.equal(tensor, weights_again[key]) for key, tensor in weights.items())
        assert max(tensor.abs().max() for tensor in weights.values()) < 6
        backbone = getattr(model, "roberta", model)
        assert backbone.embeddings.position_ids.tolist() == [list(range(40))]
        assert not backbone.embeddings.token_type_ids.any()
        loaded = [float(backbone.state_dict()[key].double().sum()) for key in keys]
        line = [type(model).__name__, list(output.shape), loaded, model.config.num_labels]
        report[f"{folder.name} {name}"] = line
print(json.dumps(report))
"""


def save_all(folder, kind):
    """One checkpoint of each class, all different, in folders that hold nothing else."""
    for name, head in KINDS[kind].items():
        model = make(head, id2label=LABELS, label2id={v: k for k, v in LABELS.items()})
        for parameter in model.parameters():
            parameter.data += 0.01 * (HEADS.index(name) + 1)
        model.save_pretrained(folder / name)


OWN_TENSORS = {
    "xpt": ("itl_in.0.output.dense.weight", "itl_out.0.output.dense.bias"),
    "trelm": ("tri.output.dense.weight", "language_embeddings.weight"),
}


@both
def test_every_checkpoint_through_every_auto_class(kind, tmp_path):
    save_all(tmp_path / "saved", kind)
    keys = ["embeddings.word_embeddings.weight", *OWN_TENSORS[kind]]
    script = WITHOUT_THE_PACKAGE + LOAD_ALL
    report, _ = run_alone(script, tmp_path, tmp_path / "saved", json.dumps(keys), *AUTO_CLASSES)
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
        original = KINDS[kind][folder].from_pretrained(tmp_path / "saved" / folder)
        weights = getattr(original, "roberta", original).state_dict()
        sums = [float(weights[key].double().sum()) for key in keys]
        for name in AUTO_CLASSES:
            own = KINDS[kind][AUTO_MAP[name].split(".")[1]].__name__
            wanted = [own, shapes[name], pytest.approx(sums), 7]
            assert report[f"{folder} {name}"] == wanted, (folder, name)


USE = """
import json, torch, transformers
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, pipeline
from pathlib import Path
folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
try:
    AutoModel.from_pretrained(folder, trust_remote_code=False)
    refused = False
except ValueError as error:
    refused = "trust_remote_code" in str(error)
fill = pipeline("fill-mask", model=folder, trust_remote_code=True)
fills = fill("w1 <mask> w2")
model = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True)
model.save_pretrained(folder + "-again")
tokenizer.save_pretrained(folder + "-again")
again = pipeline("fill-mask", model=folder + "-again", trust_remote_code=True)("w1 <mask> w2")
files = sorted(file.name for file in Path(folder + "-again").glob("*.py"))
print(json.dumps([refused, sorted(tokenizer("w1")), len(fills), fills == again, files]))
"""


@both
def test_fill_mask_pipeline_tokenizer_and_saving_again(kind, tmp_path):
    words = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, **{f"w{n}": n for n in range(4, 59)}, "<mask>": 59}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in names.items()},
    )
    make(KINDS[kind][MASKED]).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    result, messages = run_alone(WITHOUT_THE_PACKAGE + USE, tmp_path, tmp_path / "model")
    codes = sorted(f"{part}_{one}.py" for part in ("configuration", "modeling") for one in {"xpt", kind})
    assert result == [True, ["attention_mask", "input_ids"], 5, True, codes]
    assert "not supported for" not in messages


BOTH = """
import json, sys, transformers
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM
from transformers.dynamic_module_utils import get_class_from_dynamic_module
folder, kind, backbone, names = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
def module(auto, folder=folder, **arguments):
    return type(getattr(transformers, auto).from_pretrained(folder, **arguments)).__module__.split(".")[0]
before = module("AutoModel", trust_remote_code=True)
__import__(f"modeling_{kind}")
# Another checkpoint's copy of the code, which runs after the package's own.
get_class_from_dynamic_module(f"modeling_{kind}.{backbone}", folder + "-other")
for name in names:  # whose code is used here differs among versions of transformers
    module(name, trust_remote_code=True)
after = [module(name) for name in names]
config = type(AutoConfig.from_pretrained(folder)).__module__
print(json.dumps([before, sorted(set(after)), len(after), config]))
"""


@both
def test_installed_package_needs_no_remote_code_and_keeps_its_place(kind, tmp_path):
    for name in ("model", "model-other"):
        make(KINDS[kind][MASKED]).save_pretrained(tmp_path / name)
    root = Path(modeling_xpt.__file__).parent
    script = f"import sys; sys.path.append({str(root)!r})\n" + BOTH
    backbone = KINDS[kind][BACKBONE].__name__
    result, _ = run_alone(script, tmp_path, tmp_path / "model", kind, backbone, *AUTO_CLASSES)
    assert result == ["transformers_modules", [f"modeling_{kind}"], 6, f"configuration_{kind}"]


def test_code_files_ask_for_nothing_but_each_other():
    assert get_imports(modeling_xpt.__file__) == ["torch", "transformers", "typing"]
    assert get_relative_imports(modeling_xpt.__file__) == ["configuration_xpt"]
    assert get_imports(configuration_xpt.__file__) == ["transformers", "typing"]
    assert get_relative_imports(configuration_xpt.__file__) == []
    assert get_imports(modeling_trelm.__file__) == ["torch", "transformers", "typing"]
    named = {"configuration_trelm", "configuration_xpt", "modeling_xpt"}
    assert set(get_relative_imports(modeling_trelm.__file__)) == named
    assert get_imports(configuration_trelm.__file__) == ["typing"]
    assert set(get_relative_imports(configuration_trelm.__file__)) == {"configuration_xpt"}


@both
def test_what_a_stock_checkpoint_lacks_is_drawn_from_the_seed(kind, tmp_path):
    RobertaModel(RobertaConfig(**SHAPE)).save_pretrained(tmp_path)
    loaded = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        loaded.append(KINDS[kind][CLASSIFIER].from_pretrained(tmp_path).state_dict())
    for name, tensor in loaded[0].items():
        assert torch.equal(tensor, loaded[1][name])
        new = any(part in name for part in ("itl_", "tri.", "language_", "classifier"))
        if name.endswith("bias") and new:
            assert not tensor.any()
        elif "LayerNorm.weight" in name and new:
            assert torch.equal(tensor, torch.ones_like(tensor))
        else:
            assert torch.equal(tensor, loaded[2][name]) != (new and tensor.dim() == 2)
            assert 0.1 < tensor.std() < 0.3 or tensor.dim() == 1
    assert transformers.AutoModel.from_pretrained(tmp_path).__class__ is RobertaModel
