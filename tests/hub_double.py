"""A small Hub on loopback for the real clients: `huggingface_hub` and `datasets` push to it and pull from it.

Everything is in memory. Faults are put in front of it with `HubDouble.fault`. Small files are kept as git would,
larger or binary ones as LFS objects, served from another origin (localhost instead of 127.0.0.1) as the Hub does.
"""

import asyncio
import hashlib
import json
import re
import threading
import time
from base64 import b64decode
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

OWNER_TOKEN = "hf_owner"
READER_TOKEN = "hf_reader"
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}


@dataclass(frozen=True)
class Stored:
    """One file in one commit."""

    content: bytes
    lfs: bool

    @cached_property
    def oid(self) -> str:
        """What the Hub sends as ETag: the SHA-256 of an LFS object, git's SHA-1 of another."""
        if self.lfs:
            return hashlib.sha256(self.content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()


@dataclass
class Repository:
    """A repository without merges: each branch is a list of commits."""

    private: bool = False
    gated: bool = False
    sdk: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, Stored]] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, Stored], title: str) -> str:
        digest = hashlib.sha1(f"{len(self.commits)} {title} {sorted(files)} {time.time_ns()}".encode()).hexdigest()
        self.commits[digest] = files
        self.titles.append(title)
        self.branches[branch] = digest
        return digest

    def files(self, revision: str) -> tuple[str, dict[str, Stored]]:
        digest = self.branches.get(revision, revision)
        if digest not in self.commits:
            raise HTTPException(404, headers={"X-Error-Code": "RevisionNotFound"})
        return digest, self.commits[digest]


@dataclass(frozen=True)
class Fault:
    """What happens to requests whose "METHOD /path" matches."""

    pattern: str
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    """Before the answer begins."""
    cut_after_bytes: int | None = None
    """Of the body, then the connection is closed."""
    stall_after_bytes: int | None = None
    """Of the body, then nothing more comes."""
    once: bool = False
    """Only the first such request."""


