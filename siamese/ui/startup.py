"""Checks the environment before the app starts; a setting that cannot work is refused with one sentence.

Gradio reads some variables when it is imported and others when it is launched, and answers a bad value with a
traceback. So this runs first, imports neither Gradio nor torch, and leaves in the environment only what is sound.
"""

import errno
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORTS = range(7860, 7960)  # the first free one, where no port was asked for
UPLOADS = "one-look-uploads"
LOOPBACK = ("localhost", "127.0.0.1", "::1")

# Of Gradio's variables those that `prepare` reads are looked at, these are set, and the others are dropped: some end in
# a traceback where they hold no number, others would open what this app keeps closed (files by path, more processes).
FIXED_SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",  # no table of all calls after each of them
    "GRADIO_ANALYTICS_MAX_EVENTS": "100",
}

Environment = MutableMapping[str, str]


class StartupError(Exception):
    """The app cannot start; its text is one sentence that says why and what to do."""


@dataclass(frozen=True)
class Settings:
    """The settings of the app, from environment variables."""

    host: str
    """Where to listen, without brackets around an IPv6 address."""
    port: int
    root_path: str
    """Prefix of every path if a proxy serves the app under one; empty otherwise."""
    has_mcp: bool
    """Whether the endpoints are served as tools of the Model Context Protocol, too."""

    @property
    def url_host(self) -> str:
        """The host as it is written in an address, with brackets around IPv6."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def address(self) -> str:
        """Where a browser on this machine finds the app."""
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
        return f"http://{everywhere.get(self.host, self.url_host)}:{self.port}{urlsplit(self.root_path).path}"


def prepare(environment: Environment) -> Settings:
    """Reads and checks the settings, and makes the folder for uploads.

    Args:
        environment: Usually `os.environ`. Changed: unused variables of Gradio's are dropped, GRADIO_TEMP_DIR names the
            folder for uploads, and loopback addresses are excepted from any proxy.

    Returns:
        The settings, with a port that is free at this moment.

    Raises:
        StartupError: A setting cannot be followed.
    """
    host = environment.get("GRADIO_SERVER_NAME", "").strip() or DEFAULT_HOST
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    root_path = checked_root_path(environment.get("GRADIO_ROOT_PATH", ""))
    has_mcp = checked_mcp(environment.get("GRADIO_MCP_SERVER", ""))
    port = free_port(host, environment.get("GRADIO_SERVER_PORT", ""))
    uploads = upload_folder(environment.get("GRADIO_TEMP_DIR", ""))
    for name in [name for name in environment if name.startswith("GRADIO_")]:
        del environment[name]
    environment.update(FIXED_SETTINGS)
    environment["GRADIO_TEMP_DIR"] = str(uploads)
    # Gradio tries ports at this address before it listens, with a socket that knows IPv4 only.
    environment["GRADIO_SERVER_NAME"] = DEFAULT_HOST
    except_from_proxies(environment, [*LOOPBACK, host])
    return Settings(host, port, root_path, has_mcp)


def free_port(host: str, asked: str) -> int:
    """Finds the port to listen at.

    Args:
        host: Name or address of an interface of this machine.
        asked: GRADIO_SERVER_PORT; blank where any port will do.

    Returns:
        The port asked for, or the first free one of DEFAULT_PORTS.

    Raises:
        StartupError: The port is no number or not free, or the host is not of this machine.
    """
    text = asked.strip()
    if not text:
        for port in DEFAULT_PORTS:
            if _is_free(host, port):
                return port
        raise StartupError(
            f"Every port from {DEFAULT_PORTS[0]} to {DEFAULT_PORTS[-1]} is taken; set GRADIO_SERVER_PORT to a free one."
        )
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise StartupError(f"GRADIO_SERVER_PORT must be a number from 1 to 65535, not {_shown(asked)}.")
    if not _is_free(host, int(text)):
        raise StartupError(
            f"Port {int(text)} is taken by another program; set GRADIO_SERVER_PORT to a free port, or leave it out "
            "for the next free one."
        )
    return int(text)


def _is_free(host: str, port: int) -> bool:
    """Whether the port is free; raises StartupError if it cannot be tried for another reason."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        with socket.socket(family, kind, protocol) as listener:
            if os.name == "posix":  # on Windows this option would let two programs listen at one port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        if error.errno == errno.EACCES:
            raise StartupError(
                f"Port {port} may not be opened by this user; set GRADIO_SERVER_PORT to one from 1024 to 65535."
            ) from None
        raise StartupError(_no_such_host(host)) from None
    except UnicodeError:  # a name that cannot be one, such as two dots in a row
        raise StartupError(_no_such_host(host)) from None
    return True


