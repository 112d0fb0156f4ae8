"""Publishing, against a Hub on the loopback device that the unmodified clients take for the real one."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from alone import WITHOUT_THE_PACKAGE
from hub_server import LoopbackHub, User
from klue_runs import fine_tune
from packaging.version import Version
from places import REPO
from safetensors.torch import load, load_file, save_file
from tiny_decoders import decoder_source
from tiny_models import make
from tiny_modernberts import make_stock
from tiny_runs import run
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
    set_seed,
)

import modeling_xpt
from xpt.finetune.saving import load_fine_tuned
from xpt.program.errors import XPTError
from xpt.release.hub import PushOptions, main, push
from xpt.release.native import export_native
from xpt.release.publishing import Publisher
from xpt.release.verification import same_outputs
from xpt.text.tokenizer import save_tokenizer

OWNER, READER, STRANGER = (f"hf_{letter * 34}" for letter in "ors")
BASE, TAG = "org/xpt-ko", "v1.0"
CONSTANTS = huggingface_hub.constants
CODE = {"configuration_xpt.py", "modeling_xpt.py"}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "sentencepiece.model"}
HEADS = ["SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice"]


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module", autouse=True)
def hub(tmp_path_factory, patch):
    """The server; clients in this process are led to it as HF_ENDPOINT would lead them at their import."""
    folder = tmp_path_factory.mktemp("hub")
    with LoopbackHub(folder / "server") as hub:
        hub.users[OWNER] = User("gildong", {"org": "write", "closed": "read"})
        hub.users[READER] = User("reader", {"org": "read"})
        hub.users[STRANGER] = User("stranger")
        patch.setattr(CONSTANTS, "ENDPOINT", hub.url)
        patch.setattr(
            CONSTANTS, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        patch.setattr(CONSTANTS, "HF_HUB_OFFLINE", False)
        patch.setattr(CONSTANTS, "HF_HUB_DISABLE_XET", True)
        patch.setattr(CONSTANTS, "HF_HUB_CACHE", str(folder / "cache"))
        patch.setattr(CONSTANTS, "HF_TOKEN_PATH", str(folder / "token"))
        patch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(folder / "cache"))
        # A client that another test has made asks the real Hub, and waits for minutes before it gives up.
        patch.setattr("transformers.utils.hub._hf_api", None, raising=False)
        patch.setenv("HF_TOKEN", OWNER)
        yield hub


@pytest.fixture(autouse=True)
def well(hub):
    yield
    hub.restore()


@pytest.fixture
def impatient(monkeypatch):
    """The client's retries, without the waiting in between."""
    clock = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    monkeypatch.setattr("huggingface_hub.utils._http.time", clock)


@pytest.fixture(scope="module")
def trained(options, tmp_path_factory, hub):
    """A run of post-training that published each of its phases."""
    flags = ["--push_to_hub", "true", "--hub_model_id", BASE]
    return run([*options(), *flags], tmp_path_factory.mktemp("home") / "gildong" / "xpt-ko")


@pytest.fixture(scope="module")
def fine_tuned(trained, tmp_path_factory):
    """The folder of the run above fine-tuned on NLI, with its results."""
    folder = tmp_path_factory.mktemp("tuned") / "nli"
    assert fine_tune(trained, folder, num_train_epochs=1) == 0
    return folder


@pytest.fixture(scope="module")
def adapter(trained, tmp_path_factory):
    """LoRA adapters trained on, and published beside, what the run above has published."""
    folder = tmp_path_factory.mktemp("lora") / "nli"
    published = {"push_to_hub": "true", "hub_model_id": "gildong/nli-lora", "hub_private_repo": "true"}
    assert fine_tune(BASE, folder, lora="true", num_train_epochs=1, **published) == 0
    return folder


