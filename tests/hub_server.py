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

import threading
import time

import uvicorn
from hub_routes import application
from hub_state import HubState, User
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["LoopbackHub", "User"]


class LoopbackHub(HubState):
    """The server, in a thread of its own; see the top of this file."""

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

        config = uvicorn.Config(application(self), port=0, log_level="error", http=Line, lifespan="off")
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
