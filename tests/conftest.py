"""Tiny real objects, made once a run: Korean sentences, a tokenizer, English-shaped sources, a corpus."""

import gc
import os
import random
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import hypothesis
import numpy as np
import pytest
import tokenizer_texts
import torch
from tiny_runs import TINY, flags, run
from transformers import BertConfig, BertForMaskedLM, BertModel, RobertaConfig, RobertaForMaskedLM, set_seed

from xpt.text.encoding import EncodedSentences

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
hypothesis.settings.load_profile("untimed")


# Files of long tests, the longest first: begun last, one would run on while the other worker waits.
LONG = """
    recipe/test_methods.py study/test_queue.py training/test_processes.py training/test_along.py
    test_train.py test_api.py test_autoclasses.py release/test_hub.py run/test_interrupts.py
    text/corpus/test_corpus_lines.py finetune/test_klue_families.py transplant/test_source_continued.py
    training/test_checkpoints.py finetune/test_klue_finetune.py test_command.py
    transplant/test_source_families.py training/test_trainer.py run/test_dry_run.py
    finetune/test_klue_overfit.py study/test_cluster.py
""".split()
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first."""
    place = {TESTS / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


def pytest_collection_finish() -> None:
    """Half a second less at the end of each phase, where accelerate asks for a collection."""
    gc.collect()
    gc.freeze()  # what imports left, a million objects


WHO = "국회는 정부는 위원회는 학생은 선생님은 회사는 시민은 아이들은 연구자는 기자는".split()
WHEN = "오늘 어제 지난해 올해 매일 아침에 저녁에 봄에 겨울에 가끔".split()
SYLLABLES = "국 법 사 회 정 보 기 관 시 민 교 육 연 구 경 제 문 화 환 과 학 생 산 업".split()
NOUNS = [first + second for first in SYLLABLES for second in SYLLABLES]
HOW = "빠르게 천천히 다시 함께 새로 자세히 조용히 처음으로".split()
DID = "검토하였다. 만들었다. 읽었다. 바꾸었다. 발표하였다. 준비한다. 살펴본다. 고쳤다.".split()


def korean_sentences(count: int, seed: int = 0) -> list[str]:
    """Different grammatical Korean sentences of 4 to 9 words."""
    chooser = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        words = [chooser.choice(WHO), chooser.choice(WHEN), f"{chooser.choice(NOUNS)}의"]
        words += [f"{chooser.choice(NOUNS)} {chooser.choice(NOUNS)}에" for _ in range(chooser.randint(0, 2))]
        if chooser.random() < 0.3:
            words.append(f"{chooser.randint(2, 99)}번")
        found[" ".join([*words, chooser.choice(HOW), chooser.choice(DID)])] = None
    return list(found)


def encoded(sentences: Sequence[Sequence[int]]) -> EncodedSentences:
    """Token ids of sentences, as encoding lays them on disk."""
    offsets = np.cumsum([0, *(len(ids) for ids in sentences)], dtype=np.int64)
    return EncodedSentences(np.concatenate([np.asarray(ids, dtype=np.uint32) for ids in sentences]), offsets)


@pytest.fixture(scope="session")
def tiny_sentences() -> list[str]:
    """200 Korean sentences."""
    return korean_sentences(200)


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_sentences):
    """A tokenizer of 300 pieces trained on them."""
    from xpt.text.tokenizer_training import train_tokenizer

    return train_tokenizer(korean_sentences(1500), 300)


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory) -> Path:
    """1,500 sentences, one a line."""
    path = tmp_path_factory.mktemp("text") / "korean.txt"
    path.write_text("\n".join(korean_sentences(1500)) + "\n", encoding="utf-8")
    return path


def tiny_config(family: str, **changes):
    """A config of the family with 3 layers of width 32."""
    shape = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "num_hidden_layers": 3}
    if family == "bert":
        return BertConfig(vocab_size=120, max_position_embeddings=40, **{**shape, **changes})
    return RobertaConfig(
        vocab_size=120,
        max_position_embeddings=42,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        **{**shape, **changes},
    )


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory):
    """Give `tiny_source("roberta" or "bert", head=True)` the folder of a random source checkpoint."""
    made: dict[tuple, Path] = {}

    def make(family: str = "roberta", head: bool = True) -> Path:
        if (family, head) not in made:
            set_seed(7)
            config = tiny_config(family)
            kind = {
                ("roberta", True): RobertaForMaskedLM,
                ("bert", True): BertForMaskedLM,
                ("bert", False): BertModel,
            }[family, head]
            model = kind(config)
            with torch.no_grad():  # biases and norms away from 0 and 1, so that a lost copy is seen
                for parameter in model.parameters():
                    parameter.add_(torch.randn_like(parameter) * 0.02)
            folder = tmp_path_factory.mktemp("sources") / f"{family}-{head}"
            model.save_pretrained(folder)
            made[family, head] = folder
        return made[family, head]

    return make


@pytest.fixture(scope="session")
def options(tiny_source, corpus_file, tmp_path_factory):
    """Give `options(family, head, **changes)` the flags of a tiny run, without the output folder."""

    def make(family: str = "roberta", head: bool = True, **changes) -> list[str]:
        settings = {
            "source_model_name_or_path": tiny_source(family, head),
            "corpus": corpus_file,
            "cache_dir": tmp_path_factory.getbasetemp() / "xpt-cache",
            **TINY,
            "phase1_steps": 4,
            "phase2_steps": 4,
            "logging_steps": 2,
            "save_steps": 2,
        }
        return flags({**settings, **changes})

    return make


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    """Synthetic Korean for tokenizers, hard cases included."""
    return tokenizer_texts.synthetic_sentences()


@pytest.fixture(scope="session")
def trained(sentences) -> dict:
    """A tokenizer of each kind, trained once a run."""
    from xpt.text.tokenizer_training import train_tokenizer

    return {
        kind: train_tokenizer(iter(sentences), **options) for kind, options in tokenizer_texts.KINDS.items()
    }


@pytest.fixture(scope="session")
def shipped():
    """The ready Korean tokenizer of this repository."""
    from xpt.text.tokenizer import load_tokenizer

    return load_tokenizer(tokenizer_texts.SHIPPED)


def tiny_checkpoint(config, tokenizer, folder: Path) -> Path:
    """A tiny masked language model with its tokenizer, as post-training leaves one."""
    from xpt.text.tokenizer import save_tokenizer
    from xpt.transplant.architectures import architecture_of

    set_seed(5)
    architecture_of(config.model_type).model(config).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


CHECKPOINT = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "pad_token_id": 1,
              "max_position_embeddings": 80, "type_vocab_size": 1, "hidden_dropout_prob": 0.1,
              "attention_probs_dropout_prob": 0.1, "initializer_range": 0.1}  # fmt: skip


@pytest.fixture(scope="session")
def xpt_checkpoint(tiny_tokenizer, tmp_path_factory):
    """A tiny XPT model with its tokenizer."""
    from configuration_xpt import XPTRobertaConfig

    config = XPTRobertaConfig(vocab_size=len(tiny_tokenizer), num_hidden_layers=1, **CHECKPOINT)
    return tiny_checkpoint(config, tiny_tokenizer, tmp_path_factory.mktemp("klue") / "tiny-xpt")


@pytest.fixture(scope="session")
def trelm_checkpoint(tiny_tokenizer, tmp_path_factory):
    """A tiny TreLM with its tokenizer."""
    from configuration_trelm import TreLMRobertaConfig

    config = TreLMRobertaConfig(vocab_size=len(tiny_tokenizer), num_hidden_layers=2, **CHECKPOINT)
    return tiny_checkpoint(config, tiny_tokenizer, tmp_path_factory.mktemp("klue") / "tiny-trelm")


@pytest.fixture(scope="session")
def trelm_run(options, tmp_path_factory):
    """A finished tiny run of --architecture trelm."""
    flags = options(architecture="trelm", source_num_layers=2, phase1_steps=2, phase2_steps=2)
    return run(flags, tmp_path_factory.mktemp("trelm") / "run")
