"""The model card of a checkpoint, from its results and its configuration: no number that was not measured.

`model_card.md` is the card of a post-trained model and the frame of all others. `trelm.md` fills that frame
for a TreLM, `modernbert.md` for a ModernBERT, `decoder.md` for a decoder, and `fine_tuned.md` fills any of
these for a model fine-tuned on a benchmark, with or without adapters.
A stock RoBERTa that `xpt.release.native` exported has the card of the model it came from, which then says so
and needs no remote code.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

from xpt.cards.metadata import front_matter, klue_entries, klue_scores, masked_scores, pipeline_tag
from xpt.cards.public import publishable, shown_text
from xpt.cards.widget import widget_examples
from xpt.finetune.benchmarks import BENCHMARKS, benchmark_of
from xpt.finetune.scored import beside, scored_data
from xpt.program.errors import XPTError
from xpt.program.files import write_text_atomically
from xpt.program.yaml_text import dump
from xpt.text.language import find_language
from xpt.training.notes import phase_notes
from xpt.transplant.architectures import (
    ARCHITECTURES,
    CLM,
    MODERNBERT,
    Architecture,
    architecture_of_results,
    find_architecture,
    find_post_trained,
)

HERE = Path(__file__).parent
MAIN = "model_card.md"  # a link to the file at the top level
TRELM = "trelm.md"
DECODER = "decoder.md"
OF_MODERNBERT = "modernbert.md"
FINE_TUNED = "fine_tuned.md"
EVAL_RESULTS = ".eval_results"
RESULTS, CONFIG, ADAPTER_CONFIG = "results.json", "config.json", "adapter_config.json"


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds, as far as a card speaks of it.

    Args:
        results: of post-training or fine-tuning, fit to be published; {} where nothing was measured.
        config: of the model, as its file says.
        files: names of the files beside them.
    """

    results: dict[str, Any]
    config: dict[str, Any]
    files: frozenset[str]

    @property
    def is_fine_tuned(self) -> bool:
        return benchmark_of(self.results) is not None

    @property
    def is_adapter(self) -> bool:
        """Whether it holds LoRA adapters whose base is elsewhere."""
        return ADAPTER_CONFIG in self.files

    @property
    def is_native(self) -> bool:
        """Whether an XPT model was written as a stock one."""
        stock = self.config.get("model_type") == "roberta" and not self.is_adapter
        return stock and self.system is ARCHITECTURES["xpt"]

    @property
    def system(self) -> Architecture | None:
        """What the model is, or was before it was fine-tuned; None where that is neither XPT nor TreLM."""
        if self.is_fine_tuned:
            return find_architecture(self.results["model"]["family"])
        if self.results:  # of earlier releases too, which knew one alone
            return architecture_of_results(self.results)
        return find_post_trained(self.config) or ARCHITECTURES["xpt"]

    @property
    def has_code(self) -> bool:
        """Whether it is loaded through code that lies beside the weights."""
        return "auto_map" in self.config

    @property
    def tokenizer_class(self) -> str:
        """The class that loads its tokenizer, and neither runs code nor asks whether to."""
        return "PreTrainedTokenizerFast" if self.has_code else "AutoTokenizer"

    @property
    def architecture(self) -> str:
        return (self.config.get("architectures") or [""])[0]

    @property
    def num_labels(self) -> int:
        """Outputs of a classifier; transformers writes none where they are two."""
        return len(self.config.get("id2label") or (0, 1))

    @property
    def auto_class(self) -> str | None:
        """The Auto class that loads it; None for a head of ours, which only this package knows."""
        if self.config.get("model_type", "").startswith("klue-"):
            return None
        return (
            f"AutoModelFor{self.architecture.partition('For')[2]}"
            if "For" in self.architecture
            else "AutoModel"
        )


def write_card(
    folder: Path,
    model_id: str,
    *,
    revision: str | None = None,
    native_id: str | None = None,
    xpt_id: str | None = None,
    klue_results: Sequence[dict[str, Any]] = (),
    model_license: str | None = None,
) -> None:
    """Write README.md into a folder to be published, and `.eval_results/*.yaml` where there are scores.

    Args:
        folder: of a post-trained or fine-tuned model, LoRA adapters, or a RoBERTa export; results.json, if
            it has one, is read.
        model_id: where it will be, `org/name`; or a name.
        revision: the tag that the card's lines load.
        native_id: where the stock RoBERTa with the same weights is.
        xpt_id: where the XPT model is that this was exported from, or fine-tuned from.
        klue_results: of this checkpoint, see `xpt.cards.klue_results.matching_results`.
        model_license: the Hub's identifier. Default: the one that the run was given.

    Raises:
        XPTError: a file that is not what a run writes.
    """
    folder = Path(folder)
    checkpoint = _open(folder)
    klue_results = [publishable(one) for one in klue_results]
    links = {"revision": revision, "native_id": native_id, "xpt_id": xpt_id, "license": model_license}
    try:
        widget = _widget(folder, checkpoint)
        text = _render(checkpoint, model_id, klue_results, widget, **links)
        own = [checkpoint.results] if checkpoint.is_fine_tuned else []
        entries = klue_entries([*own, *klue_results])
    except (AttributeError, KeyError, TypeError, ValueError, UndefinedError) as error:
        raise XPTError(
            f"{folder / RESULTS} is not what a run writes ({type(error).__name__}: {error}); run it again"
        ) from error
    write_text_atomically(folder / "README.md", text)
    for benchmark in BENCHMARKS:
        for stale in (folder / EVAL_RESULTS).glob(f"{benchmark}-*.yaml"):
            stale.unlink()
    for name, content in entries.items():
        write_text_atomically(folder / EVAL_RESULTS / name, dump(content))


