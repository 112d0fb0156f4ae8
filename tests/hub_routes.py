"""What the loopback Hub answers; where each fact was read stands in `hub_server.py`."""

import asyncio
import base64
import hashlib
import json
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import yaml
from hub_state import HubState, RefusedError, Repository
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

LARGE = (".safetensors", ".png")  # what goes to LFS
PART_BYTES = 65_536  # of a multipart upload; the real one has 5 MB and more


def application(hub: HubState) -> Starlette:
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


async def _whoami(hub: HubState, request: Request) -> Response:
    user = hub.user(request)
    if user is None:
        raise RefusedError(401, "Invalid username or password.")
    organizations = [{"name": name, "roleInOrg": role} for name, role in user.organizations.items()]
    return JSONResponse({"type": "user", "name": user.name, "orgs": organizations})


async def _create(hub: HubState, request: Request) -> Response:
    user, asked = hub.user(request), await request.json()
    namespace = asked.get("organization") or (user.name if user else "")
    if user is None or not user.may_write(namespace):
        raise RefusedError(
            403 if user else 401, "You don't have the rights to create a model under this namespace"
        )
    name = f"{namespace}/{asked['name']}"
    if name in hub.repositories:
        return JSONResponse({"error": "exists", "url": f"{hub.url}/{name}"}, 409)
    # Versions 1 of the client send `private`.
    hub.repositories[name] = Repository(asked.get("visibility") == "private" or asked.get("private") is True)
    hub.repositories[name].commit(
        {".gitattributes": hub.keep(b"*.bin filter=lfs diff=lfs merge=lfs -text\n")}
    )
    return JSONResponse({"url": f"{hub.url}/{name}", "name": name})


async def _validate_yaml(hub: HubState, request: Request) -> Response:
    content = (await request.json())["content"]
    try:
        front = yaml.safe_load(content.split("---\n")[1]) if content.startswith("---\n") else {}
        errors = [] if isinstance(front, dict) else [{"message": "metadata must be a mapping"}]
    except yaml.YAMLError as error:
        errors = [{"message": str(error)}]
    return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)


async def _info(hub: HubState, request: Request) -> Response:
    commit, files = hub.revision(request)
    name = "{owner}/{name}".format(**request.path_params)
    siblings = [{"rfilename": path} for path in sorted(files)]
    facts = {"id": name, "modelId": name, "sha": commit, "private": hub.repositories[name].private}
    return JSONResponse({**facts, "siblings": siblings, "tags": [], "downloads": 0})


async def _tree(hub: HubState, request: Request) -> Response:
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


async def _refs(hub: HubState, request: Request) -> Response:
    repository = hub.open(request)
    tags = [
        {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": to} for tag, to in repository.tags.items()
    ]
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head}
    return JSONResponse({"branches": [main], "tags": tags, "converts": [], "pullRequests": []})


async def _tag(hub: HubState, request: Request) -> Response:
    repository, (commit, _) = hub.open(request, write=True), hub.revision(request)
    tag = (await request.json())["tag"]
    if tag in repository.tags:
        raise RefusedError(409, "Tag reference exists already")
    repository.tags[tag] = commit
    return Response(status_code=200)


# ---- uploads ---------------------------------------------------------------------------------------------


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


async def _preupload(hub: HubState, request: Request) -> Response:
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


async def _batch(hub: HubState, request: Request) -> Response:
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


def _keep_object(hub: HubState, sha256: str, content: bytes) -> Response:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RefusedError(400, "The content is not what was announced")
    hub.keep(content)
    return Response(status_code=200)


async def _put(hub: HubState, request: Request) -> Response:
    return _keep_object(hub, request.path_params["sha256"], await request.body())


async def _part(hub: HubState, request: Request) -> Response:
    content = await request.body()
    (hub.folder / "{sha256}.part-{part}".format(**request.path_params)).write_bytes(content)
    return Response(status_code=200, headers={"ETag": hashlib.md5(content).hexdigest()})


async def _complete(hub: HubState, request: Request) -> Response:
    sha256, content = request.path_params["sha256"], b""
    for part in (await request.json())["parts"]:
        piece = (hub.folder / f"{sha256}.part-{part['partNumber']}").read_bytes()
        if hashlib.md5(piece).hexdigest() != part["etag"]:
            raise RefusedError(400, "A part is not the one that was confirmed")
        content += piece
    return _keep_object(hub, sha256, content)


async def _commit(hub: HubState, request: Request) -> Response:
    if hub.meanwhile:
        hub.meanwhile()
        hub.meanwhile = None
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


async def _resolve(hub: HubState, request: Request) -> Response:
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


async def _body(hub: HubState, content: bytes) -> AsyncIterator[bytes]:
    if hub.cut_download_at is not None and hub.cut_download_at < len(content):
        yield content[: hub.cut_download_at]
        hub.cut_download_at = None
        await asyncio.sleep(0.05)  # until it is on its way
        raise ConnectionResetError("cut on demand")
    yield content
