"""Talk to the Hugging Face hub: repositories of data sets and models are looked up, downloaded and written.

`huggingface_hub` is the client; `HF_ENDPOINT` names another hub. A download gets its final name only when it is
complete and its checksums match. A publication is one commit (`create_commit`; `upload_folder` may make several), so
readers see the old repository or the new one. The token comes from `HF_TOKEN`, in the environment or in a `.env` file,
and is neither printed nor stored. This module does not know what the files hold.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path, PureWindowsPath
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from hubbub.errors import HubbubError, examples
from hubbub.runtime import files, homes

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = [
    "NAME",
    "PICKLES",
    "SOURCE",
    "Commit",
    "HubError",
    "Repository",
    "check_name",
    "converted",
    "download",
    "look_up",
    "publish",
    "read_token",
]

#: OWNER/NAME as the hub allows it: neither holds `--` or `..`, so the folder names `OWNER--NAME` are unique.
NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
#: Endings of files that can hold any code, and are never opened.
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
#: Who proposes, in pull requests with this title, models' pickles as safetensors.
_BOT, _CONVERTED = "SFconvertbot", "Adding `safetensors` variant of this model"
#: The file in a downloaded folder that names its repository and commit.
SOURCE = "source.json"
_HOW = (
    "Make one that may write at https://huggingface.co/settings/tokens and put it into the environment variable "
    "HF_TOKEN, or as a line HF_TOKEN=... into a file .env in the working folder."
)


class HubError(HubbubError):
    """The hub could not be reached or refused a request; or something cannot be published or fetched."""


@dataclass(frozen=True)
class Repository:
    """A data set or a model on the hub; `name` is OWNER/NAME."""

    kind: Literal["dataset", "model"]
    name: str

    @property
    def words(self) -> str:
        """The kind in words."""
        return {"dataset": "data set", "model": "model"}[self.kind]

    @property
    def address(self) -> str:
        """The repository's page."""
        return f"{_library().constants.ENDPOINT}/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"


@dataclass(frozen=True)
class Commit:
    """A commit of a repository: its 40 hexadecimal digits, and its files with the sha256 of those that have one."""

    repository: Repository
    revision: str
    files: Mapping[str, str | None]


def look_up(repository: Repository, revision: str | None = None) -> Commit:
    """The commit that a branch, tag or commit of a repository names; without one, its newest. Raises `HubError`."""
    client = _client()
    with _as_hub_errors(repository, revision):
        describe = client.model_info if repository.kind == "model" else client.dataset_info
        info = describe(repository.name, revision=revision, files_metadata=True)
    listed = {one.rfilename: one.lfs.sha256 if one.lfs else None for one in info.siblings or []}
    _refuse_outside_names(repository.name, [info.sha or "", *listed])
    return Commit(repository, str(info.sha), listed)


def converted(commit: Commit) -> Commit | None:
    """The commit in which the hub's own bot converted a model's pickles to safetensors, for one that has pickles alone;
    None for others, and where there is none. Raises `HubError`."""
    repository, ending = commit.repository, ".safetensors"
    if any(name.endswith(ending) for name in commit.files) or not any(name.endswith(PICKLES) for name in commit.files):
        return None
    with _as_hub_errors(repository):
        proposed = [
            one.git_reference
            for one in _client().get_repo_discussions(repository.name, author=_BOT, discussion_type="pull_request")
            if (one.title, one.author) == (_CONVERTED, _BOT)
        ]
    return look_up(repository, proposed[0]) if proposed and proposed[0] else None


def download(commit: Commit, wanted: Sequence[str], target: Path) -> None:
    """Download the `wanted` files of a commit to the new folder `target`, all or nothing; `source.json` there names the
    commit.

    Files of an interrupted download are reused. Raises `HubError`.
    """
    repository = commit.repository
    client = _client()
    part = target.with_name(f".{target.name}.{commit.revision[:12]}.part")
    with files.lock_folder(part):
        with _as_hub_errors(repository, commit.revision):
            client.snapshot_download(
                repository.name,
                repo_type=repository.kind,
                revision=commit.revision,
                local_dir=part,
                allow_patterns=[escape(name) for name in wanted],
            )
        for name in wanted:
            digest, file = commit.files[name], part / name
            if not file.is_file() or (digest and files.sha256(file) != digest):
                file.unlink(missing_ok=True)
                raise HubError(f"{repository.name}: {name} does not have the checksum the hub says. Call again.")
        source = {"name": repository.name, "url": repository.address, "revision": commit.revision}
        files.write_json(part / SOURCE, source)
        files.remove_folder(part / ".cache", part)  # the client's record of the download
    (part / ".lock").unlink(missing_ok=True)
    os.rename(part, target)
    for abandoned in target.parent.glob(f".{target.name}.*.part"):  # of earlier commits
        with suppress(homes.StoreError):
            files.remove_folder(abandoned)


def _refuse_outside_names(name: str, listed: list[str]) -> None:
    """Raises `HubError` for file names from the hub that would be paths outside the folder."""
    for one in listed:
        parts = PureWindowsPath(one)  # handles both kinds of slash, and drives
        if not one or parts.anchor or ".." in parts.parts or not one.isprintable():
            raise HubError(f"{name} was refused: {one!r}, which the hub names, leads out of its folder or is no name.")


def check_name(name: str) -> None:
    """Raises `HubError` for a name that no repository can have."""
    if not NAME.fullmatch(name):
        raise HubError(f"'{name}' is not a name on the hub. Write OWNER/NAME, OWNER being you or your organisation.")


