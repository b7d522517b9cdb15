"""Errors of the Hub, explained in sentences for the user."""

import errno

from siamese.hub.settings import UnsendableToken


class HubError(OSError):
    """A model cannot be loaded from the Hub or published there; the message is one sentence for the user."""


class RefusedToken(HubError):
    """The token is not valid: the Hub refuses it for every repository, or it cannot be sent."""


class StalledDownload(TimeoutError):
    """No data arrived within the time limit."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class DownloadTimeout(TimeoutError):
    """The time limit was reached while the download was still making progress."""


def reason(error: BaseException, revision: str, answer_s: float) -> str:
    """Explains why a request failed, as the end of a sentence.

    Args:
        error: What the client raised.
        revision: That was asked for.
        answer_s: How long an answer was waited for.
    """
    from huggingface_hub import errors

    causes = chain(error)
    for cause in causes:
        if isinstance(cause, UnsendableToken):
            return str(cause)
        if isinstance(cause, StalledDownload):
            return f"the Hub sent nothing for {cause.seconds:.0f} s"
        if isinstance(cause, errors.OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE is set"
        if isinstance(cause, errors.GatedRepoError):
            return "it is gated, so ask for access on its page and set HF_TOKEN"
        if isinstance(cause, errors.RepositoryNotFoundError):
            return "there is no such repository, or it is private and HF_TOKEN does not open it"
        if isinstance(cause, errors.RevisionNotFoundError):
            return f"the repository has no revision {revision!r}"
        if isinstance(cause, errors.RemoteEntryNotFoundError):
            return "the repository lacks config.json or model.safetensors"
        if isinstance(cause, errors.FileMetadataError):
            return "the server is not a Hub"
        if isinstance(cause, errors.HfHubHTTPError):
            return status_reason(cause.response.status_code, cause.server_message)
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return "the disk is full"
        if isinstance(cause, PermissionError):
            return f"{cause.filename} cannot be read or written"
        if isinstance(cause, OSError) and "Consistency check failed" in str(cause):
            return "the file arrived incomplete"
    return connection_reason(error, causes, answer_s)


def connection_reason(error: BaseException, causes: list[BaseException], answer_s: float) -> str:
    """Whether the connection failed, by the names of the error's classes, as the HTTP client may vary."""
    names = " ".join(kind.__name__ for cause in causes for kind in type(cause).__mro__)
    text = " ".join(str(error).split())[:200].rstrip(".")
    if "proxy" in text.lower() and ("ImportError" in names or "ValueError" in names):
        return f"the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names cannot be used ({text})"
    if "Timeout" in names:
        return f"the Hub did not answer within {answer_s:.0f} s"
    if "UnsupportedProtocol" in names or "InvalidURL" in names:
        return f"HF_ENDPOINT is no address ({text})"
    if "Protocol" in names or "ReadError" in names:
        return "the connection broke off"
    if "ConnectError" in names or "Network" in names or "ProxyError" in names:
        return "the Hub cannot be reached"
    return f"{type(error).__name__}, {text}"


def chain(error: BaseException) -> list[BaseException]:
    """Returns an error and its causes, the first cause last."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return causes


def status_reason(status: int, message: str | None) -> str:
    """Explains an HTTP status, with the Hub's own message if there is no better explanation."""
    known = {
        401: "the Hub wants a valid token (HF_TOKEN)",
        403: "the token (HF_TOKEN) does not permit it",
        409: "somebody else changed it at the same time",
        429: "the Hub has too many requests from here (429)",
    }
    if status in known:
        return known[status]
    if status >= 500:
        return f"the Hub is out of order ({status})"
    said = " ".join((message or "").split())[:200].rstrip(".")
    return f"the Hub answered {status}" + (f" ({said})" if said else "")
