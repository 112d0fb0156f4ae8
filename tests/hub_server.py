"""A small Hub on the loopback device, for clients that know nothing of it but `HF_ENDPOINT`.

    with LoopbackHub(folder) as hub:
        hub.users["hf_..."] = User("gildong", {"org": "write"})
        hub.url                             what HF_ENDPOINT is set to, with HF_HUB_DISABLE_XET=1
        hub.fail(503, times=1, on="/lfs/")  the next request whose path holds this is answered so
        hub.cut_upload(1000)                the line goes dead once so many bytes of requests have come
        hub.restore()                       all is well again

Files are kept in one folder, by their SHA-256; a repository is a list of commits, each a dictionary of paths.
Where each fact of the protocol was read, in huggingface_hub 2.4.0 (there is no public server to ask):

* whoami-v2, repos/create (`visibility`, 409 where it exists, 403 for a foreign namespace), tag (409), refs,
  tree, revision, validate-yaml (called for every commit with a README.md): `hf_api.py`
* preupload (`uploadMode`, `shouldIgnore`, `oid` of what is there), the commit's lines of JSON (header, file,
  lfsFile, deletedFile, deletedFolder): `_commit_api.py`; `oid` of a plain file is git's SHA-1 of the blob
* LFS batch, one PUT for a small object, numbered parts with ETags and a completion for a large one: `lfs.py`
* resolve: HEAD and GET with X-Repo-Commit, ETag, X-Linked-Size, Range: `file_download.py`
* X-Error-Code and X-Error-Message, by which errors are told apart: `utils/_http.py`

What the real Hub does and no client's code says (401 instead of 404 where nobody is logged in) is from
https://huggingface.co/docs/hub/api and the comments of `hf_raise_for_status`.
"""

import asyncio
import base64
import hashlib
import json
import math
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

LARGE = (".safetensors", ".png")  # what goes to LFS
PART_BYTES = 65_536  # of a multipart upload; the real one has 5 MB and more


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


