"""Cross-lingual Post-Training: a pre-trained English encoder becomes one of another language.

What is exported here is imported when it is first used, so that `import xpt` takes no time; docs/api.md has
all of it with examples.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from xpt.program.old_commands import OldCommands

if TYPE_CHECKING:  # the same names for type checkers and editors; a test compares both
    from finetune_klue import fine_tune
    from train_xpt import dry_run, post_train
    from xpt.finetune.arguments import FineTuningArguments, ModelArguments, TaskArguments
    from xpt.finetune.command import read_plan
    from xpt.finetune.compare import Comparison, compare
    from xpt.finetune.plan import Plan
    from xpt.finetune.score import score
    from xpt.program.errors import XPTError
    from xpt.recipe.command_line import read_recipe
    from xpt.recipe.corpus import CorpusArguments
    from xpt.recipe.phases import PhaseArguments
    from xpt.recipe.recipe import Recipe
    from xpt.recipe.source import SourceArguments
    from xpt.recipe.tokenizer import TokenizerArguments
    from xpt.recipe.training import XPTTrainingArguments
    from xpt.release.hub import PushOptions, push
    from xpt.release.native import export_native, import_native
    from xpt.run.folder import Run
    from xpt.run.post_training import PostTraining
    from xpt.run.preparation import PreparedText, prepare_model, prepare_text
    from xpt.run.summary import summarize
    from xpt.training.evaluation import MLMEvaluation, evaluate_mlm
    from xpt.transplant.source import Source, open_source

__version__ = "0.1.0"

_MODULES = {
    "xpt.program.errors": "XPTError",
    "xpt.transplant.source": "open_source Source",
    "xpt.recipe.recipe": "Recipe",
    "xpt.recipe.source": "SourceArguments",
    "xpt.recipe.corpus": "CorpusArguments",
    "xpt.recipe.tokenizer": "TokenizerArguments",
    "xpt.recipe.phases": "PhaseArguments",
    "xpt.recipe.training": "XPTTrainingArguments",
    "xpt.recipe.command_line": "read_recipe",
    "xpt.run.preparation": "prepare_text PreparedText prepare_model",
    "xpt.run.post_training": "PostTraining",
    "xpt.run.folder": "Run",
    "xpt.run.summary": "summarize",
    "train_xpt": "post_train dry_run",
    "xpt.training.evaluation": "evaluate_mlm MLMEvaluation",
    "xpt.finetune.arguments": "ModelArguments TaskArguments FineTuningArguments",
    "xpt.finetune.plan": "Plan",
    "xpt.finetune.command": "read_plan",
    "finetune_klue": "fine_tune",
    "xpt.finetune.score": "score",
    "xpt.finetune.compare": "compare Comparison",
    "xpt.release.native": "export_native import_native",
    "xpt.release.hub": "push PushOptions",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "Comparison",
    "CorpusArguments",
    "FineTuningArguments",
    "MLMEvaluation",
    "ModelArguments",
    "PhaseArguments",
    "Plan",
    "PostTraining",
    "PreparedText",
    "PushOptions",
    "Recipe",
    "Run",
    "Source",
    "SourceArguments",
    "TaskArguments",
    "TokenizerArguments",
    "XPTError",
    "XPTTrainingArguments",
    "compare",
    "dry_run",
    "evaluate_mlm",
    "export_native",
    "fine_tune",
    "import_native",
    "open_source",
    "post_train",
    "prepare_model",
    "prepare_text",
    "push",
    "read_plan",
    "read_recipe",
    "score",
    "summarize",
]

sys.meta_path.insert(0, OldCommands())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