@pytest.fixture(scope="module")
def native(tiny_tokenizer, tmp_path_factory):
    """A stock RoBERTa, as a RoBERTa export lies on the disk."""
    set_seed(3)
    config = RobertaConfig(
        vocab_size=len(tiny_tokenizer), hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=80, type_vocab_size=1,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("native") / "xpt-native"
    RobertaForMaskedLM(config).save_pretrained(folder)
    save_tokenizer(tiny_tokenizer, folder)
    return folder


def headed(head: str, fine_tuned: Path, folder: Path) -> Path:
    """A checkpoint of a head with the tokenizer and results of a real fine-tuning."""
    shutil.copytree(fine_tuned, folder)
    config = json.loads((fine_tuned / "config.json").read_text())
    make(getattr(modeling_xpt, f"XPTRobertaFor{head}"), vocab_size=config["vocab_size"]).save_pretrained(
        folder
    )
    return folder


# ---- what scripts publish --------------------------------------------------------------------------------


def test_each_phase_is_published_and_tagged(trained, hub):
    repository = hub.repositories[BASE]
    assert set(repository.tags) == {"phase1", "phase2"} and len(repository.commits) == 3  # one made it
    first, last = (hub.files(BASE, tag) for tag in ("phase1", "phase2"))
    checkpoint = trained / "checkpoints" / "phase1" / "checkpoint-4" / "model.safetensors"
    assert first["model.safetensors"] == checkpoint.read_bytes()
    assert last["model.safetensors"] == (trained / "model.safetensors").read_bytes()
    phase = {".gitattributes", "README.md", "config.json", "model.safetensors"} | CODE | TOKENIZER
    assert set(first) == phase and set(last) - {".eval_results/xpt.yaml"} == phase | {
        "results.json",
        "loss.png",
    }
    assert (
        json.loads(last["results.json"])["test"] == json.loads((trained / "results.json").read_text())["test"]
    )


# ---- what others load ------------------------------------------------------------------------------------

LOAD = """
import json, sys, torch, transformers
from pathlib import Path
from safetensors.torch import save_file
from transformers import AutoConfig
ids = torch.tensor([[0, 25, 36, 47, 2, 58], [0, 8, 2, 1, 1, 1]])
outputs = {}
for name, auto, revision, trust in json.loads(sys.argv[1]):
    batch = ids[:, None].repeat(1, 2, 1) if "MultipleChoice" in auto else ids
    kind = getattr(transformers, auto)
    if "lora" in name:
        from peft import PeftModel
        config = AutoConfig.from_pretrained(name, trust_remote_code=True)
        base = kind.from_pretrained(BASE, config=config, trust_remote_code=True)
        model = PeftModel.from_pretrained(base, name)
    else:
        model = kind.from_pretrained(name, trust_remote_code=trust, revision=revision)
        assert type(model).__module__.startswith("transformers_modules.") == trust, type(model)
    with torch.no_grad():
        outputs[f"{name} {revision}"] = model.eval()(batch, attention_mask=batch.ne(1))[0].contiguous()
save_file(outputs, sys.argv[2])
"""
LOAD = WITHOUT_THE_PACKAGE + LOAD.replace("BASE", repr(BASE))


def alone(hub, tmp_path, script, *arguments, token=None, offline=False):
    """Run a script elsewhere, without the project, its caches empty at first; the finished process."""
    away = tmp_path / "elsewhere"
    away.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    environment = kept | {"HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": str(int(offline))}
    environment |= {"HF_TOKEN": token} if token else {}
    return subprocess.run(
        [sys.executable, *(["-c", script] if "\n" in script else script.split()), *map(str, arguments)],
        cwd=away, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def expected(folder: Path, auto: str) -> torch.Tensor:
    """Logits of what lies on this disk, on the ids that `LOAD` reads."""
    ids = torch.tensor([[0, 25, 36, 47, 2, 58], [0, 8, 2, 1, 1, 1]])
    batch = ids[:, None].repeat(1, 2, 1) if "MultipleChoice" in auto else ids
    with torch.no_grad():
        return load_fine_tuned(folder)[0](batch, attention_mask=batch.ne(1))[0]


def loaded_alone(hub, tmp_path, rows, offline=False):
    """Logits by name and revision; the token is nowhere in what was said."""
    outputs = tmp_path / "outputs.safetensors"
    done = alone(hub, tmp_path, LOAD, json.dumps(rows), outputs, token=OWNER, offline=offline)
    assert done.returncode == 0, done.stderr[-3000:]
    assert OWNER not in done.stdout + done.stderr
    return load_file(outputs)


def test_what_is_published_computes_the_same_elsewhere(hub, trained, fine_tuned, adapter, native, tmp_path):
    """Base at two revisions, every head that has an Auto class, adapters, a stock RoBERTa."""
    masked, phase = "AutoModelForMaskedLM", trained / "checkpoints" / "phase1" / "checkpoint-4"
    wanted = {(BASE, "phase1"): (phase, masked), (BASE, "phase2"): (trained, masked)}
    for head in HEADS:
        folder = headed(head, fine_tuned, tmp_path / head)
        push(folder, f"org/{head}", PushOptions(tag=TAG, private=True))
        wanted[f"org/{head}", TAG] = (folder, f"AutoModelFor{head}")
    push(native, "org/native", PushOptions(tag=TAG))
    wanted["org/native", TAG] = (native, masked)
    wanted["gildong/nli-lora", None] = (adapter, "AutoModelForSequenceClassification")
    rows = [[name, auto, revision, "native" not in name] for (name, revision), (_, auto) in wanted.items()]
    found = loaded_alone(hub, tmp_path, rows)
    for (name, revision), (folder, auto) in wanted.items():
        assert torch.equal(found[f"{name} {revision}"], expected(folder, auto)), name


@pytest.mark.slow
def test_once_loaded_no_hub_is_needed(hub, trained, tmp_path):
    rows = [[BASE, "AutoModelForMaskedLM", revision, True] for revision in ("phase2", None)]
    online = loaded_alone(hub, tmp_path, rows)
    before = len(hub.requests)
    offline = loaded_alone(hub, tmp_path, rows, offline=True)
    assert len(hub.requests) == before and len(offline) == 2
    for name, logits in offline.items():
        assert torch.equal(logits, online[name])
        assert torch.equal(logits, expected(trained, "AutoModelForMaskedLM"))


LOOK = """
import sys
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import RepositoryNotFoundError
try:
    hf_hub_download(sys.argv[1], "config.json")
    print("there")
except RepositoryNotFoundError:
    print("not there")
"""


@pytest.mark.parametrize(("token", "seen"), [(None, "not there"), (STRANGER, "not there"), (READER, "there")])
def test_what_is_private_is_there_for_members_alone(hub, native, tmp_path, token, seen):
    push(native, "org/secret", PushOptions(private=True))
    assert hub.repositories["org/secret"].private
    assert alone(hub, tmp_path, LOOK, "org/secret", token=token).stdout.strip() == seen


# ---- interrupted and refused -----------------------------------------------------------------------------


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} | {".gitattributes", "README.md"}


@pytest.mark.slow
def test_cut_anywhere_and_started_again_the_repository_is_complete(hub, native, tmp_path, impatient):
    big = tmp_path / "big"  # so that the weights come in parts
    shutil.copytree(native, big)
    model = RobertaForMaskedLM.from_pretrained(native)
    model.resize_token_embeddings(2000)
    model.save_pretrained(big)
    hub.cut_upload(10**9)
    push(big, "org/whole", PushOptions(tag=TAG))
    whole, sent = hub.files("org/whole"), hub.received
    assert set(whole) == names(big) and any(
        path.startswith("PUT /lfs/") and path[-2:] == "/2" for path in hub.requests
    )
    chooser = random.Random(12)
    for number, cut in enumerate(chooser.sample(range(sent), 10)):
        hub.forget("org/whole")  # what was uploaded before would not be sent again
        hub.cut_upload(cut)
        with pytest.raises(XPTError, match=r"org/whole: the Hub cannot be reached \(.*it goes on"):
            push(big, "org/whole", PushOptions(tag=TAG))
        hub.restore()
        left = hub.repositories.get("org/whole")
        assert left is None or len(left.commits) == 1 or hub.files("org/whole") == whole, (number, cut)
        push(big, "org/whole", PushOptions(tag=TAG))
        push(big, "org/whole", PushOptions(tag=TAG))  # finished, it changes nothing
        repository = hub.repositories["org/whole"]
        assert hub.files("org/whole") == whole and len(repository.commits) == 2, (number, cut)
        assert repository.tags == {TAG: repository.head}


PLACES = ["/preupload/", "/objects/batch", "/lfs/", "/commit/", "/tag/", "/resolve/"]


@pytest.mark.parametrize(("place", "status"), list(zip(PLACES, [429, 500, 503, 429, 500, 503], strict=True)))
def test_a_hub_that_fails_is_named_and_the_command_finishes(hub, native, tmp_path, impatient, place, status):
    name = f"org/fails-at{place.strip('/').replace('/', '-')}"
    model = RobertaForMaskedLM.from_pretrained(native)
    model.lm_head.bias.data += status + len(place)  # what was uploaded before would not be sent again
    folder = tmp_path / "model"
    shutil.copytree(native, folder)
    model.save_pretrained(folder)
    hub.fail(status, times=99, on=place)
    with pytest.raises(XPTError) as error:
        push(folder, name, PushOptions(tag=TAG))
    assert f"({status})" in str(error.value) and "start the same command again" in str(error.value)
    hub.restore()
    push(folder, name, PushOptions(tag=TAG))
    assert set(hub.files(name, TAG)) == names(native) and len(hub.repositories[name].commits) == 2


def test_a_fault_that_passes_is_waited_out(hub, native, impatient):
    hub.fail(503, times=2, on="/preupload/")
    hub.fail(429, on="/objects/batch", **{"Retry-After": "0"})
    push(native, "org/patient")
    assert set(hub.files("org/patient")) == names(native)


@pytest.mark.skipif(Version(huggingface_hub.__version__) < Version("2"), reason="versions 1 give it up")
def test_a_download_that_is_cut_goes_on_from_there(hub, native, impatient):
    hub.cut_download_at = 100  # of the check after the push
    push(native, "org/patient-download")
    assert set(hub.files("org/patient-download")) == names(native)


REFUSALS = [
    ("", "org/x", "you are not logged in to the Hub; run `hf auth login`, or set HF_TOKEN"),
    ("hf_" + "x" * 34, "org/x", "the Hub does not accept your token"),
    (OWNER, "nowhere/x", "nowhere/x: you are not nowhere nor a member of it; you are gildong, org, closed"),
    (OWNER, "closed/x", "closed/x: in closed you may only read"),
    (READER, "org/x", "org/x: in org you may only read"),
    (OWNER, "x", "'x' is no name of a model repository; give OWNER/NAME"),
    (OWNER, "org/a/b", "'org/a/b' is no name of a model repository"),
]


@pytest.mark.parametrize(("token", "name", "message"), REFUSALS)
def test_who_may_not_is_told_so_in_one_line_before_anything_is_done(
    hub, native, monkeypatch, capsys, token, name, message
):
    monkeypatch.setenv("HF_TOKEN", token)
    assert main([str(native), name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and line.startswith("error: ") and "hf_x" not in line
    assert name not in hub.repositories


def test_offline_is_said(native, monkeypatch, capsys):
    monkeypatch.setattr(CONSTANTS, "HF_HUB_OFFLINE", True)
    assert main([str(native), "org/x"]) == 2
    assert "HF_HUB_OFFLINE forbids to reach the Hub; unset it" in capsys.readouterr().err


def test_a_right_that_is_lost_meanwhile_is_said(hub, native):
    push(native, "org/lost")
    hub.fail(403, on="/preupload/", **{"X-Error-Message": f"not with {OWNER}"})
    hub.repositories["org/lost"].commit({})  # so that there is something to upload
    with pytest.raises(XPTError, match="you have no right to do that") as error:
        push(native, "org/lost")
    assert OWNER not in str(error.value)


# ---- what a repository holds afterwards ------------------------------------------------------------------


def test_what_is_not_staged_goes_in_the_same_commit(hub, native):
    push(native, "org/tidy")
    repository = hub.repositories["org/tidy"]
    pickle = hub.keep(b"\x80\x04.")
    files = dict(repository.commits[-1][1])
    repository.commit({**files, "training_args.bin": pickle, "old/model.safetensors": pickle})
    push(native, "org/tidy")
    assert set(hub.files("org/tidy")) == names(native) and len(repository.commits) == 4


def test_a_tag_is_never_moved(hub, native, xpt_checkpoint):
    push(native, "org/tagged", PushOptions(tag=TAG))
    before = hub.repositories["org/tagged"].commits[:]
    with pytest.raises(XPTError, match=r"org/tagged: its tag v1.0 is of other content; give another --tag"):
        push(xpt_checkpoint, "org/tagged", PushOptions(tag=TAG))
    assert hub.repositories["org/tagged"].commits == before
    push(xpt_checkpoint, "org/tagged", PushOptions(tag="v2.0"))
    tags = hub.repositories["org/tagged"].tags
    assert set(tags) == {TAG, "v2.0"} and tags[TAG] == before[-1][0]


def test_what_others_commit_meanwhile_is_not_undone(hub, native):
    push(native, "org/shared")
    repository = hub.repositories["org/shared"]
    repository.commit({})
    theirs = {"README.md": hub.keep(b"of somebody else")}
    hub.meanwhile = lambda: repository.commit(theirs)
    with pytest.raises(XPTError, match="org/shared: somebody else has changed the repository meanwhile"):
        push(native, "org/shared")
    assert repository.commits[-1][1] == theirs


def test_what_is_public_is_not_taken_for_private(hub, native):
    push(native, "org/public")
    with pytest.raises(XPTError, match="org/public exists and is public"):
        push(native, "org/public", PushOptions(private=True))


def test_a_phase_does_not_replace_the_finished_model(hub, trained):
    with pytest.raises(XPTError, match="org/xpt-ko holds a finished model"):
        push(trained / "checkpoints" / "phase1" / "checkpoint-4", BASE, PushOptions(tag="again"))


def test_a_server_that_stores_other_bytes_is_found_out(hub, native, monkeypatch):
    keep = LoopbackHub.keep
    monkeypatch.setattr(
        LoopbackHub, "keep", lambda self, content: keep(self, content.replace(b"bos", b"bas"))
    )
    with pytest.raises(XPTError, match=r"org/liar: .* is not what was uploaded"):
        push(native, "org/liar")


def test_other_outputs_are_told_from_equal_ones(native, fine_tuned, tmp_path):
    """Of a weight that moved a little; of a head's, too."""
    for folder, name in ((native, "lm_head.bias"), (fine_tuned, "classifier.out_proj.bias")):
        other = tmp_path / name
        shutil.copytree(folder, other)
        assert same_outputs(folder, other)
        tensors = load((other / "model.safetensors").read_bytes())
        tensors[name] = tensors[name] + 1e-3
        save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
        assert not same_outputs(folder, other)


@pytest.mark.slow
def test_the_command_by_itself(hub, trained, tmp_path):
    """In a process of its own, led to the Hub by HF_ENDPOINT alone; first dry."""
    environment = {"PYTHONPATH": str(REPO), "HF_ENDPOINT": hub.url, "HF_TOKEN": OWNER, "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "xpt.command", "push", str(trained), "org/alone", "--tag", TAG]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == f"{hub.url}/org/alone/tree/{TAG}"
    assert hub.files("org/alone")["model.safetensors"] == (trained / "model.safetensors").read_bytes()
    assert OWNER not in done.stdout + done.stderr


def test_dry_it_lists_and_uploads_nothing(hub, trained, capsys, monkeypatch):
    monkeypatch.setattr(CONSTANTS, "HF_HUB_OFFLINE", True)
    assert main([str(trained), "org/dry", "--dry_run", "true"]) == 0
    told = capsys.readouterr().out
    for name in (
        {"README.md", "results.json", "loss.png", "model.safetensors", "config.json"} | CODE | TOKENIZER
    ):
        assert name in told
    assert "checkpoints" not in told and "run.json" not in told and "org/dry" not in hub.repositories


# ---- scripts ---------------------------------------------------------------------------------------------


def test_a_training_without_login_does_not_begin(options, tmp_path, monkeypatch, capsys):
    from train_xpt import main as train

    monkeypatch.setenv("HF_TOKEN", "")
    flags = ["--push_to_hub", "true", "--hub_model_id", "org/x", "--output_dir", str(tmp_path / "run")]
    assert train([*options(), *flags]) == 2
    assert "you are not logged in to the Hub" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("checkpoints"))
    assert fine_tune(tmp_path, tmp_path / "nli", push_to_hub="true", hub_model_id="org/x") == 2


def test_a_tag_of_another_run_is_found_before_training(options, tmp_path, trained, capsys):
    from train_xpt import main as train

    flags = ["--push_to_hub", "true", "--hub_model_id", BASE, "--output_dir", str(tmp_path / "run")]
    assert train([*options(), *flags]) == 2
    assert f"{BASE} has a tag phase1 of another run" in capsys.readouterr().err


def test_a_hub_that_goes_down_stops_no_training(hub, native, capsys, impatient):
    hub.fail(503, times=99, on="/create")
    assert not Publisher("org/down", private=True).publish(native, "v1")
    told = capsys.readouterr().err
    assert told.startswith(f"warning: {native} is not published (org/down: the Hub has a fault")
    assert f"xpt push {native} org/down --private true --tag v1" in told
    hub.restore()
    assert Publisher("org/down", private=True).publish(native, "v1")


def test_several_fine_tunings_get_a_repository_each(tmp_path):
    from xpt.finetune.command import read_plan

    flags = ["--model_name_or_path", "m", "--push_to_hub", "true", "--hub_model_id", "org/klue", "--task"]
    assert [job.repo_id for job in read_plan([*flags, "nli"]).jobs] == ["org/klue"]
    assert [job.repo_id for job in read_plan([*flags, "nli", "sts"]).jobs] == ["org/klue-nli", "org/klue-sts"]
    seeds = [job.repo_id for job in read_plan([*flags, "nli", "--seeds", "1", "2"]).jobs]
    assert seeds == ["org/klue-nli-seed-1", "org/klue-nli-seed-2"]


# ---- what goes along -------------------------------------------------------------------------------------


def test_results_of_another_checkpoint_are_refused(trained, fine_tuned, native):
    push(trained, "org/with-results", PushOptions(results=[str(fine_tuned)]))
    with pytest.raises(
        XPTError, match=f"{fine_tuned}: holds results of other checkpoints only: .* the weights of {native}"
    ):
        push(native, "org/x", PushOptions(results=[str(fine_tuned)]))


def test_an_adapter_names_a_base_that_others_have(hub, trained, adapter, fine_tuned, tmp_path):
    assert hub.repositories["gildong/nli-lora"].private
    config = json.loads(hub.files("gildong/nli-lora")["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == (BASE, hub.repositories[BASE].head)
    local = tmp_path / "local"
    assert fine_tune(trained, local, lora="true", num_train_epochs=1) == 0
    with pytest.raises(XPTError, match=f"its base is {trained}, which nobody else has"):
        push(local, "gildong/local")
    push(fine_tuned, "org/tuned")
    with pytest.raises(XPTError, match="org/tuned: its weights are not those that"):
        push(local, "gildong/local", PushOptions(base_model_id="org/tuned"))
    push(local, "gildong/local", PushOptions(base_model_id=BASE))
    assert json.loads(hub.files("gildong/local")["adapter_config.json"])["base_model_name_or_path"] == BASE


def test_the_native_twin_goes_along(hub, trained):
    push(trained, "org/pair", PushOptions(native_model_id="org/pair-native", tag=TAG))
    twin = hub.files("org/pair-native", TAG)
    assert json.loads(twin["config.json"])["model_type"] == "roberta" and not CODE & set(twin)
    assert "org/pair-native" in hub.files("org/pair")["README.md"].decode()
    assert "org/pair" in twin["README.md"].decode()


def test_a_decoder_is_published_without_code_and_phase_by_phase(options, tmp_path):
    source = decoder_source(tmp_path / "neox", "gpt_neox", tied=False)
    name = "org/decoder-ko"
    changes = {"vocab_size": 600, "phase1_steps": 1, "phase2_steps": 1}
    flags = options(source_model_name_or_path=source, push_to_hub="true", hub_model_id=name, **changes)
    folder = run(flags, tmp_path / "run")
    api = huggingface_hub.HfApi()
    files = set(api.list_repo_files(name))
    assert {"config.json", "generation_config.json", "model.safetensors", "README.md"} < files
    assert not [file for file in files if file.endswith(".py")]
    published = AutoModelForCausalLM.from_pretrained(name)
    assert same_outputs(folder, Path(huggingface_hub.snapshot_download(name)))
    assert type(published).__name__ == "GPTNeoXForCausalLM" and published.config.num_itl_in == 1
    phase = huggingface_hub.hf_hub_download(name, "README.md", revision="phase1")
    assert "AutoModelForCausalLM" in Path(phase).read_text() and "mask" not in Path(phase).read_text()
    with pytest.raises(XPTError, match="a decoder is a stock model already"):
        export_native(folder, tmp_path / "native")


def test_a_modernbert_is_published_with_its_code_and_phase_by_phase(options, tmp_path):
    make_stock().save_pretrained(tmp_path / "modernbert")
    name, changes = "org/modern-ko", {"phase1_steps": 1, "phase2_steps": 1}
    flags = options(
        source_model_name_or_path=tmp_path / "modernbert", push_to_hub="true", hub_model_id=name, **changes
    )
    folder = run(flags, tmp_path / "run")
    files = set(huggingface_hub.HfApi().list_repo_files(name))
    assert {file for file in files if file.endswith(".py")} == {
        *CODE, *("configuration_xpt_modernbert.py", "modeling_xpt_modernbert.py"),
    }  # fmt: skip
    assert same_outputs(folder, Path(huggingface_hub.snapshot_download(name)))
    published = AutoModelForMaskedLM.from_pretrained(name, revision="phase1", trust_remote_code=True)
    assert type(published).__name__ == "XPTModernBertForMaskedLM"