def render_card(results: dict[str, Any], model_name: str, attribution: str | None = None) -> str:
    """The text of the card in a finished run's own folder, where nothing else is known yet."""
    settings = {**results["settings"], "attribution": attribution or results["settings"].get("attribution")}
    system = architecture_of_results(results)
    config = system.config(architectures=[system.model.__name__]).to_dict()
    checkpoint = Checkpoint(
        publishable({**results, "settings": settings}), config, frozenset({RESULTS, "loss.png"})
    )
    return _render(checkpoint, model_name, (), [])


def _open(folder: Path) -> Checkpoint:
    files = frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()
    if not files & {CONFIG, ADAPTER_CONFIG}:
        raise XPTError(f"{folder}: no {CONFIG}; give the folder of a model")
    read = {name: _read(folder / name) if name in files else {} for name in (RESULTS, CONFIG)}
    return Checkpoint(publishable(read[RESULTS]), read[CONFIG], files)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
    except ValueError as error:
        raise XPTError(f"{path} is damaged ({error}); get it again") from error
    return content


def _widget(folder: Path, checkpoint: Checkpoint) -> list[dict[str, Any]]:
    if checkpoint.is_fine_tuned or not checkpoint.results:
        return []
    adapter = None if checkpoint.is_native else checkpoint.results.get("adapter")
    return widget_examples(folder, checkpoint.architecture, _language(checkpoint.results), adapter)


def _language(results: dict[str, Any]) -> str:
    if benchmark_of(results):
        return "ko"
    return find_language(results["settings"]["language"]).code


def _render(
    checkpoint: Checkpoint,
    model_id: str,
    klue_results: Sequence[dict[str, Any]],
    widget: list[dict[str, Any]],
    revision: str | None = None,
    native_id: str | None = None,
    xpt_id: str | None = None,
    license: str | None = None,
) -> str:
    results = checkpoint.results
    settings = results.get("settings", {})
    model_id = shown_text(model_id)
    license = license or settings.get("model_license")
    code = _language(results) if results else None
    base = _base(checkpoint, xpt_id)
    data = {
        "language": code,
        "license": license,
        "library_name": "peft" if checkpoint.is_adapter else "transformers",
        "pipeline_tag": pipeline_tag(checkpoint.architecture),
        "mask_token": _mask_token(results) if checkpoint.architecture.endswith("ForMaskedLM") else None,
        "base_model": base,
        "base_model_relation": base and ("adapter" if checkpoint.is_adapter else "finetune"),
        "datasets": _datasets(results),
        "tags": _tags(checkpoint),
        "widget": widget,
    }
    own = klue_scores(results) if checkpoint.is_fine_tuned else masked_scores(results)
    scores = [*own, *(score for one in klue_results for score in klue_scores(one))]
    frame = _frame(checkpoint.system)
    template = _environment().get_template(FINE_TUNED if checkpoint.is_fine_tuned else frame)
    text = template.render(
        frame=frame,
        card_data=front_matter(data, model_id.split("/")[-1], scores),
        checkpoint=checkpoint,
        results=results,
        settings=settings,
        model_name=model_id,
        language_name=find_language(settings["language"]).name if "language" in settings else None,
        klue_results=klue_results,
        benchmark=benchmark_of(results),
        benchmarks=BENCHMARKS,
        scored_data=scored_data,
        beside=beside,
        base=base,
        revision=revision,
        native_id=native_id and shown_text(native_id),
        xpt_id=xpt_id and shown_text(xpt_id),
        license=license,
    )
    return f"{text.rstrip()}\n"


def _frame(system: Architecture | None) -> str:
    """The template of the card of a post-trained model."""
    if system is not None and system.objective == CLM:
        return DECODER
    if system is MODERNBERT:
        return OF_MODERNBERT
    return TRELM if system is ARCHITECTURES["trelm"] else MAIN


def _mask_token(results: dict[str, Any]) -> str:
    return results.get("tokenizer", {}).get("mask_token", "<mask>")  # older runs keep none


def _base(checkpoint: Checkpoint, xpt_id: str | None) -> str | None:
    """The Hub id of what the model was made from; None where that is nobody's but a folder's."""
    results = checkpoint.results
    origin = results.get("model" if checkpoint.is_fine_tuned else "source", {})
    if origin.get("revision"):
        return origin["name"]
    made_from_xpt = checkpoint.is_fine_tuned and checkpoint.system and not checkpoint.is_native
    return xpt_id if made_from_xpt else None


def _datasets(results: dict[str, Any]) -> list[str]:
    """Hub ids of what was read in training."""
    if benchmark_of(results):
        train = results["data"]["train"]
        return [train["origin"].split()[0]] if train["revision"] else []  # "org/name task split"
    inputs = results.get("corpus", {}).get("inputs", ())
    return list(dict.fromkeys(one["dataset"] for one in inputs if one.get("dataset")))


def _tags(checkpoint: Checkpoint) -> list[str]:
    system = [checkpoint.system.name] if checkpoint.system else []
    if not checkpoint.is_fine_tuned:
        return [*system, "cross-lingual-post-training"]
    results = checkpoint.results
    return [*system, results["kind"], results["task"], *(["lora"] if checkpoint.is_adapter else [])]


def _environment() -> Environment:
    loader = FileSystemLoader(HERE)
    environment = Environment(
        undefined=StrictUndefined,
        loader=loader,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "count": "{:,}".format,
        "versions": lambda versions: ", ".join(f"{name} {number}" for name, number in versions.items()),
        "notes": phase_notes,
        "code": lambda text: f"`{_line(text).replace('`', chr(39))}`",
        "cell": lambda text: _line(text).replace("|", "\\|"),
    }
    return environment


def _line(text: Any) -> str:
    return " ".join(str(text).split())
