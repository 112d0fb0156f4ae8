"""Publish a model on the Hub: staged, uploaded in one commit, tagged, downloaded again and compared.

    xpt push output/xpt-ko org/xpt-ko --private true --tag v1.0
    xpt push output/xpt-ko org/xpt-ko --native_model_id org/xpt-ko-native --results output/nli
    xpt push output/xpt-ko org/xpt-ko --dry_run true

After a push the repository holds what was staged and nothing else. Interrupted, the same command finishes;
where all is done already it changes nothing.
"""

import json
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.sha import git_hash
from peft.utils import CONFIG_NAME as ADAPTER_CONFIG

from xpt.cards.klue_results import matching_results
from xpt.program.errors import XPTError
from xpt.program.options import OptionParser, leading
from xpt.program.script import main_of
from xpt.program.settings import option
from xpt.release.hub_access import check_access, check_repo_id, hub_errors
from xpt.release.staged_card import CardFacts
from xpt.release.staging import RESULTS, Base, Kind, Staged, find_kind, is_folder, stage
from xpt.release.verification import verify_published
from xpt.run.folder import Run

INTRODUCTION = """\
Publish a model on the Hugging Face Hub, and check what others get.

  xpt push FOLDER OWNER/NAME --OPTION VALUE ...

FOLDER is that of a finished run of post-training or fine-tuning (adapters too), of a phase's checkpoint,
or of a RoBERTa export. Only what belongs in a model repository goes there; --dry_run true lists it. The token
is that of `hf auth login` or HF_TOKEN. The same command again finishes what was interrupted."""


@dataclass(frozen=True)
class PushOptions:
    """Publishing.

    Example:
        >>> xpt.PushOptions(private=True, tag="v1.0").dry_run
        False
    """

    private: bool | None = option(
        None,
        "Only you and the owner's members see it. Default: as it is; of a new one, the account's.",
    )
    tag: str | None = option(
        None, "Name of this release, by which others pin it (revision=...). Default: the commit alone."
    )
    native_model_id: str | None = option(
        None,
        "Also publish the RoBERTa export there: a stock RoBERTa that needs no remote code. Default: none.",
    )
    results: list[str] | None = option(
        None, "Folders of finetune_klue.py's results, of this very checkpoint, for the card. Default: none."
    )
    base_model_id: str | None = option(
        None,
        "Where a fine-tuned model's base is on the Hub. Default: the id that it was taken from.",
    )
    dry_run: bool = option(False, "List what would be uploaded, and upload nothing.")


@dataclass(frozen=True)
class Publication:
    """One repository and what it now holds; no commit where nothing was uploaded."""

    repo_id: str
    staged: Staged
    commit: str | None = None
    tag: str | None = None

    def summary(self, endpoint: str) -> str:
        """What a person reads."""
        title = f"{self.repo_id}: {self.staged.kind}"
        if self.commit is None:
            return f"{title}, would hold\n{self.staged.listing()}"
        where = f"{endpoint}/{self.repo_id}/tree/{self.tag or self.commit}"
        return f"{title}, {len(self.staged.files)} files, downloaded and compared\n{where}"


def push(folder: str | Path, repo_id: str, options: PushOptions | None = None) -> list[Publication]:
    """Publish a folder, and its RoBERTa export where one is asked for.

    Only what belongs in a model repository is uploaded, in one commit, then downloaded again and compared.
    The token is that of `hf auth login` or `HF_TOKEN`.

    Args:
        folder: of a finished run, of a phase's checkpoint, or of a RoBERTa export.
        repo_id: OWNER/NAME.
        options: what else there is to say.

    Returns:
        What each repository now holds (`repo_id`, `staged.files`, `commit`, `tag`), the model's own first.

    Raises:
        XPTError: in one line, for whatever the user can fix. A repository changes in one commit: then it is
            as before, or complete.

    Example:
        >>> (would,) = xpt.push("output/mine", "org/mine", xpt.PushOptions(dry_run=True))  # nothing is sent
        >>> would.repo_id, would.commit, "model.safetensors" in would.staged.files
        ('org/mine', None, True)
    """
    folder, options, api = Path(folder), options or PushOptions(), HfApi()
    ids = [repo_id, *filter(None, (options.native_model_id,))]
    if len(set(ids)) < len(ids):
        raise XPTError(
            f"{repo_id} is both --native_model_id and the model's own; give the export another name"
        )
    for each in ids:
        check_repo_id(each) if options.dry_run else check_access(api, each)
    with tempfile.TemporaryDirectory(prefix="xpt-push-") as passing:
        originals = [folder, *([Path(passing) / "export"] if options.native_model_id else [])]
        staged = [_stage_model(api, folder, Path(passing) / "model", repo_id, options)]
        if options.native_model_id:
            staged.append(_stage_export(folder, Path(passing), repo_id, options))
        if options.dry_run:
            return [Publication(each, files) for each, files in zip(ids, staged, strict=True)]
        done = []
        for each, files, original in zip(ids, staged, originals, strict=True):
            with hub_errors(each):
                commit = _publish(api, each, files, options)
            verify_published(api, each, commit, files, original)
            done.append(Publication(each, files, commit, options.tag))
        return done


def push_command(folder: Path, repo_id: str, tag: str | None = None, private: bool | None = None) -> str:
    """The command that publishes a folder, to be typed later."""
    words = ["xpt", "push", str(folder), repo_id]
    words += [] if private is None else ["--private", str(private).lower()]
    return shlex.join([*words, *(["--tag", tag] if tag else [])])


