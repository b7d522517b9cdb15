"""What the environment may ask of the app: service or one sentence."""

import errno
import io
import json
import os
import random
import shutil
import socket
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from siamese.ui import startup
from siamese.ui.startup import Settings, StartupError, prepare, upload_folder, without_proxies
from tests.running_app import ROOT, free_port

CASES, SEED = 200, 22


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """One in which the app starts."""
    return {"GRADIO_TEMP_DIR": str(tmp_path), "GRADIO_SERVER_PORT": str(free_port())}


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def proxied_client() -> httpx.Client:
    """A client of the proxies in the environment; without certificates, which take longer to read than all else."""
    return httpx.Client(verify=False)


def refusal(environment: dict[str, str]) -> str:
    """The sentence with which the app does not start."""
    with pytest.raises(StartupError) as raised:
        prepare(environment)
    return str(raised.value)


def test_nothing_need_be_set(tmp_path, monkeypatch):
    monkeypatch.setattr(startup.tempfile, "gettempdir", lambda: str(tmp_path))
    environment = {}
    settings = prepare(environment)
    assert settings.host == "127.0.0.1"
    assert settings.port in startup.DEFAULT_PORTS
    assert (settings.root_path, settings.has_mcp) == ("", False)
    assert settings.address == f"http://127.0.0.1:{settings.port}"
    assert Path(environment["GRADIO_TEMP_DIR"]).parent == tmp_path


@pytest.mark.parametrize("port", ["eighty", "-1", "0", "65536", "7860.0", "7e3", "٧٨٦٠", "9" * 400])
def test_a_port_that_is_no_number_is_refused(environment, port):
    said = refusal(environment | {"GRADIO_SERVER_PORT": port})
    assert "GRADIO_SERVER_PORT must be a number from 1 to 65535" in said
    assert len(said) < 200


@pytest.mark.parametrize("port", ["", "  "])
def test_an_empty_port_is_none(environment, port):
    assert prepare(environment | {"GRADIO_SERVER_PORT": port}).port in startup.DEFAULT_PORTS


def test_a_taken_port_is_refused_where_it_was_asked_for(environment, taken_port, monkeypatch):
    assert f"Port {taken_port} is taken" in refusal(environment | {"GRADIO_SERVER_PORT": str(taken_port)})
    monkeypatch.setattr(startup, "DEFAULT_PORTS", range(taken_port, taken_port + 50))
    assert prepare(environment | {"GRADIO_SERVER_PORT": ""}).port > taken_port
    monkeypatch.setattr(startup, "DEFAULT_PORTS", range(taken_port, taken_port + 1))
    assert "is taken" in refusal(environment | {"GRADIO_SERVER_PORT": ""})


def test_a_port_that_this_user_may_not_open_is_refused(environment, monkeypatch):
    def bind(_self, _place):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(startup.socket, "socket", type("Refusing", (socket.socket,), {"bind": bind}))
    assert "Port 80 may not be opened by this user" in refusal(environment | {"GRADIO_SERVER_PORT": "80"})


@pytest.mark.parametrize(
    "host", ["256.1.1.1", "203.0.113.7", "a..b", "no such host", "http://0.0.0.0", "[::1", "x" * 300]
)
def test_a_host_that_is_not_this_machine_is_refused(environment, host):
    said = refusal(environment | {"GRADIO_SERVER_NAME": host})
    assert said.startswith("GRADIO_SERVER_NAME is ")
    assert len(said) < 300


@pytest.mark.parametrize(
    ("host", "for_gradio", "address"),
    [
        ("::", "[::]", "http://[::1]:"),
        ("[::1]", "[::1]", "http://[::1]:"),
        ("0.0.0.0", "0.0.0.0", "http://127.0.0.1:"),
        ("localhost", "localhost", "http://localhost:"),
        (" ", "127.0.0.1", "http://127.0.0.1:"),
    ],
)
def test_hosts_of_this_machine(environment, host, for_gradio, address):
    if ":" in host and not socket.has_ipv6:
        pytest.skip("no IPv6")
    settings = prepare(environment | {"GRADIO_SERVER_NAME": host})
    assert settings.url_host == for_gradio
    assert settings.address == f"{address}{settings.port}"


@pytest.mark.parametrize(
    "path", ["one-look", "//elsewhere", "/a b", "/a?b", "ftp://a.org", "http://", "/ü", "http://[a"]
)
def test_a_prefix_that_is_none_is_refused(environment, path):
    assert "GRADIO_ROOT_PATH is " in refusal(environment | {"GRADIO_ROOT_PATH": path})


