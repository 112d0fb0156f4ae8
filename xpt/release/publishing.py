"""What scripts publish: the options that any training shares, and a push whose failure ends nothing.

Whether one may write to the repository is found before anything is trained. Later on the Hub may be down:
then a line says so, with the command that publishes when it is back.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from xpt.program.errors import XPTError, user_message
from xpt.program.launcher import say
from xpt.release.hub import PushOptions, push, push_command, tags
from xpt.release.hub_access import check_access, hub_errors
from xpt.training.arguments import HubArguments


@dataclass(frozen=True)
class Publisher:
    """Where a run's models go."""

    repo_id: str
    private: bool | None = None

    @classmethod
    def of(cls, arguments: HubArguments, repo_id: str | None = None) -> "Publisher | None":
        """The publisher that options ask for, to `repo_id` or else --hub_model_id; None for none.

        Raises `XPTError` for options that do not go together.
        """
        repo_id = repo_id or arguments.hub_model_id
        if not arguments.push_to_hub:
            if repo_id:
                raise XPTError("--hub_model_id has no effect without --push_to_hub true")
            return None
        if not repo_id:
            raise XPTError("--push_to_hub: say where to, --hub_model_id OWNER/NAME")
        return cls(repo_id, arguments.hub_private_repo)

    def check(self, new_tags: Collection[str] = ()) -> Collection[str]:
        """Tags that there are. Raises `XPTError` unless one may write, and the tags to come are free."""
        api = HfApi()
        check_access(api, self.repo_id)
        try:
            with hub_errors(self.repo_id):
                taken = tags(api, self.repo_id)
        except XPTError as error:
            if isinstance(error.__cause__, RepositoryNotFoundError):
                return ()
            raise
        for tag in new_tags:
            if tag in taken:
                raise XPTError(f"{self.repo_id} has a tag {tag} of another run; give another --hub_model_id")
        return taken

    def publish(self, folder: Path, tag: str | None = None) -> bool:
        """Push a folder. Where that fails, say so in one line, and how to do it later."""
        try:
            (done,) = push(folder, self.repo_id, PushOptions(private=self.private, tag=tag))
        except Exception as error:  # whatever it is, hours of training are worth more
            reason = user_message(error) or f"{type(error).__name__}"
            say(
                f"warning: {folder} is not published ({reason}); later: "
                f"{push_command(folder, self.repo_id, tag, self.private)}"
            )
            return False
        say(f"published {folder}: {done.summary(HfApi().endpoint).splitlines()[-1]}")
        return True
