"""The Hub's refusals in one line each, and who may write where, found before any work is done.

The token is the library's own: from `hf auth login` or HF_TOKEN. Nothing here reads, keeps or prints it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from xpt.program.errors import XPTError

_AGAIN = "start the same command again, it goes on"
_WRITERS = ("admin", "write", "contributor")


def check_repo_id(repo_id: str) -> None:
    """Raise `XPTError` for what is no `owner/name`."""
    try:
        validate_repo_id(repo_id)
        owned = "/" in repo_id
    except HFValidationError:
        owned = False
    if not owned:
        raise XPTError(f"{repo_id!r} is no name of a model repository; give OWNER/NAME")


def check_access(api: HfApi, repo_id: str) -> None:
    """Raise `XPTError` where nobody is logged in, or not as somebody who may write there."""
    check_repo_id(repo_id)
    with hub_errors(repo_id):
        account = api.whoami()
    owner = repo_id.split("/")[0]
    token = (account.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise XPTError("the token may only read; make one that may write and give it to `hf auth login`")
    if owner == account["name"]:
        return
    roles = {one["name"]: one.get("roleInOrg", "write") for one in account.get("orgs", ())}
    if owner not in roles:
        known = ", ".join([account["name"], *roles])
        raise XPTError(f"{repo_id}: you are not {owner} nor a member of it; you are {known}")
    if roles[owner] not in _WRITERS:
        raise XPTError(f"{repo_id}: in {owner} you may only {roles[owner]}; ask its administrators")


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Turn what the client raises into an `XPTError` of one line, where a user can fix it."""
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise XPTError(f"{repo_id}: {reason}") from error


def _reason(error: BaseException) -> str | None:
    """What happened and the way out; None for the program's own faults."""
    if isinstance(error, LocalTokenNotFoundError):
        return "you are not logged in to the Hub; run `hf auth login`, or set HF_TOKEN"
    if isinstance(error, OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE forbids to reach the Hub; unset it and {_AGAIN}"
    if isinstance(error, LocalEntryNotFoundError):  # a download's way to say that the cache is no help either
        return _reason(error.__cause__) if error.__cause__ else f"the Hub cannot be reached; {_AGAIN}"
    if isinstance(error, HfHubHTTPError):
        return _refusal(error)
    if isinstance(error, HTTPError):  # no answer at all
        return f"the Hub cannot be reached ({type(error).__name__}); {_AGAIN}"
    # A file's failure comes wrapped by the thread that uploaded it.
    return _reason(error.__cause__) if isinstance(error, RuntimeError) and error.__cause__ else None


def _refusal(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    said = _without_token(error.response.headers.get("X-Error-Message") or error.server_message or "")
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        return "the Hub does not accept your token; run `hf auth login` again"
    if status in (401, 404):
        return f"the Hub has no such repository or revision, or not for you ({status}); check name and login"
    if status == 403:
        return f"you have no right to do that ({said or status}); check the owner's name and your token"
    if status == 412:
        return f"somebody else has changed the repository meanwhile; {_AGAIN}"
    if status == 429:
        return f"the Hub has had too many requests (429); wait a little, then {_AGAIN}"
    if status >= 500:
        return f"the Hub has a fault of its own ({status}); {_AGAIN}"
    return f"the Hub refuses ({status}{f': {said}' if said else ''})"


def _without_token(text: str) -> str:
    return re.sub(r"hf_\w+", "hf_***", " ".join(text.split()))[:200]