def test_a_prefix_is_kept_without_its_last_slash(environment):
    assert prepare(environment | {"GRADIO_ROOT_PATH": "/a/b/"}).root_path == "/a/b"
    settings = prepare(environment | {"GRADIO_ROOT_PATH": "https://a.org/x"})
    assert settings.root_path == "https://a.org/x"
    assert settings.address.endswith("/x")
    assert prepare(environment | {"GRADIO_ROOT_PATH": "/"}).root_path == ""


def test_the_mcp_server_is_an_option(environment, monkeypatch):
    assert not prepare(dict(environment)).has_mcp  # though the package is installed with the tests
    assert not prepare(environment | {"GRADIO_MCP_SERVER": "False"}).has_mcp
    assert prepare(environment | {"GRADIO_MCP_SERVER": "True"}).has_mcp
    assert "true or false" in refusal(environment | {"GRADIO_MCP_SERVER": "perhaps"})
    monkeypatch.setattr(startup, "find_spec", lambda _name: None)
    assert "pip install" in refusal(environment | {"GRADIO_MCP_SERVER": "1"})


def test_other_settings_of_gradio_s_are_dropped(environment):
    given = {"GRADIO_NUM_PORTS": "x", "GRADIO_ALLOWED_PATHS": "/", "GRADIO_SHARE": "true", "OTHER": "x"}
    environment |= given | {"GRADIO_ANALYTICS_ENABLED": "False"}
    prepare(environment)
    assert not {name for name in given if name.startswith("GRADIO_")} & environment.keys()
    assert environment["OTHER"] == "x"
    assert environment["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_loopback_needs_no_proxy(environment):
    environment |= {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "a.org, b.org", "GRADIO_SERVER_NAME": "0.0.0.0"}
    prepare(environment)
    assert environment["NO_PROXY"] == "a.org,b.org,localhost,127.0.0.1,::1,0.0.0.0" == environment["no_proxy"]
    assert environment["HTTP_PROXY"] == "http://127.0.0.1:9"  # for the Hub, where one is needed


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "socks://127.0.0.1:9", "http://127.0.0.1:9", "nonsense"])
@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
def test_gradio_s_client_takes_no_offence_at_a_proxy(name, proxy, monkeypatch):
    monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("no_proxy", "a.org")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with without_proxies(os.environ):
        proxied_client().close()
    assert os.environ["no_proxy"] == "a.org"
    assert "NO_PROXY" not in os.environ


# ---- the folder for uploads


def test_uploads_lie_in_a_folder_that_belongs_to_this_user_alone(tmp_path):
    folder = upload_folder(str(tmp_path / "new" / "deep"))
    assert folder.parent == tmp_path / "new" / "deep"
    assert folder.name == f"one-look-uploads-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    assert upload_folder(str(folder.parent)) == folder  # what an app left when it was killed is swept by the next
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert upload_folder(str(folder)) == folder  # in a process that the first one started
    assert list(folder.iterdir()) == []


