"""What the loopback Hub holds: users, repositories, the content of files, and the faults it is to show."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse


@dataclass(frozen=True)
class User:
    """Who a token belongs to, and what it may do in organizations: "write" or "read"."""

    name: str
    organizations: dict[str, str] = field(default_factory=dict)

    def may_write(self, namespace: str) -> bool:
        return namespace == self.name or self.organizations.get(namespace) == "write"


@dataclass
class Repository:
    """Commits, oldest first, each with its files: SHA-256 by path."""

    private: bool
    commits: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return self.commits[-1][0]

    def resolve(self, revision: str) -> tuple[str, dict[str, str]] | None:
        """The commit that a branch, tag or commit stands for, and its files."""
        wanted = self.head if revision == "main" else self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit[0] == wanted), None)

    def commit(self, files: dict[str, str]) -> str:
        name = hashlib.sha1(f"{len(self.commits)} {sorted(files.items())} {id(self)}".encode()).hexdigest()
        self.commits.append((name, files))
        return name


@dataclass
class Fault:
    """An answer in place of the right one, for the next `times` requests whose path holds `on`."""

    status: int
    times: int
    on: str
    headers: dict[str, str]


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.response = JSONResponse({"error": message}, status, headers)


class HubState:
    """Everything that answers are made from; `hub_server.LoopbackHub` serves it."""

    url = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.users: dict[str, User] = {}
        self.repositories: dict[str, Repository] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []  # method and path of each, in order
        self.received, self.dead_after = 0, math.inf  # bytes of requests
        self.cut_download_at: int | None = None
        self.meanwhile: Callable[[], None] | None = None  # happens once, before the next commit
        folder.mkdir(parents=True, exist_ok=True)

    def fail(self, status: int, times: int = 1, on: str = "", **headers: str) -> None:
        self.faults.append(Fault(status, times, on, headers))

    def cut_upload(self, after: int) -> None:
        self.received, self.dead_after = 0, after

    def restore(self) -> None:
        self.dead_after, self.cut_download_at = math.inf, None
        self.faults.clear()

    def forget(self, repository: str) -> None:
        """Remove a repository and what no other one holds."""
        self.repositories.pop(repository, None)
        held = {
            sha256
            for other in self.repositories.values()
            for _, files in other.commits
            for sha256 in files.values()
        }
        for file in self.folder.iterdir():
            if file.name not in held:
                file.unlink()

    def files(self, repository: str, revision: str = "main") -> dict[str, bytes]:
        """Content of every file by path."""
        found = self.repositories[repository].resolve(revision)
        assert found is not None
        return {path: self.read(sha256) for path, sha256 in found[1].items()}

    # ---- content -----------------------------------------------------------------------------------------

    def read(self, sha256: str) -> bytes:
        return (self.folder / sha256).read_bytes()

    def keep(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        (self.folder / sha256).write_bytes(content)
        return sha256

    # ---- who may what ------------------------------------------------------------------------------------

    def user(self, request: Request) -> User | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given and given not in self.users:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return self.users.get(given)

    def open(self, request: Request, write: bool = False) -> Repository:
        """The repository that a path names, for who may see it."""
        name, user = "{owner}/{name}".format(**request.path_params), self.user(request)
        repository, owner = self.repositories.get(name), request.path_params["owner"]
        member = user is not None and (owner == user.name or owner in user.organizations)
        if repository is None or (repository.private and not member):
            raise RefusedError(404 if user else 401, "Repository not found", "RepoNotFound")
        if write and not (user and user.may_write(owner)):
            raise RefusedError(403 if user else 401, "You do not have the right to write here")
        return repository

    def revision(self, request: Request) -> tuple[str, dict[str, str]]:
        found = self.open(request).resolve(request.path_params.get("revision", "main"))
        if found is None:
            raise RefusedError(404, "Invalid rev id", "RevisionNotFound")
        return found