def publish(
    repository: Repository,
    contents: Mapping[str, Path | bytes],
    *,
    private: bool,
    mark: str,
    replaced: Callable[[str], bool],
) -> str:
    """Publish files (or their bytes) by their paths in the repository, in one commit -> the commit.

    The token and its rights are checked before anything is created. A repository that is there already must hold the
    file `mark`, which says that hubbub published it; its files that are `replaced` and not in `contents` are deleted in
    the same commit. Raises `HubError`.
    """
    check_name(repository.name)
    known = read_token()
    if known is None:
        raise HubError(f"There is no token to publish with. {_HOW}")
    client = _client(known)
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    _check_rights(client, repository)
    with _as_hub_errors(repository):
        there = _existing_files(client, repository, private, mark)
        client.create_repo(repository.name, repo_type=repository.kind, private=private, exist_ok=True)
        gone = [path for path in there if replaced(path) and path not in contents]
        done = client.create_commit(
            repository.name,
            [CommitOperationAdd(path, content) for path, content in contents.items()]
            + [CommitOperationDelete(path) for path in gone],
            commit_message="Published by hubbub",
            repo_type=repository.kind,
        )
    return done.oid


def read_token(file: Path = Path(".env")) -> str | None:
    """`HF_TOKEN` of the environment, else of a `.env` file: a line `HF_TOKEN=...`, with or without quotes and `export`.

    Raises `HubError` where it cannot be a token; the message does not contain it.
    """
    found = os.environ.get("HF_TOKEN", "").strip()
    where = "the environment"
    if not found and file.is_file():
        where = str(file)
        line = re.compile(r"\s*(?:export\s+)?HF_TOKEN\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|([^\s#'\"]\S*))?(?:\s+#.*)?\s*")
        matches = [line.fullmatch(text) for text in file.read_text(encoding="utf-8", errors="replace").splitlines()]
        found = next(("".join(filter(None, match.groups())) for match in reversed(matches) if match), "")
    if found and not re.fullmatch(r"[!-~]+", found):
        raise HubError(f"HF_TOKEN in {where} is not a token: it holds spaces or other invalid characters. {_HOW}")
    return found or None


def _library() -> ModuleType:
    """`huggingface_hub`, which reports nothing about this machine unless the user has asked for it."""
    asked = "HF_HUB_DISABLE_TELEMETRY" in os.environ
    try:
        import huggingface_hub
        from huggingface_hub import constants
    except ImportError as error:
        raise HubError("The Hugging Face hub needs huggingface_hub: pip install 'hubbub[hub]'") from error
    if not asked:
        constants.HF_HUB_DISABLE_TELEMETRY = True  # it was read at the first import, which may be long ago
    return huggingface_hub


def _client(known: str | None = None) -> "HfApi":
    library = _library()
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    client: HfApi = library.HfApi(token=known or read_token(), library_name="hubbub")
    return client


def _check_rights(client: "HfApi", repository: Repository) -> None:
    """Raises `HubError` where the token's user may not write to the repository's owner."""
    owner = repository.name.split("/")[0]
    with _as_hub_errors(repository):
        me = client.whoami()
    if me.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise HubError(f"The token in HF_TOKEN may only read. {_HOW}")
    owners = [me["name"], *(organisation["name"] for organisation in me.get("orgs", []))]
    if owner not in owners:
        raise HubError(f"The token in HF_TOKEN may not write to {owner}. It may to {', '.join(owners)}.")


def _existing_files(client: "HfApi", repository: Repository, private: bool, mark: str) -> list[str]:
    """The files of an existing repository of that name. Raises `HubError` where hubbub did not publish it, or where it
    is private and should not be, or the reverse."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        describe = client.model_info if repository.kind == "model" else client.dataset_info
        info = describe(repository.name)
    except RepositoryNotFoundError:
        return []
    there = [sibling.rfilename for sibling in info.siblings or []]
    if mark not in there and set(there) - {"README.md", ".gitattributes"}:
        raise HubError(
            f"{repository.name} is there already and not from hubbub ({examples(there)}). Choose another name."
        )
    if bool(info.private) != private:
        seen, asked = ("private", "--public") if info.private else ("public", "--private")
        raise HubError(
            f"{repository.name} is there already and {seen}, and {asked} was asked. Publish it as it is, or change it "
            "on its page."
        )
    return there


@contextmanager
def _as_hub_errors(repository: Repository, revision: str | None = None) -> Iterator[None]:
    """Turn the client's errors into `HubError`s of one line."""
    from huggingface_hub.errors import HfHubHTTPError

    # The root of its HTTP library's errors, whichever that is: it has changed twice.
    http_error: type[Exception] = HfHubHTTPError.__mro__[1]
    try:
        yield
    except (http_error, OSError, RuntimeError, ValueError) as error:
        raise HubError(_why(repository, revision, error)) from error


def _why(repository: Repository, revision: str | None, error: BaseException) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    hub, name, text = constants.ENDPOINT, repository.name, _line(error)
    while error.__cause__ and not hasattr(error, "response"):  # errors of an upload are wrapped
        error = error.__cause__
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, GatedRepoError):
        return f"{name} is gated. Accept its terms at {repository.address}; then a token is needed. {_HOW}"
    if isinstance(error, RevisionNotFoundError):
        return f"{name} has no branch, tag or commit '{revision}'. Its page lists them: {repository.address}/commits"
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return (
            f"{hub} has no {repository.words} {name}, or it is private. Check the name; a private one needs HF_TOKEN."
        )
    if status in (401, 403):
        return f"{hub} refused the token in HF_TOKEN ({status}). Nothing was changed. {_HOW}"
    if status == 400:
        return f"{hub} refused what it was sent about {name}: {text}. No file there was changed."
    if status is not None:
        return f"{hub} answered {status} about {name}. No file there was changed. Try again later."
    return f"{hub} could not be reached, or broke off, about {name}: {_line(error)}. Check the connection, call again."


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