# ---- staging ---------------------------------------------------------------------------------------------


def _stage_model(api: HfApi, folder: Path, into: Path, repo_id: str, options: PushOptions) -> Staged:
    if not folder.is_dir():
        raise XPTError(f"{folder}: no such folder")
    facts = CardFacts(
        repo_id,
        revision=options.tag,
        native_id=options.native_model_id,
        xpt_id=options.base_model_id,
        klue_results=tuple(matching_results(folder, map(Path, options.results or ()))),
    )
    base = _find_base(api, folder, options) if find_kind(folder) is Kind.ADAPTER else None
    return stage(folder, into, facts, base)


def _stage_export(folder: Path, passing: Path, repo_id: str, options: PushOptions) -> Staged:
    from xpt.release.native import export_native

    export = passing / "export"
    export_native(folder, export)
    facts = CardFacts(str(options.native_model_id), revision=options.tag, xpt_id=repo_id)
    return stage(export, passing / "native", facts)


def _find_base(api: HfApi, folder: Path, options: PushOptions) -> Base | None:
    """Where an adapter's base is on the Hub, pinned to a commit whose weights are those it was trained on."""
    results = Run(folder).results() if (folder / "results.json").exists() else {}
    name = options.base_model_id or results.get("model", {}).get("name")
    if not name or (options.base_model_id is None and is_folder(_named_base(folder))):
        return None  # staging says so
    if options.dry_run:
        return Base(name)
    with hub_errors(name):
        info = api.model_info(name, files_metadata=False)
        files = [file for file in api.list_repo_tree(name, revision=info.sha) if isinstance(file, RepoFile)]
    known = {file.lfs.sha256 for file in files if file.lfs}
    trained_on = results.get("model", {}).get("sha256")
    if options.base_model_id and trained_on and trained_on not in known:
        raise XPTError(f"{name}: its weights are not those that {folder} was trained on; name the right base")
    return Base(name, info.sha if trained_on in known else results.get("model", {}).get("revision"))


def _named_base(folder: Path) -> str:
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    return str(config.get("base_model_name_or_path"))


# ---- the Hub ---------------------------------------------------------------------------------------------


def _publish(api: HfApi, repo_id: str, staged: Staged, options: PushOptions) -> str:
    """Make the repository hold what is staged, in one commit, and tag that; the commit's name."""
    api.create_repo(repo_id, private=options.private, exist_ok=True)
    info = api.model_info(repo_id)
    if options.private and not info.private:
        raise XPTError(f"{repo_id} exists and is public; make it private in its settings, or name another")
    tagged = tags(api, repo_id).get(options.tag or "")
    if tagged is not None:
        if any(_changes(api, repo_id, tagged, staged)):
            raise XPTError(f"{repo_id}: its tag {options.tag} is of other content; give another --tag")
        return tagged
    head = str(info.sha)
    new, gone = _changes(api, repo_id, head, staged)
    if staged.kind is Kind.PHASE and RESULTS in gone:
        raise XPTError(f"{repo_id} holds a finished model, whose place this phase would take; name another")
    if new or gone:
        files = [CommitOperationAdd(name, staged.folder / name) for name in new]
        rest = [CommitOperationDelete(name) for name in gone]
        message = f"Publish a {staged.kind}" + (f", {options.tag}" if options.tag else "")
        # One commit, so that nobody ever finds half of it; what others commit meanwhile is not undone.
        done = api.create_commit(repo_id, [*files, *rest], commit_message=message, parent_commit=head)
        head = done.oid
    if options.tag:
        api.create_tag(repo_id, tag=options.tag, revision=head)
    return head


def tags(api: HfApi, repo_id: str) -> dict[str, str]:
    """Commits by tag."""
    return {tag.name: tag.target_commit for tag in api.list_repo_refs(repo_id).tags}


def _changes(api: HfApi, repo_id: str, revision: str, staged: Staged) -> tuple[list[str], list[str]]:
    """Staged files that a revision lacks or has otherwise, and those that it has beside."""
    tree = api.list_repo_tree(repo_id, recursive=True, revision=revision)
    there = {file.path: file for file in tree if isinstance(file, RepoFile)}
    new = [name for name in staged.files if name not in there or not _is_same(there[name], staged, name)]
    return new, sorted(set(there) - set(staged.files))


def _is_same(there: RepoFile, staged: Staged, name: str) -> bool:
    if there.lfs is not None:
        return there.lfs.sha256 == staged.files[name].sha256
    # What git keeps itself is small, and known by git's own hash.
    return there.size == staged.files[name].size and there.blob_id == git_hash(
        (staged.folder / name).read_bytes()
    )


# ---- command line ----------------------------------------------------------------------------------------


def make_parser() -> OptionParser:
    """The parser behind `xpt push --help`."""
    return OptionParser((PushOptions,), "xpt push", INTRODUCTION)


def _push(arguments: Sequence[str]) -> str:
    places = leading(arguments)
    (options,) = make_parser().read(arguments[len(places) :], Path).parts
    if len(places) != 2:
        raise XPTError("say what goes where: xpt push FOLDER OWNER/NAME (see --help)")
    done = push(Path(places[0]), places[1], options)
    return "\n".join(publication.summary(HfApi().endpoint) for publication in done)


main = main_of(_push)
