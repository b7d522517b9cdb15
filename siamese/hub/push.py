"""Pushes files to the Hub in one commit."""

from collections.abc import Mapping
from pathlib import Path

from siamese.hub.errors import HubError, reason
from siamese.hub.settings import access_token, endpoint, is_offline

ANSWER_S = 10.0


def repository_name(repo_id: str) -> str:
    """Returns `repo_id` if it is a valid name to publish under; raises HubError otherwise."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo_id)
        is_name = repo_id.count("/") == 1
    except HFValidationError:
        is_name = False
    if not is_name:
        raise HubError(
            f"{repo_id!r} is not a repository name: give user/name, each of letters, digits, '-', '_' and '.'."
        )
    return repo_id


def push_files(
    repo_id: str,
    files: Mapping[str, Path | bytes],
    *,
    message: str,
    repo_type: str = "model",
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    space_sdk: str | None = None,
    space_variables: Mapping[str, str] | None = None,
) -> str:
    """Pushes files in one commit, to a repository and a branch that are created where they do not exist.

    Args:
        repo_id: "user/name".
        files: Paths in the repository and what goes there.
        message: Title of the commit.
        repo_type: "model", "dataset" or "space".
        private: Whether a new repository can be seen by its owner alone.
        token: By default HF_TOKEN or the token saved at login.
        revision: The branch; "main" by default.
        space_sdk: Of a new Space.
        space_variables: Set before the commit, so that the app starts with them.

    Returns:
        The commit's address.

    Raises:
        HubError: It cannot be published.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    repository_name(repo_id)
    if is_offline():
        raise HubError(f"{repo_id} was not published: HF_HUB_OFFLINE is set.")
    operations = [CommitOperationAdd(path, content) for path, content in sorted(files.items())]
    try:
        api = HfApi(endpoint=endpoint(), token=access_token(token))
        api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=space_sdk)
        if revision not in (None, "main"):
            api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
        for name, value in (space_variables or {}).items():
            api.add_space_variable(repo_id, name, value)
        commit = api.create_commit(
            repo_id, operations, commit_message=message, repo_type=repo_type, revision=revision or "main"
        )
    except Exception as error:  # whatever the client raises, from OSError and ValueError to RuntimeError
        raise HubError(f"{repo_id} was not published: {reason(error, revision or 'main', ANSWER_S)}.") from error
    return commit.commit_url
