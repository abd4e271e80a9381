"""A hub on the loopback that answers what the real `huggingface_hub` client asks: as the real one, without xet.

Repositories are lists of commits, each a dict of files; large files go through Git LFS, as parquet and weights do
there. A data set's key is OWNER/NAME, a model's `models/OWNER/NAME`; `discussions` are its pull requests.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

LARGE = (".parquet", ".safetensors", ".onnx", ".bin", ".pkl", ".pt")
#: Who each token stands for.
PEOPLE = {
    "hf_writer": {"name": "me", "orgs": [{"name": "team"}], "auth": {"accessToken": {"role": "write"}}},
    "hf_reader": {"name": "me", "orgs": [], "auth": {"accessToken": {"role": "read"}}},
}


class Hub(ThreadingHTTPServer):
    """`stall` holds an upload of a large file after its first bytes, and then sets `stalled`; `spoil` names a large
    file whose downloads give other bytes; `asked` holds method and path of every request, `agents` who asked; `tags`
    the commits that names stand for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, Any]] = {}
        self.large: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.asked: list[str] = []
        self.agents: set[str] = set()
        self.stall, self.spoil = False, ""
        self.stalled = threading.Event()
        self.received = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, name: str, files: dict[str, bytes | str], private: bool = False) -> str:
        """`files`: content by path, text standing for the digest of a large file."""
        repository = self.repositories.setdefault(name, {"private": private, "commits": [], "discussions": []})
        sha = hashlib.sha1(f"{name} {len(repository['commits'])}".encode()).hexdigest()
        repository["commits"].append({"sha": sha, "files": files})
        return sha

    def put(self, name: str, files: dict[str, bytes]) -> str:
        """A data set or model as somebody else published it."""
        for content in files.values():
            self.large[hashlib.sha256(content).hexdigest()] = content
        stored = {
            path: hashlib.sha256(content).hexdigest() if path.endswith(LARGE) else content
            for path, content in files.items()
        }
        return self.commit(name, stored)

    def head(self, name: str) -> dict[str, Any]:
        return self.repositories[name]["commits"][-1]


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.route()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def route(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        self.server.agents.add(self.headers.get("User-Agent", ""))
        parts = path.strip("/").split("/")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.person = PEOPLE.get(token)
        if token and self.person is None and parts[0] != "large":
            return self.refuse(401, "", "Invalid credentials in Authorization header")
        if parts == ["api", "whoami-v2"]:
            return self.answer(self.person)
        if parts == ["api", "validate-yaml"]:
            return self.validate()
        if parts == ["api", "repos", "create"]:
            return self.create()
        if parts[0] == "large":
            return self.receive(parts[1])
        api = parts[0] == "api"
        if not api and parts[0] != "datasets":  # pages and files of models have no prefix
            parts = ["models", *parts]
        if not api and parts[2].endswith(".git"):
            return self.batch()
        name = "/".join(parts[2:4] if api else parts[1:3])
        rest = parts[4:] if api else parts[3:]
        if parts[api] == "models":
            name = f"models/{name}"
        repository = self.server.repositories.get(name)
        if repository is None or (repository["private"] and not self.person):
            return self.refuse(404 if self.person else 401, "RepoNotFound", "Repository not found")
        if not api:
            return self.resolve(name, rest[1], "/".join(rest[2:]))
        if rest[:1] in ([], ["revision"]):
            return self.describe(name, repository, "/".join(rest[1:]) or "main")
        if rest[0] == "discussions":
            there = repository["discussions"]
            return self.answer({"discussions": there, "count": len(there), "start": 0})
        if rest[0] == "tree":
            return self.answer([self.entry(path, of) for path, of in self.at(name, rest[1]).items()])
        if rest[0] == "preupload":
            return self.preupload(name)
        if rest[0] == "commit":
            return self.accept(name)
        return self.refuse(404, "", "no such address")

    # What is asked for

    def at(self, name: str, sha: str) -> dict[str, bytes | str]:
        return next(c["files"] for c in self.server.repositories[name]["commits"] if c["sha"] == sha)

    def named(self, repository: dict[str, Any], revision: str) -> dict[str, Any] | None:
        """The commit of a branch, tag or commit."""
        if revision == "main":
            return repository["commits"][-1]
        sha = self.server.tags.get(revision, revision)
        return next((commit for commit in repository["commits"] if commit["sha"] == sha), None)

    def entry(self, path: str, of: bytes | str) -> dict[str, Any]:
        if isinstance(of, bytes):
            return {"type": "file", "path": path, "size": len(of), "oid": git_oid(of)}
        size = len(self.server.large[of])
        lfs = {"oid": of, "size": size, "pointerSize": 130}
        return {"type": "file", "path": path, "size": size, "oid": git_oid(of.encode()), "lfs": lfs}

    def describe(self, name: str, repository: dict[str, Any], revision: str) -> None:
        head = self.named(repository, revision)
        if head is None:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        siblings = []
        for path, of in head["files"].items():
            sibling = {"rfilename": path}
            if isinstance(of, str) and "blobs" in self.path:
                sibling["lfs"] = {"sha256": of, "size": len(self.server.large[of]), "pointerSize": 130}
            siblings.append(sibling)
        self.answer({"id": name, "sha": head["sha"], "private": repository["private"], "siblings": siblings})

    def resolve(self, name: str, sha: str, path: str) -> None:
        of = self.at(name, sha)[path]
        content = of if isinstance(of, bytes) else self.server.large[of]
        self.send_response(200)
        self.send_header("X-Repo-Commit", sha)
        self.send_header("ETag", f'"{git_oid(content)}"')
        if isinstance(of, str):
            self.send_header("X-Linked-Etag", f'"{of}"')
            self.send_header("X-Linked-Size", str(len(content)))
            content = bytes([content[0] ^ (path == self.server.spoil)]) + content[1:]
        self.finish_with(content)

    # What is sent

    def create(self) -> None:
        asked = json.loads(self.body())
        if self.person is None:
            return self.refuse(401, "", "Who are you?")
        name = f"{asked['organization']}/{asked['name']}"
        address = {"url": f"{self.server.url}/datasets/{name}"}
        if asked.get("type", "model") == "model":
            address, name = {"url": f"{self.server.url}/{name}"}, f"models/{name}"
        if name in self.server.repositories:
            return self.answer({"error": "You already created this repo", **address}, 409)
        private = asked.get("visibility") == "private" or asked.get("private", False)
        self.server.commit(name, {".gitattributes": b"*.parquet filter=lfs\n"}, private)
        self.answer(address)

    def validate(self) -> None:
        header = json.loads(self.body())["content"].partition("---")[2].partition("---")[0]
        if isinstance(yaml.safe_load(header), dict):
            return self.answer({"errors": [], "warnings": []})
        self.answer({"errors": [{"message": "that is no header"}], "warnings": []}, 400)

    def preupload(self, name: str) -> None:
        files = self.server.head(name)["files"]
        answers = []
        for file in json.loads(self.body())["files"]:
            there = files.get(file["path"])
            oid = git_oid(there) if isinstance(there, bytes) else there
            mode = "lfs" if file["path"].endswith(LARGE) else "regular"
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.answer({"files": answers})

    def batch(self) -> None:
        objects = []
        for wanted in json.loads(self.body())["objects"]:
            here = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.server.large:
                here["actions"] = {"upload": {"href": f"{self.server.url}/large/{wanted['oid']}"}}
            objects.append(here)
        self.answer({"transfer": "basic", "objects": objects})

    def receive(self, oid: str) -> None:
        if self.server.stall:
            self.server.received += len(self.rfile.read(1000))
            self.server.stalled.set()
            while self.rfile.read(1):  # what was on its way, until the client is gone
                pass
            return
        content = self.body()
        if hashlib.sha256(content).hexdigest() != oid:
            return self.refuse(400, "", "other bytes than announced")
        self.server.large[oid] = content
        self.answer({})

    def accept(self, name: str) -> None:
        files = dict(self.server.head(name)["files"])
        for line in self.body().splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                if value["oid"] not in self.server.large:
                    return self.refuse(400, "", f"{value['path']} was not uploaded")
                files[value["path"]] = value["oid"]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        sha = self.server.commit(name, files)
        page = name.removeprefix("models/") if name.startswith("models/") else f"datasets/{name}"
        self.answer({"commitUrl": f"{self.server.url}/{page}/commit/{sha}", "commitOid": sha})

    # How

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def answer(self, content: object, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.finish_with(json.dumps(content).encode())

    def refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Message", message)
        if code:
            self.send_header("X-Error-Code", code)
        self.finish_with(json.dumps({"error": message}).encode())

    def finish_with(self, content: bytes) -> None:
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def own_folders(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """A working folder, a user's folder and a data home below `folder`, and no token."""
    for name in ("HOME", "XDG_DATA_HOME", "HF_HOME"):
        patch.setenv(name, str(folder / "user"))
    patch.setenv("HUBBUB_HOME", str(folder / "home"))
    patch.setenv("NO_PROXY", "127.0.0.1")
    patch.setenv("HF_HUB_DISABLE_XET", "1")  # which the hub next door does not speak
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        patch.delenv(name, raising=False)
    patch.chdir(folder)


@contextmanager
def hub_next_door(patch: pytest.MonkeyPatch, user: Path) -> Iterator[Hub]:
    """A hub that commands find by the environment, and this process by what the client read of it at import. `user` is
    the folder where the client looks for the user's token."""
    from huggingface_hub import constants

    server = Hub()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    patch.setenv("HF_ENDPOINT", server.url)
    patch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr(constants, "HF_TOKEN_PATH", str(user / "token"))
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