class LoopbackHub:
    """The server, in a thread of its own; see the top of this file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.users, self.repositories = folder, {}, {}
        self.users: dict[str, User] = {}
        self.repositories: dict[str, Repository] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []  # method and path of each, in order
        self.received, self.dead_after = 0, math.inf  # bytes of requests
        self.cut_download_at: int | None = None
        folder.mkdir(parents=True, exist_ok=True)

    # ---- for tests ---------------------------------------------------------------------------------------

    def __enter__(self) -> "LoopbackHub":
        hub = self

        class Line(H11Protocol):
            """A connection that breaks when the hub has received what it was told to."""

            def data_received(self, data: bytes) -> None:
                room = hub.dead_after - hub.received
                hub.received += len(data)
                if len(data) <= room:
                    super().data_received(data)
                    return
                if room > 0:
                    super().data_received(data[: int(room)])
                self.transport.abort()

        config = uvicorn.Config(_application(self), port=0, log_level="error", http=Line, lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *error: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)

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


def _application(hub: LoopbackHub) -> Starlette:
    repository, methods = "/api/models/{owner}/{name}", {"POST": ["POST"], "PUT": ["PUT"]}
    routes: list[tuple[str, Callable, list[str] | None]] = [
        ("/api/whoami-v2", _whoami, None),
        ("/api/repos/create", _create, methods["POST"]),
        ("/api/validate-yaml", _validate_yaml, methods["POST"]),
        (f"{repository}/preupload/{{revision}}", _preupload, methods["POST"]),
        (f"{repository}/commit/{{revision}}", _commit, methods["POST"]),
        (f"{repository}/tag/{{revision}}", _tag, methods["POST"]),
        (f"{repository}/refs", _refs, None),
        (f"{repository}/tree/{{revision}}", _tree, None),
        (f"{repository}/revision/{{revision}}", _info, None),
        (repository, _info, None),
        ("/{owner}/{name}.git/info/lfs/objects/batch", _batch, methods["POST"]),
        ("/lfs/complete/{sha256}", _complete, methods["POST"]),
        ("/lfs/{sha256}/{part:int}", _part, methods["PUT"]),
        ("/lfs/{sha256}", _put, methods["PUT"]),
        ("/{owner}/{name}/resolve/{revision}/{path:path}", _resolve, None),
    ]

    def guarded(answer: Callable) -> Callable:
        async def handle(request: Request) -> Response:
            hub.requests.append(f"{request.method} {request.url.path}")
            for fault in hub.faults:
                if fault.times and fault.on in request.url.path:
                    fault.times -= 1
                    return JSONResponse({"error": "on demand"}, fault.status, fault.headers)
            try:
                return await answer(hub, request)
            except RefusedError as refused:
                return refused.response

        return handle

    return Starlette(routes=[Route(path, guarded(answer), methods=given) for path, answer, given in routes])


# ---- accounts and repositories ---------------------------------------------------------------------------


async def _whoami(hub: LoopbackHub, request: Request) -> Response:
    user = hub.user(request)
    if user is None:
        raise RefusedError(401, "Invalid username or password.")
    organizations = [{"name": name, "roleInOrg": role} for name, role in user.organizations.items()]
    return JSONResponse({"type": "user", "name": user.name, "orgs": organizations})


async def _create(hub: LoopbackHub, request: Request) -> Response:
    user, asked = hub.user(request), await request.json()
    namespace = asked.get("organization") or (user.name if user else "")
    if user is None or not user.may_write(namespace):
        raise RefusedError(
            403 if user else 401, "You don't have the rights to create a model under this namespace"
        )
    name = f"{namespace}/{asked['name']}"
    if name in hub.repositories:
        return JSONResponse({"error": "exists", "url": f"{hub.url}/{name}"}, 409)
    hub.repositories[name] = Repository(asked.get("visibility") == "private")
    hub.repositories[name].commit(
        {".gitattributes": hub.keep(b"*.bin filter=lfs diff=lfs merge=lfs -text\n")}
    )
    return JSONResponse({"url": f"{hub.url}/{name}", "name": name})


async def _validate_yaml(hub: LoopbackHub, request: Request) -> Response:
    content = (await request.json())["content"]
    try:
        front = yaml.safe_load(content.split("---\n")[1]) if content.startswith("---\n") else {}
        errors = [] if isinstance(front, dict) else [{"message": "metadata must be a mapping"}]
    except yaml.YAMLError as error:
        errors = [{"message": str(error)}]
    return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)


async def _info(hub: LoopbackHub, request: Request) -> Response:
    commit, files = hub.revision(request)
    name = "{owner}/{name}".format(**request.path_params)
    siblings = [{"rfilename": path} for path in sorted(files)]
    facts = {"id": name, "modelId": name, "sha": commit, "private": hub.repositories[name].private}
    return JSONResponse({**facts, "siblings": siblings, "tags": [], "downloads": 0})


async def _tree(hub: LoopbackHub, request: Request) -> Response:
    _, files = hub.revision(request)
    entries = []
    for path, sha256 in sorted(files.items()):
        size = len(hub.read(sha256))
        entry: dict[str, Any] = {"type": "file", "path": path, "size": size}
        entry["oid"] = _git_sha1(hub.read(sha256))
        if path.endswith(LARGE):
            entry["lfs"] = {"oid": sha256, "size": size, "pointerSize": 134}
        entries.append(entry)
    return JSONResponse(entries)


async def _refs(hub: LoopbackHub, request: Request) -> Response:
    repository = hub.open(request)
    tags = [
        {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": to} for tag, to in repository.tags.items()
    ]
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head}
    return JSONResponse({"branches": [main], "tags": tags, "converts": [], "pullRequests": []})


async def _tag(hub: LoopbackHub, request: Request) -> Response:
    repository, (commit, _) = hub.open(request, write=True), hub.revision(request)
    tag = (await request.json())["tag"]
    if tag in repository.tags:
        raise RefusedError(409, "Tag reference exists already")
    repository.tags[tag] = commit
    return Response(status_code=200)


# ---- uploads ---------------------------------------------------------------------------------------------


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


async def _preupload(hub: LoopbackHub, request: Request) -> Response:
    repository, (_, files) = hub.open(request, write=True), hub.revision(request)
    assert repository is not None
    answers = []
    for file in (await request.json())["files"]:
        large, sha256 = file["path"].endswith(LARGE), files.get(file["path"])
        answer = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if sha256:
            answer["oid"] = sha256 if large else _git_sha1(hub.read(sha256))
        answers.append(answer)
    return JSONResponse({"files": answers})


async def _batch(hub: LoopbackHub, request: Request) -> Response:
    hub.open(request, write=True)
    objects = []
    for entry in (await request.json())["objects"]:
        sha256, size = entry["oid"], entry["size"]
        if not (hub.folder / sha256).exists():
            upload: dict[str, Any] = {"href": f"{hub.url}/lfs/{sha256}"}
            if size > PART_BYTES:
                parts = range(1, math.ceil(size / PART_BYTES) + 1)
                urls = {str(part): f"{hub.url}/lfs/{sha256}/{part}" for part in parts}
                upload = {"href": f"{hub.url}/lfs/complete/{sha256}"}
                upload["header"] = {"chunk_size": str(PART_BYTES), **urls}
            entry = {**entry, "actions": {"upload": upload}}
        objects.append(entry)
    return JSONResponse({"transfer": "basic", "objects": objects})


def _keep_object(hub: LoopbackHub, sha256: str, content: bytes) -> Response:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RefusedError(400, "The content is not what was announced")
    hub.keep(content)
    return Response(status_code=200)


async def _put(hub: LoopbackHub, request: Request) -> Response:
    return _keep_object(hub, request.path_params["sha256"], await request.body())


async def _part(hub: LoopbackHub, request: Request) -> Response:
    content = await request.body()
    (hub.folder / "{sha256}.part-{part}".format(**request.path_params)).write_bytes(content)
    return Response(status_code=200, headers={"ETag": hashlib.md5(content).hexdigest()})


async def _complete(hub: LoopbackHub, request: Request) -> Response:
    sha256, content = request.path_params["sha256"], b""
    for part in (await request.json())["parts"]:
        piece = (hub.folder / f"{sha256}.part-{part['partNumber']}").read_bytes()
        if hashlib.md5(piece).hexdigest() != part["etag"]:
            raise RefusedError(400, "A part is not the one that was confirmed")
        content += piece
    return _keep_object(hub, sha256, content)


async def _commit(hub: LoopbackHub, request: Request) -> Response:
    repository, (head, before) = hub.open(request, write=True), hub.revision(request)
    files = dict(before)
    for line in (await request.body()).splitlines():
        entry = json.loads(line)
        value = entry["value"]
        if entry["key"] == "header" and value.get("parentCommit", head) != head:
            raise RefusedError(412, "A commit has happened since")
        if entry["key"] == "file":
            files[value["path"]] = hub.keep(base64.b64decode(value["content"]))
        elif entry["key"] == "lfsFile":
            if not (hub.folder / value["oid"]).exists():
                raise RefusedError(400, "An object was never uploaded")
            files[value["path"]] = value["oid"]
        elif entry["key"] == "deletedFile":
            del files[value["path"]]
        elif entry["key"] == "deletedFolder":
            files = {path: oid for path, oid in files.items() if not path.startswith(value["path"])}
    commit = repository.commit(files)
    url = "{}/{owner}/{name}/commit/{}".format(hub.url, commit, **request.path_params)
    return JSONResponse({"commitUrl": url, "commitOid": commit, "hookOutput": ""})


# ---- downloads -------------------------------------------------------------------------------------------


async def _resolve(hub: LoopbackHub, request: Request) -> Response:
    commit, files = hub.revision(request)
    path = request.path_params["path"]
    if path not in files:
        response = RefusedError(404, "Entry not found", "EntryNotFound").response
        response.headers["X-Repo-Commit"] = commit
        return response
    content = hub.read(files[path])
    headers = {"X-Repo-Commit": commit, "ETag": f'"{files[path]}"', "Accept-Ranges": "bytes"}
    start, whole = 0, len(content)
    if request.headers.get("range"):
        start = int(request.headers["range"].removeprefix("bytes=").split("-")[0])
        if start >= whole:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{whole}"})
        headers["Content-Range"] = f"bytes {start}-{whole - 1}/{whole}"
    headers["Content-Length"] = str(whole - start)
    if request.method == "HEAD":
        return Response(headers=headers)
    body = _body(hub, content[start:])
    return StreamingResponse(body, 206 if start else 200, headers, "application/octet-stream")


async def _body(hub: LoopbackHub, content: bytes) -> AsyncIterator[bytes]:
    if hub.cut_download_at is not None and hub.cut_download_at < len(content):
        yield content[: hub.cut_download_at]
        hub.cut_download_at = None
        await asyncio.sleep(0.05)  # until it is on its way
        raise ConnectionResetError("cut on demand")
    yield content
