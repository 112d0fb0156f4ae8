"""What a checkpoint's code may touch, what is never written or read, what strangers' files cannot do."""

import ast
import json
import pickletools

import pytest
from klue_models import make_checkpoint
from klue_runs import fine_tune
from places import REPO
from tiny_models import HEADS, make
from tiny_sources import random_source

import modeling_xpt
from xpt.program.errors import XPTError
from xpt.release.native import export_native, main
from xpt.text.tokenizer import load_tokenizer, save_tokenizer
from xpt.transplant.source import open_source

HUB_CODE = ("configuration_xpt.py", "modeling_xpt.py")
ALLOWED = {"typing", "torch", "transformers", "configuration_xpt"}
DANGEROUS_CALLS = {"eval", "exec", "compile", "open", "__import__", "input", "breakpoint"}
PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
OUR_CODE = [*(REPO / "xpt").rglob("*.py"), *(REPO / name for name in HUB_CODE)]
OUR_CODE += [REPO / "train_xpt.py", REPO / "finetune_klue.py"]


def imported(tree):
    """(top module, names) of every import in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], [alias.name]
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0], [alias.name for alias in node.names]


def calls(tree):
    """Dotted names of everything that is called, with the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("name", HUB_CODE)
def test_code_that_travels_imports_and_calls_an_allow_list(name):
    tree = ast.parse((REPO / name).read_text(encoding="utf-8"))
    modules = [module for module, _ in imported(tree)]
    assert modules and set(modules) <= ALLOWED
    called = {function for function, _ in calls(tree)}
    assert called and not called & DANGEROUS_CALLS
    assert not {call for call in called if call.startswith(("torch.load", "torch.hub", "torch.save"))}
    plain = {"__init__", "__post_init__", "__setattr__", "__dataclass_fields__"}
    hidden = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {name for name in hidden if name.startswith("__")} <= plain


def test_no_file_of_ours_reads_or_writes_a_pickle():
    assert len(OUR_CODE) > 90
    for path in OUR_CODE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for module, names in imported(tree):
            # The name of an error that a refused pickle raises is no way to read one.
            assert module not in PICKLERS or names == ["UnpicklingError"], path
        for function, call in calls(tree):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert function not in ("torch.load", "torch.save", "torch.hub.load"), path
            assert given.get("allow_pickle", "False") == "False", path
            assert given.get("weights_only", "True") == "True", path
            assert given.get("safe_serialization", "True") == "True", path
            if function in ("np.load", "numpy.load"):
                assert given.get("allow_pickle", "False") == "False", path


def test_remote_code_is_never_trusted_by_ours():
    given = []
    for path in OUR_CODE:
        for _, call in calls(ast.parse(path.read_text(encoding="utf-8"))):
            given += [ast.unparse(k.value) for k in call.keywords if k.arg == "trust_remote_code"]
    assert given and set(given) == {"False"}


def is_pickle(content: bytes) -> bool:
    """Whether bytes are a whole pickle, or a zip, in which torch hides one."""
    if content.startswith(b"PK\x03\x04"):
        return True
    try:
        list(pickletools.genops(content))
        return content[:1] == b"\x80"
    except Exception:
        return False


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_saved_folders_hold_no_pickle_and_no_attention_implementation(
    name, implementation, tmp_path, tiny_tokenizer
):
    folder = tmp_path / "xpt"
    make(getattr(modeling_xpt, name), implementation=implementation).save_pretrained(folder)
    save_tokenizer(tiny_tokenizer, folder)
    export_native(folder, tmp_path / "native")
    for place in (folder, tmp_path / "native"):
        config = (place / "config.json").read_text()
        assert "attn_implementation" not in config and "use_kernels" not in config
        files = [path for path in place.rglob("*") if path.is_file()]
        assert len(files) >= 4 and not [path for path in files if is_pickle(path.read_bytes())]


EVIL = "from pathlib import Path\nPath({!r}).write_text('ran')\nclass Own: pass\n"


def booby_trapped(folder, mark):
    """Put code into a folder and name it in every place that some version of transformers runs it from."""
    (folder / "evil.py").write_text(EVIL.format(str(mark)))
    names = ("AutoConfig", "AutoModel", "AutoModelForMaskedLM", "AutoTokenizer")
    entry = {**{name: "evil.Own" for name in names}, "AutoTokenizer": ["evil.Own", "evil.Own"]}
    for file in ("config.json", "tokenizer_config.json"):
        path = folder / file
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**content, "auto_map": entry}))


@pytest.mark.parametrize("family", ["roberta", "bert", "xpt-roberta"])
def test_a_source_cannot_run_code(family, tmp_path, tiny_tokenizer):
    folder, mark = random_source(tmp_path / "source", family), tmp_path / "mark"
    save_tokenizer(tiny_tokenizer, folder)
    booby_trapped(folder, mark)
    try:
        open_source(folder)
        assert family == "xpt-roberta"  # names our own code, and the installed one is used instead
    except XPTError as error:
        assert "code of its own (auto_map), which is not run" in str(error)
    assert load_tokenizer(folder).get_vocab() == tiny_tokenizer.get_vocab()
    main([str(folder), str(tmp_path / "out")])
    main([str(folder), str(tmp_path / "out2"), "--reverse", "true"])
    assert not mark.exists()


def test_a_pickle_in_a_source_is_not_opened(tmp_path):
    folder = random_source(tmp_path / "source", "roberta")
    (folder / "model.safetensors").unlink()
    bomb = f"cpathlib\nPath\n(V{tmp_path / 'mark'}\ntR.".encode()  # calls Path(...) when opened
    (folder / "pytorch_model.bin").write_bytes(bomb)
    with pytest.raises(XPTError, match="is a pickle, which can run any code and is not opened"):
        open_source(folder)


def test_tokens_are_in_no_error_and_no_command(monkeypatch, tmp_path, capsys):
    from xpt.program.environment import describe_command

    secret = "hf_" + "SecretSecretSecretSecretSecretSe"
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(variable, secret)
    given = [["--hub_token", secret], [f"--hub_token={secret}"]]
    for flags in given:
        assert secret not in describe_command("train_xpt.py", flags)
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "out")]) == 2
    import train_xpt

    assert train_xpt.main(["--hub_token", secret]) == 2
    printed = capsys.readouterr()
    assert "error: " in printed.err and secret not in printed.err + printed.out


def test_a_run_leaves_no_token_behind(monkeypatch, tmp_path, capsys):
    """Logged in, with a token in the environment, and asked for things that fail."""
    secret = "hf_" + "SecretSecretSecretSecretSecretSe"
    monkeypatch.setenv("HF_TOKEN", secret)
    source, output = make_checkpoint("xpt", tmp_path / "source"), tmp_path / "out"
    assert fine_tune(source, output, num_train_epochs=1) == 0
    assert fine_tune(source, output, num_train_epochs=2) == 2
    assert fine_tune(tmp_path / "nowhere", tmp_path / "none") == 2
    printed = capsys.readouterr()
    assert "accuracy" in printed.out and "nowhere" in printed.err
    assert secret not in printed.out + printed.err
    files = [path for path in output.rglob("*") if path.is_file()]
    assert {"results.json", "log.jsonl", "report.html"} <= {path.name for path in files}
    assert not [path for path in files if secret.encode() in path.read_bytes()]