def _no_such_host(host: str) -> str:
    return (
        f"GRADIO_SERVER_NAME is {_shown(host)}, which is no address of this machine; use 127.0.0.1 for this machine "
        "alone, or 0.0.0.0 or :: for its whole network."
    )


def checked_root_path(asked: str) -> str:
    """GRADIO_ROOT_PATH without a slash at its end; raises StartupError unless it is a path or an http address."""
    path = asked.strip().rstrip("/")
    if not path:
        return ""
    is_sound = path.isascii() and path.isprintable() and not set(path) & set(" ?#\\\"'<>")
    try:
        is_address = urlsplit(path).scheme in ("http", "https") and bool(urlsplit(path).hostname)
    except ValueError:
        is_address = False
    if not is_sound or not (is_address or (path.startswith("/") and not path.startswith("//"))):
        raise StartupError(
            f"GRADIO_ROOT_PATH is {_shown(asked)}; it must be the path that the proxy serves the app under, such as "
            "/one-look, or the app's whole address."
        )
    return path


def checked_mcp(asked: str) -> bool:
    """Whether GRADIO_MCP_SERVER switches the MCP server on; raises StartupError where that cannot be done."""
    value = asked.strip().lower()
    if value in ("", "0", "false", "no", "off"):
        return False
    if value not in ("1", "true", "yes", "on"):
        raise StartupError(f"GRADIO_MCP_SERVER must be true or false, not {_shown(asked)}.")
    if find_spec("mcp") is None:
        raise StartupError('GRADIO_MCP_SERVER is set, but the package mcp is missing; run pip install "mcp<2".')
    return True


def upload_folder(asked: str) -> Path:
    """Makes the folder that uploads lie in, which belongs to this user alone and is swept.

    Args:
        asked: GRADIO_TEMP_DIR: the folder to make it in; blank for the system's folder for temporary files.

    Returns:
        The folder: the same for every start by this user, so that what an app left behind when it was killed is swept
        by the next one; a new one where somebody else's stands in its place.

    Raises:
        StartupError: Nothing can be written there.
    """
    name = f"{UPLOADS}-{os.getuid()}" if hasattr(os, "getuid") else UPLOADS
    try:
        parent = Path(asked.strip() or tempfile.gettempdir()).absolute()
        if parent.name.startswith(UPLOADS):  # as a process finds it that this one started
            parent = parent.parent
        folder = parent / name
        try:
            folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            if not _is_own_folder(folder):
                folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
        folder.chmod(0o700)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, ValueError) as error:  # ValueError: a null character
        why = getattr(error, "strerror", None) or "it is no path"
        variable = "GRADIO_TEMP_DIR" if asked.strip() else "TMPDIR"
        where = f"GRADIO_TEMP_DIR is {_shown(asked)}" if asked.strip() else "There is no folder for temporary files"
        raise StartupError(
            f"{where}, and uploads cannot be kept there ({why}); set {variable} to a folder that you may write to."
        ) from None


def _is_own_folder(folder: Path) -> bool:
    """Whether it is a real folder of this user, and not a link to somebody else's."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


def except_from_proxies(environment: Environment, hosts: list[str]) -> None:
    """Adds hosts to NO_PROXY: the app calls itself there, which no proxy can answer."""
    listed = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    known = [host.strip() for host in listed.split(",") if host.strip()]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(dict.fromkeys([*known, *hosts]))


@contextmanager
def without_proxies(environment: Environment) -> Iterator[None]:
    """Hides all proxies for the time of a block.

    Gradio's HTTP client looks at every proxy variable, also of one that it will not use, and raises where it does not
    know its kind (socks://) or lacks a package for it (socks5://).
    """
    before = {name: environment.get(name) for name in ("no_proxy", "NO_PROXY")}
    environment.update(dict.fromkeys(before, "*"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value


def use_safe_console() -> None:
    """Writes what the console's encoding lacks as an escape, instead of ending with an UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # None without a console; some consoles bring a stream of their own
            stream.reconfigure(errors="backslashreplace")


def _shown(value: str, most: int = 60) -> str:
    """A value as it can be printed on one line: escaped and cut."""
    return ascii(value if len(value) <= most else value[:most] + "...")