def test_a_folder_of_somebody_else_is_passed_over(tmp_path, monkeypatch):
    first = upload_folder(str(tmp_path))
    real, mine = Path.stat, os.getuid()
    monkeypatch.setattr(startup.os, "getuid", lambda: mine)
    monkeypatch.setattr(Path, "stat", lambda self, **how: somebody_else(self, real(self, **how)))

    def somebody_else(path, found):
        return os.stat_result((*found[:4], mine + 1, *found[5:])) if path == first else found

    second = upload_folder(str(tmp_path))
    assert second.parent == first.parent
    assert second != first
    assert second.name.startswith(f"{first.name}-")
    assert stat.S_IMODE(second.lstat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_folder_of_ones_own_is_passed_over(kind, tmp_path):
    place = tmp_path / f"one-look-uploads-{os.getuid()}"
    (tmp_path / "target").mkdir()
    place.symlink_to(tmp_path / "target") if kind == "link" else place.touch()
    folder = upload_folder(str(tmp_path))
    assert folder != place
    assert folder.is_dir()
    assert not any((tmp_path / "target").iterdir())


def test_a_folder_that_cannot_be_written_to_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for asked in (str(tmp_path / "file"), str(tmp_path / "file" / "below"), "/proc/one-look", "a\x00b"):
        with pytest.raises(StartupError, match="uploads cannot be kept there") as raised:
            upload_folder(asked)
        assert "set GRADIO_TEMP_DIR to" in str(raised.value)
        assert "\x00" not in str(raised.value)

    def none_usable():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(startup.tempfile, "gettempdir", none_usable)
    with pytest.raises(StartupError, match="set TMPDIR to"):
        upload_folder("")


def test_where_users_have_no_number_the_folder_has_a_plain_name(tmp_path, monkeypatch):
    monkeypatch.delattr(startup.os, "getuid")  # as on Windows, where the folder for temporary files is the user's own
    for _ in range(2):
        assert upload_folder(str(tmp_path)) == tmp_path / "one-look-uploads"


# ---- consoles


def test_a_console_without_a_character_shows_an_escape(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    monkeypatch.setattr(sys, "stderr", None)  # as of a program without a console
    startup.use_safe_console()
    print("字 é", flush=True)
    assert written.getvalue().split() == [b"\\u5b57", "é".encode("cp1252")]


# ---- 200 variations of environment and layout

PORTS = ["", " ", *["free"] * 9, "taken", "0", "-5", "70000", "port", "8e3"]
HOSTS = [*[None] * 9, "", "127.0.0.1", "localhost", "0.0.0.0", "::", "[::1]", "10.255.255.1", "a..b", "*"]
PREFIXES = [*[None] * 6, "", "/", "/x", "/x/", "x", "http://a.org/x", "ftp://a"]
PROXIES = [
    None,
    None,
    "http://127.0.0.1:9",
    "https://127.0.0.1:9",
    "socks5://127.0.0.1:9",
    "socks://127.0.0.1:9",
    "x",
    "",
]
FOLDERS = [*["fresh"] * 6, "missing", "file", "link", "below a file", "/proc", "foreign", "unset", "blank"]
MCP = [*[None] * 6, "", "true", "0", "maybe"]
HOMES = ["fresh", "missing", "/proc", "file", ""]
OTHERS = {"GRADIO_NUM_PORTS": "many", "GRADIO_NUM_WORKERS": "x", "GRADIO_ALLOWED_PATHS": "/", "GRADIO_SHARE": "true"}
OTHERS |= {"GRADIO_ANALYTICS_MAX_EVENTS": "x", "GRADIO_DEBUG": "x", "GRADIO_SSR_MODE": "true"}


@dataclass(frozen=True)
class Variation:
    """One environment; paths in it are made below `folder`."""

    environment: dict[str, str]
    folder: Path


def variation(number: int, folder: Path, taken: int) -> Variation:
    """The environment with this number, always the same but for ports and the folder."""
    chance = random.Random(SEED * 1000 + number)
    folder.mkdir()
    (folder / "file").touch()
    (folder / "fresh").mkdir()
    (folder / "link").symlink_to(folder / "fresh")
    places = {"fresh": "fresh", "missing": "a/b", "file": "file", "link": "link", "below a file": "file/x"}
    environment = {name: value for name, value in OTHERS.items() if chance.random() < 0.15}
    port = chance.choice(PORTS)
    environment["GRADIO_SERVER_PORT"] = {"free": str(free_port()), "taken": str(taken)}.get(port, port)
    where = chance.choice(FOLDERS)
    if where == "foreign":  # a folder of the name that the app would take, which is none
        where = "fresh"
        (folder / "fresh" / f"one-look-uploads-{os.getuid()}").symlink_to("/")
    if where != "unset":
        environment["GRADIO_TEMP_DIR"] = str(folder / places[where]) if where in places else where.replace("blank", " ")
    home = chance.choice(HOMES)
    environment["HOME"] = str(folder / places[home]) if home in places else home
    for name, choices in (
        ("GRADIO_SERVER_NAME", HOSTS),
        ("GRADIO_ROOT_PATH", PREFIXES),
        ("GRADIO_MCP_SERVER", MCP),
        (chance.choice(["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"]), PROXIES),
        ("NO_PROXY", [None, None, "", "a.org", "*"]),
    ):
        if (value := chance.choice(choices)) is not None:
            environment[name] = value
    return Variation(environment, folder)


def is_one_sentence(said: str) -> bool:
    return said.endswith((".", ".org")) and "\n" not in said and "Traceback" not in said and len(said) < 400


def test_each_of_200_environments_is_sound_or_refused_with_one_sentence(tmp_path, taken_port, monkeypatch):
    monkeypatch.setattr(startup.tempfile, "gettempdir", lambda: str(tmp_path))
    started, refused = 0, {}
    for number in range(CASES):
        case = variation(number, tmp_path / str(number), taken_port)
        environment = dict(case.environment)
        try:
            settings = prepare(environment)
        except StartupError as reason:
            refused[number] = str(reason)
            continue
        started += 1
        assert isinstance(settings, Settings)
        assert Path(environment["GRADIO_TEMP_DIR"]).stat().st_uid == os.getuid()
        assert httpx.URL(settings.address).port == settings.port
        with monkeypatch.context() as patch:
            for name in list(os.environ):
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            with without_proxies(os.environ):
                proxied_client().close()
    assert {number: said for number, said in refused.items() if not is_one_sentence(said)} == {}
    assert 40 < started < 160  # neither side is empty


def run(
    environment: dict[str, str], log: Path, cwd: Path = ROOT, before: tuple[str, ...] = ()
) -> tuple[int | None, str]:
    """Starts app.py, by the command `before` where one is given.

    Returns:
        Its status, None where it serves (it is then stopped), and all that it wrote.
    """
    settings = {name: value for name, value in os.environ.items() if not name.startswith("GRADIO_")} | environment
    with log.open("w") as output:
        command = [*before, sys.executable, "-B", "app.py"]
        process = subprocess.Popen(command, cwd=cwd, env=settings, stdout=output, stderr=output)
        while process.poll() is None and "One Look is at" not in log.read_text():
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        if (status := process.poll()) is None:
            address = log.read_text().rpartition("One Look is at ")[2].split()[0]
            with httpx.Client(trust_env=False, timeout=60) as client:
                # the prefix is stripped by a proxy, of which there is none here
                assert client.get(httpx.URL(address).join("/config")).status_code == 200
            process.terminate()
            process.wait(30)
    return status, log.read_text()


OFFLINE = {"HF_HUB_OFFLINE": "1", "OMNIGLOT_DATA": "invented"}


# All that is slow to import, once; then each case in a process forked from it, which runs what app.py runs.
FORKING = """
import json, os, signal, sys, time
import app, siamese.ui.app, siamese.ui.zero_gpu, siamese.signatures.verifier
for line in sys.stdin:
    case = json.loads(line)
    child = os.fork()
    if child == 0:
        log = os.open(case["log"], os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1), os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(case["environment"])
        sys.argv = ["app.py"]
        app.main()
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if "One Look is at" in open(case["log"]).read() if os.path.exists(case["log"]) else False:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="The cases are forked from one process.")
def test_the_app_itself_serves_or_says_one_sentence(tmp_path, taken_port):
    cases, lines = [], []
    for number in range(CASES):
        case = variation(number, tmp_path / str(number), taken_port)
        (case.folder / "tmp").mkdir()
        kept = {name: os.environ[name] for name in ("PATH", "HF_HOME")}
        environment = kept | {"TMPDIR": str(case.folder / "tmp")} | case.environment | OFFLINE
        lines.append(json.dumps({"log": str(case.folder / "log"), "environment": environment}))
        cases.append(case)
    subprocess.run([sys.executable, "-c", FORKING], cwd=ROOT, input="\n".join(lines), text=True, check=True)
    served = 0
    for case in cases:
        said = (case.folder / "log").read_text()
        assert "Traceback" not in said, (case.environment, said)
        served += "One Look is at" in said
        last = said.strip().splitlines()[-1]
        assert "One Look is at" in said or is_one_sentence(last), (case.environment, said)
    assert 40 < served < 160


def test_a_bad_setting_ends_the_app_with_a_sentence_and_at_once(tmp_path, environment):
    status, said = run(environment | OFFLINE | {"GRADIO_SERVER_PORT": "eighty"}, tmp_path / "log")
    assert (status, said) == (1, "GRADIO_SERVER_PORT must be a number from 1 to 65535, not 'eighty'.\n")


@pytest.mark.slow
def test_the_app_starts_behind_a_company_s_proxies_and_listens_at_ipv6(tmp_path, environment):
    """With a home that holds nothing, and a setting of Gradio's that would end it."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    settings = dict.fromkeys(names, "http://127.0.0.1:9") | {"NO_PROXY": "", "no_proxy": ""}
    settings |= {"ALL_PROXY": "socks5://127.0.0.1:9", "all_proxy": "socks://127.0.0.1:9", "HOME": "/proc/nowhere"}
    settings |= {"GRADIO_SERVER_NAME": "::", "GRADIO_NUM_PORTS": "many"}
    status, said = run(environment | settings | OFFLINE, tmp_path / "log")
    assert status is None, said
    assert said == f"One Look is at http://[::1]:{environment['GRADIO_SERVER_PORT']}\n"


# Nobody, who may look into every folder (the interpreter may lie in somebody's home) and write into none.
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
AS_NOBODY += ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("setpriv") is None or os.getuid() != 0, reason="Only root may become somebody else.")
def test_another_user_with_a_checkout_that_cannot_be_written_to_is_served(tmp_path):
    """As in a container: nobody, no home, the files of somebody else, and a first user whose uploads lie there."""
    checkout, temporary = tmp_path / "checkout", tmp_path / "temporary"
    shutil.copytree(ROOT / "siamese", checkout / "siamese")
    shutil.copy(ROOT / "app.py", checkout)
    for path in [checkout, *checkout.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    temporary.mkdir()
    temporary.chmod(0o1777)
    first = upload_folder(str(temporary))
    settings = {"HOME": "/nonexistent", "TMPDIR": str(temporary), "GRADIO_SERVER_PORT": str(free_port()), **OFFLINE}
    status, said = run(settings, tmp_path / "log", cwd=checkout, before=AS_NOBODY)
    assert status is None, said
    assert "Traceback" not in said
    assert {path.name for path in temporary.glob("one-look-uploads*")} == {first.name, "one-look-uploads-65534"}
