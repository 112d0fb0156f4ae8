"""A stranger's checkpoint may hold anything: it is opened, or refused in one line; nothing else happens."""

import json
import resource
import shutil

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tiny_sources import SHAPES, random_source

from xpt.program.errors import XPTError
from xpt.text.special_tokens import SpecialIds
from xpt.transplant.architectures import architecture_of
from xpt.transplant.families import FAMILIES
from xpt.transplant.source import Source, TransplantSettings, open_source, transplant
from xpt.transplant.source_config import read_config
from xpt.transplant.source_files import CONFIG, INDEX, MAX_JSON_BYTES, WEIGHTS, SourceFiles

FUZZ = settings(
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NUMBERS = [0, -1, 1, 7, 10**9, 10**18, 10**40, -(10**9), 0.5, -0.5, 1e300, float("nan"), float("inf")]
SCALARS = (
    st.none()
    | st.booleans()
    | st.sampled_from(NUMBERS)
    | st.text(max_size=8)
    | st.just("gelu")
    | st.just("\ud800\n")
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A whole checkpoint of each family, made once."""
    return {name: random_source(tmp_path_factory.mktemp(name), name) for name in SHAPES}


def opened(folder) -> Source | XPTError:
    """The source, or the refusal; any other error fails the test."""
    try:
        return open_source(folder)
    except XPTError as error:
        return error


def refused(found: Source | XPTError, folder) -> bool:
    """Whether it was refused as it should be: in one short line that names the folder and can be printed."""
    text = str(found)
    return isinstance(found, XPTError) and (
        "\n" not in text and bool(text.encode()) and len(text) < 1500 and str(folder) in text
    )


def logits_of(source: Source) -> torch.Tensor:
    """What was let through must be good for a transplant, and for a forward pass: (1, length, 60)."""
    special = SpecialIds(0, 1, 2, 3, 60, (0, 1, 2, 3))
    kind = {"architecture": architecture_of(source.family).name} if source.is_xpt else {}
    model, _ = transplant(
        source, TransplantSettings(**kind), special, torch.zeros(60, source.config.hidden_size)
    )
    with torch.no_grad():
        length = min(5, len(source.used_positions))
        return model.train()(input_ids=torch.full((1, length), 5)).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_a_config_of_any_content_is_read_or_refused(sources, tmp_path, family):
    original = json.loads((sources[family] / CONFIG).read_text())
    shutil.copy(sources[family] / WEIGHTS, tmp_path)
    own = sorted(
        set(original) | {"num_labels", "position_embedding_type", "auto_map", "is_decoder", "id2label"}
    )
    names = st.sampled_from(own) | st.text(max_size=6)

    @FUZZ
    @given(st.dictionaries(names, VALUES, min_size=1, max_size=3))
    def check(changes):
        (tmp_path / CONFIG).write_text(json.dumps({**original, **changes}))
        found = opened(tmp_path)
        if isinstance(found, Source):
            assert logits_of(found).shape[2] == 60
        else:
            assert refused(found, tmp_path), found

    check()


@FUZZ
@given(content=st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
@example(content=b"[" * 100_000)
@example(content=b'{"model_type": "bert", "hidden_size": ' + b"9" * 5000 + b"}")
@example(content=b'{"model_type": "bert", "architectures": 5}')
@example(content=b'{"model_type": "' + b"b" * 10_000 + b'"}')
def test_a_config_of_any_bytes_is_refused(tmp_path, content):
    (tmp_path / CONFIG).write_bytes(content)
    assert refused(opened(tmp_path), tmp_path)


@FUZZ
@given(data=st.data())
def test_weights_with_any_bytes_changed_are_read_or_refused(sources, tmp_path, data):
    shutil.copy(sources["bert"] / CONFIG, tmp_path)
    whole = bytearray((sources["bert"] / WEIGHTS).read_bytes())
    header = int.from_bytes(whole[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 8 + header - 1) | st.integers(0, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.just(len(whole)) | st.integers(0, len(whole)))
    (tmp_path / WEIGHTS).write_bytes(whole[:end])
    found = opened(tmp_path)
    assert isinstance(found, Source) or refused(found, tmp_path), found


@FUZZ
@given(content=st.binary(max_size=60))
def test_weights_of_any_bytes_are_refused(sources, tmp_path, content):
    shutil.copy(sources["bert"] / CONFIG, tmp_path)
    (tmp_path / WEIGHTS).write_bytes(content)
    assert refused(opened(tmp_path), tmp_path)


@FUZZ
@given(index=VALUES | st.dictionaries(st.just("weight_map"), st.dictionaries(st.text(max_size=4), VALUES)))
@example(index={"weight_map": {"a": "../../secret.safetensors"}})
@example(index={"weight_map": {"a": "x" * 300 + ".safetensors"}})
def test_an_index_of_any_content_is_refused(sources, tmp_path, index):
    shutil.copy(sources["bert"] / CONFIG, tmp_path)
    (tmp_path / INDEX).write_text(json.dumps(index))
    assert refused(opened(tmp_path), tmp_path)


@pytest.mark.parametrize(
    "claim",
    [
        {"num_labels": 10**7},
        {"hidden_size": 10**9, "intermediate_size": 10**9},
        {"vocab_size": 10**12, "max_position_embeddings": 10**12},
        {"num_hidden_layers": 10**9},
        {"num_itl_in": 10**9, "num_itl_out": 10**9},
    ],
)
@pytest.mark.parametrize("family", ["bert", "xpt-roberta"])
def test_a_claimed_size_takes_no_memory(sources, tmp_path, family, claim):
    original = json.loads((sources[family] / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**original, **claim}))
    shutil.copy(sources[family] / WEIGHTS, tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, the highest so far
    found = opened(tmp_path)
    assert isinstance(found, Source) or refused(found, tmp_path), found
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int64, torch.bool, torch.complex64])
def test_weights_of_a_wrong_kind_are_refused(sources, tmp_path, dtype):
    from safetensors.torch import load_file, save_file

    tensors = load_file(sources["bert"] / WEIGHTS)
    name = "bert.encoder.layer.1.output.dense.weight"
    save_file({**tensors, name: tensors[name].to(dtype)}, tmp_path / WEIGHTS)
    shutil.copy(sources["bert"] / CONFIG, tmp_path)
    with pytest.raises(XPTError, match=f"{name} is {dtype}; give one that is not quantized"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan"),
        ({"initializer_range": -1.0}, "initializer_range is -1.0"),
        ({"hidden_dropout_prob": float("nan")}, "hidden_dropout_prob is nan"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob is 1.5"),
        ({"type_vocab_size": 0}, "type_vocab_size is 0"),
    ],
)
def test_numbers_that_no_model_has_are_named(sources, tmp_path, changes, message):
    original = json.loads((sources["bert"] / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**original, **changes}))
    with pytest.raises(XPTError, match=f"its config.json describes no model: {message}"):
        read_config(SourceFiles(str(tmp_path)).read_json(CONFIG), str(tmp_path))


def test_a_config_too_large_to_be_one_is_refused(sources, tmp_path):
    with (tmp_path / CONFIG).open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)  # sparse: the disk holds nothing
    with pytest.raises(XPTError, match=r"cannot be read as JSON \(it has 67,108,865 bytes\)"):
        open_source(tmp_path)


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-of-that-name/x", "a\0b"])
def test_a_name_of_no_folder_is_refused(name):
    with pytest.raises(XPTError, match=r"is no name of a folder|does not exist") as error:
        open_source(name)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600
