"""One small tokenizer of each kind that KLUE models have: what offsets and markers must survive."""

from functools import cache

from conftest import korean_sentences
from tokenizer_texts import SHIPPED
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from xpt.text.tokenizer import load_tokenizer

KINDS = ("character", "wordpiece", "bytes", "metaspace")
MIXED = [
    "大韓民國 국회(國會)는 2021년 5월 20일 서울에서 열렸다.",
    "FC 서울 선수 Kim Min-jae(26)가 3:1로 이겼다, LG 트윈스는 졌다!",
    '"정말 재미있는 영화 ㅋㅋㅋ 10점 😀 강추 👍 ㅠㅠ" 라고 썼다.',
    "The BTS member visited Seoul, New York and Paris in 1999 and 2024.",
]
BERT = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
BERT |= {"mask_token": "[MASK]"}
ROBERTA = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
ROBERTA |= {"pad_token": "<pad>", "mask_token": "<mask>"}


def training_lines() -> list[str]:
    """Korean sentences and a few lines with hanja, Latin letters, digits and emoji."""
    return [*korean_sentences(300), *MIXED]


@cache
def make_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer of the kind, the same object at each call: copy it before tokens are added to it.

    `character`: a token a character, blanks too, with [UNK]. `wordpiece`: NFKC, `##` and [UNK]. `bytes`:
    byte-level BPE without a blank in front. `metaspace`: the ready Korean tokenizer of this repository.
    """
    makers = {"character": _character, "wordpiece": _wordpiece, "bytes": _bytes, "metaspace": _metaspace}
    return makers[kind]()


def _character() -> PreTrainedTokenizerFast:
    letters = sorted(set("".join(training_lines())))
    vocabulary = {token: index for index, token in enumerate([*BERT.values(), *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = _bert_frame(tokenizer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **BERT)


def _wordpiece() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    cleaned = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), cleaned])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=800, special_tokens=list(BERT.values()), show_progress=False
    )
    tokenizer.train_from_iterator(training_lines(), trainer)
    tokenizer.post_processor = _bert_frame(tokenizer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **BERT)


def _bytes() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<s>", "<pad>", "</s>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(training_lines(), trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ROBERTA)


def _metaspace() -> PreTrainedTokenizerFast:
    return load_tokenizer(SHIPPED)


def _bert_frame(tokenizer: Tokenizer) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