class HubDouble:
    """Run as `with HubDouble() as hub:`; `hub.url` is what HF_ENDPOINT must be."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.tokens = {OWNER_TOKEN: "user", READER_TOKEN: "reader"}
        self.granted = {OWNER_TOKEN}
        self.requests: list[str] = []
        self.unknown: list[str] = []
        self.faults: list[Fault] = []
        self.closing = threading.Event()
        app = make_app(self)
        self.server = uvicorn.Server(
            uvicorn.Config(
                FaultyApp(app, self),
                host="127.0.0.1",
                port=0,
                log_level="critical",
                timeout_graceful_shutdown=1,
                ws="none",
            )
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> "HubDouble":
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.server.should_exit = True
        self.thread.join(5)

    @contextmanager
    def fault(self, pattern: str = "", **what):
        """Requests whose "METHOD /path" holds `pattern` (a regular expression) meet this fault, see `Fault`."""
        fault = Fault(pattern, **what)
        self.faults.append(fault)
        try:
            yield
        finally:
            if fault in self.faults:
                self.faults.remove(fault)

    def put(self, repo_id: str, files: dict[str, bytes], kind: str = "models", branch: str = "main", **options) -> str:
        """A commit without a client; returns its digest."""
        repository = self.repositories.setdefault((kind, repo_id), Repository(**options))
        stored = {path: Stored(content, is_lfs(path, content[:512], len(content))) for path, content in files.items()}
        before = repository.commits.get(repository.branches.get(branch, ""), {})
        return repository.commit(branch, before | stored, "put")


def is_lfs(path: str, sample: bytes, size: int) -> bool:
    return path.endswith((".safetensors", ".parquet")) or size > 1_000_000 or b"\0" in sample


class FaultyApp:
    """ASGI: the faults in front of the app, and a record of what was asked."""

    def __init__(self, app: FastAPI, hub: HubDouble) -> None:
        self.app, self.hub = app, hub

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        line = f"{scope['method']} {scope['path']}"
        if scope["path"] == "/api/agent-harnesses":  # the client asks that once a day, for itself
            await Response(status_code=404)(scope, receive, send)
            return
        self.hub.requests.append(line)
        fault = next((fault for fault in self.hub.faults if re.search(fault.pattern, line)), None)
        if fault is None:
            await self.app(scope, receive, send)
            return
        if fault.once:
            self.hub.faults.remove(fault)
        await self.wait(fault.delay_s)
        if fault.status is not None:
            await JSONResponse({"error": "injected"}, fault.status, dict(fault.headers))(scope, receive, send)
            return
        limit = fault.cut_after_bytes if fault.cut_after_bytes is not None else fault.stall_after_bytes
        if limit is None:
            await self.app(scope, receive, send)
            return
        sent = 0

        async def limited(message: dict) -> None:
            nonlocal sent
            if message["type"] != "http.response.body":
                await send(message)
                return
            body = message.get("body", b"")
            part = body[: max(0, limit - sent)]
            sent += len(part)
            cut = len(part) < len(body)
            await send(
                {"type": "http.response.body", "body": part, "more_body": cut or message.get("more_body", False)}
            )
            if cut:
                if fault.stall_after_bytes is not None:
                    await self.wait(3600)
                raise ConnectionAbortedError

        try:
            await self.app(scope, receive, limited)
        except ConnectionAbortedError:
            return  # uvicorn closes a connection whose answer was not completed

    async def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.hub.closing.is_set():
            await asyncio.sleep(min(0.05, max(0.0, until - time.monotonic())))


def make_app(hub: HubDouble) -> FastAPI:
    app = FastAPI()

    def user(request: Request) -> str | None:
        authorization = request.headers.get("authorization")
        if authorization is None:
            return None
        name = hub.tokens.get(authorization.removeprefix("Bearer "))
        if name is None:
            raise HTTPException(401, headers={"X-Error-Message": "Invalid credentials in Authorization header"})
        return name

    def repository(request: Request, kind: str, repo_id: str, content: bool = True) -> Repository:
        name, found = user(request), hub.repositories.get((kind, repo_id))
        if found is None or (found.private and name != repo_id.split("/")[0]):
            raise HTTPException(401 if name is None else 404, headers={"X-Error-Code": "RepoNotFound"})
        if content and found.gated and request.headers.get("authorization", "")[7:] not in hub.granted:
            raise HTTPException(401 if name is None else 403, headers={"X-Error-Code": "GatedRepo"})
        return found

    def writable(request: Request, kind: str, repo_id: str) -> Repository:
        found = repository(request, kind, repo_id)
        if user(request) != repo_id.split("/")[0]:
            raise HTTPException(403, headers={"X-Error-Message": "You need write access"})
        return found

    @app.exception_handler(HTTPException)
    async def refuse(_: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": "refused"}, error.status_code, error.headers)

    @app.get("/api/whoami-v2")
    async def whoami(request: Request) -> dict:
        name = user(request)
        if name is None:
            raise HTTPException(401)
        return {"type": "user", "name": name, "orgs": [], "auth": {"accessToken": {"role": "write"}}}

    @app.post("/api/repos/create")
    async def create(request: Request) -> Response:
        name, wanted = user(request), await request.json()
        owner = wanted.get("organization") or name
        if name is None or owner != name:
            raise HTTPException(401 if name is None else 403)
        kind = wanted.get("type", "model") + "s"
        repo_id = f"{owner}/{wanted['name']}"
        url = f"{hub.url}/{'' if kind == 'models' else kind + '/'}{repo_id}"
        if (kind, repo_id) in hub.repositories:
            return JSONResponse({"error": "You already created this repository", "url": url}, 409)
        private = wanted.get("private") or wanted.get("visibility") == "private"
        found = hub.repositories[kind, repo_id] = Repository(private=bool(private), sdk=wanted.get("sdk"))
        found.commit("main", {".gitattributes": Stored(b"*.safetensors filter=lfs\n", False)}, "initial commit")
        return JSONResponse({"url": url, "name": repo_id, "id": "1"})

    @app.post("/api/validate-yaml")
    async def validate_yaml(request: Request) -> dict:
        content = (await request.json())["content"]
        return {"errors": [] if content.startswith("---") else [{"message": "no header"}], "warnings": []}

    @app.post("/api/{kind}/{owner}/{name}/branch/{branch}")
    async def create_branch(request: Request, kind: str, owner: str, name: str, branch: str) -> Response:
        found = writable(request, kind, f"{owner}/{name}")
        if branch in found.branches:
            return JSONResponse({"error": "Reference already exists"}, 409)
        found.branches[branch] = found.branches["main"]
        return Response(status_code=201)

    @app.post("/api/spaces/{owner}/{name}/variables")
    async def set_variable(request: Request, owner: str, name: str) -> dict:
        found, variable = writable(request, "spaces", f"{owner}/{name}"), await request.json()
        found.variables[variable["key"]] = variable["value"]
        return {key: {"value": value} for key, value in found.variables.items()}

    @app.post("/api/{kind}/{owner}/{name}/preupload/{revision}")
    async def preupload(request: Request, kind: str, owner: str, name: str, revision: str) -> dict:
        _, files = writable(request, kind, f"{owner}/{name}").files(revision)
        answer = []
        for file in (await request.json())["files"]:
            lfs = is_lfs(file["path"], b64decode(file["sample"]), file["size"])
            before = files.get(file["path"])
            answer.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if lfs else "regular",
                    "shouldIgnore": False,
                    "oid": before.oid if before is not None else None,
                }
            )
        return {"files": answer}

    @app.post("/{repo:path}.git/info/lfs/objects/batch")
    async def lfs_batch(request: Request, repo: str) -> dict:
        *prefix, owner, name = repo.split("/")
        writable(request, prefix[0] if prefix else "models", f"{owner}/{name}")
        answer = []
        for item in (await request.json())["objects"]:
            actions = {}
            if item["oid"] not in hub.objects:
                verify = {"href": f"{hub.url}/lfs/verify"}
                actions = {"actions": {"upload": {"href": f"{hub.url}/lfs/{item['oid']}"}, "verify": verify}}
            answer.append({"oid": item["oid"], "size": item["size"], **actions})
        return {"transfer": "basic", "objects": answer}

    @app.put("/lfs/{oid}")
    async def lfs_upload(request: Request, oid: str) -> Response:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != oid:
            raise HTTPException(400)
        hub.objects[oid] = content
        return Response()

    @app.post("/lfs/verify")
    async def lfs_verify(request: Request) -> Response:
        wanted = await request.json()
        good = len(hub.objects.get(wanted["oid"], b"")) == wanted["size"]
        return Response(status_code=200 if good else 404)

    @app.post("/api/{kind}/{owner}/{name}/commit/{revision}")
    async def commit(request: Request, kind: str, owner: str, name: str, revision: str) -> dict:
        found = writable(request, kind, f"{owner}/{name}")
        _, before = found.files(revision)
        files, title = dict(before), ""
        for line in (await request.body()).splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                title = value["summary"]
            elif item["key"] == "file":
                files[value["path"]] = Stored(b64decode(value["content"]), False)
            elif item["key"] == "lfsFile":
                files[value["path"]] = Stored(hub.objects[value["oid"]], True)
            elif item["key"] == "deletedFile":
                del files[value["path"]]
            elif item["key"] == "deletedFolder":
                files = {path: file for path, file in files.items() if not path.startswith(value["path"])}
        digest = found.commit(revision, files, title)
        url = f"{hub.url}/{'' if kind == 'models' else kind + '/'}{owner}/{name}/commit/{digest}"
        return {"commitUrl": url, "commitOid": digest, "pullRequestUrl": None}

    def described(path: str, file: Stored) -> dict:
        entry = {"type": "file", "path": path, "oid": file.oid, "size": len(file.content)}
        if file.lfs:
            entry["lfs"] = {"oid": file.oid, "size": len(file.content), "pointerSize": 134}
        return entry

    @app.get("/api/{kind}/{owner}/{name}/tree/{revision}")
    @app.get("/api/{kind}/{owner}/{name}/tree/{revision}/{folder:path}")
    async def tree(
        request: Request, kind: str, owner: str, name: str, revision: str, folder: str = "", recursive: bool = False
    ) -> list[dict]:
        _, files = repository(request, kind, f"{owner}/{name}").files(revision)
        start = folder.rstrip("/") + "/" if folder else ""
        below = {path: file for path, file in files.items() if path.startswith(start)}
        folders = {start + path[len(start) :].split("/")[0] for path in below if "/" in path[len(start) :]}
        if folder and not below:
            raise HTTPException(404, headers={"X-Error-Code": "EntryNotFound"})
        entries = [described(path, file) for path, file in below.items() if recursive or "/" not in path[len(start) :]]
        return [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders)] + entries

    @app.post("/api/{kind}/{owner}/{name}/paths-info/{revision}")
    async def paths_info(request: Request, kind: str, owner: str, name: str, revision: str) -> list[dict]:
        _, files = repository(request, kind, f"{owner}/{name}").files(revision)
        body = await request.body()
        try:
            wanted = json.loads(body)["paths"]
        except ValueError:
            wanted = (await request.form()).getlist("paths")
        wanted = [wanted] if isinstance(wanted, str) else wanted
        return [described(path, files[path]) for path in wanted if path in files]

    @app.get("/api/{kind}/{owner}/{name}/refs")
    async def refs(request: Request, kind: str, owner: str, name: str) -> dict:
        found = repository(request, kind, f"{owner}/{name}")
        branches = [
            {"name": branch, "ref": f"refs/heads/{branch}", "targetCommit": digest}
            for branch, digest in found.branches.items()
        ]
        return {"branches": branches, "converts": [], "tags": [], "pullRequests": []}

    @app.get("/api/{kind}/{owner}/{name}")
    @app.get("/api/{kind}/{owner}/{name}/revision/{revision}")
    async def info(request: Request, kind: str, owner: str, name: str, revision: str = "main") -> dict:
        found = repository(request, kind, f"{owner}/{name}", content=False)
        digest, files = found.files(revision)
        return {
            "id": f"{owner}/{name}",
            "_id": "1",
            "sha": digest,
            "private": found.private,
            "gated": found.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "lastModified": "2025-01-01T00:00:00.000Z",
            "createdAt": "2025-01-01T00:00:00.000Z",
            "siblings": [{"rfilename": path} for path in files],
        }

    @app.api_route("/cdn/{oid}", methods=["GET", "HEAD"])
    async def cdn(request: Request, oid: str) -> Response:
        if "authorization" in request.headers:
            raise HTTPException(400)  # as a storage does that finds two kinds of credentials
        return partial(request, hub.objects[oid], {})

    def partial(request: Request, content: bytes, headers: dict[str, str]) -> Response:
        start = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if start is not None:
            first = int(start[1])
            headers = headers | {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
            return Response(content[first:], 206, headers, "application/octet-stream")
        return Response(content, 200, headers, "application/octet-stream")

    @app.api_route("/{repo:path}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
    async def resolve(request: Request, repo: str, revision: str, path: str) -> Response:
        *prefix, owner, name = repo.split("/")
        found = repository(request, prefix[0] if prefix else "models", f"{owner}/{name}")
        digest, files = found.files(revision)
        headers = {"X-Repo-Commit": digest}
        if path not in files:
            raise HTTPException(404, headers=headers | {"X-Error-Code": "EntryNotFound"})
        file = files[path]
        if not file.lfs:
            return partial(request, file.content, headers | {"ETag": f'"{file.oid}"'})
        hub.objects[file.oid] = file.content
        headers |= {"X-Linked-Etag": f'"{file.oid}"', "X-Linked-Size": str(len(file.content))}
        return RedirectResponse(f"http://localhost:{hub.port}/cdn/{file.oid}", 302, headers)

    @app.api_route("/{anything:path}", methods=["GET", "HEAD", "POST", "PUT", "DELETE"])
    async def unknown(request: Request, anything: str) -> Response:
        hub.unknown.append(f"{request.method} {request.url.path}")
        raise HTTPException(404)

    return app
