"""Download a data set's tables from the Hugging Face hub, and publish a folder that `hub.build` wrote.

`huggingface_hub` is the client; `HF_ENDPOINT` names another hub. A download gets its final name only when it is
complete and its checksums match. A publication is one commit (`create_commit`; `upload_folder` may make several), so
readers see the old data set or the new one. The token comes from `HF_TOKEN`, in the environment or in a `.env` file,
and is neither printed nor stored.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from hubbub.data.hub.dataset import CARD, FACTS, NAME, SOURCE, folder_name, read_facts
from hubbub.data.hub.tables import tables
from hubbub.errors import HubbubError, examples
from hubbub.runtime import files, homes

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["HubError", "download", "publish", "read_token"]

_WANTED = ["*.parquet", CARD, FACTS]
_HOW = (
    "Make one that may write at https://huggingface.co/settings/tokens and put it into the environment variable "
    "HF_TOKEN, or as a line HF_TOKEN=... into a file .env in the working folder."
)


class HubError(HubbubError):
    """The hub could not be reached or refused a request; or the folder cannot be published."""


def download(name: str) -> Path:
    """The folder of OWNER/NAME in a data home; if it is in none, its parquet files and card are downloaded to the first
    writable one.

    `source.json` there names the commit. Files of an interrupted download are reused. Raises `HubError`.
    """
    folder = folder_name(name)
    found = homes.find("data", folder)
    if found is not None:
        return found
    client = _client()
    target = homes.writable_home() / "data" / folder
    with _as_hub_errors(name):
        info = client.dataset_info(name, files_metadata=True)
    _refuse_outside_names(name, [info.sha or "", *(sibling.rfilename for sibling in info.siblings or [])])
    part = target.with_name(f".{target.name}.{str(info.sha)[:12]}.part")
    with files.lock_folder(part):
        with _as_hub_errors(name):
            client.snapshot_download(
                name, repo_type="dataset", revision=info.sha, local_dir=part, allow_patterns=_WANTED
            )
        for sibling in info.siblings or []:
            file = part / sibling.rfilename
            if sibling.lfs and file.is_file() and files.sha256(file) != sibling.lfs.sha256:
                file.unlink()
                raise HubError(f"{name}: {sibling.rfilename} does not have the checksum the hub says. Call again.")
        if not tables(part):
            files.remove_folder(part)
            there = examples(sibling.rfilename for sibling in info.siblings or [])
            raise HubError(f"{name} has no parquet files at its top or in its folders, but {there or 'nothing'}.")
        source = {"name": name, "url": f"{client.endpoint}/datasets/{name}", "revision": info.sha}
        files.write_json(part / SOURCE, source)
        files.remove_folder(part / ".cache", part)  # the client's record of the download
    (part / ".lock").unlink(missing_ok=True)
    os.rename(part, target)
    for abandoned in target.parent.glob(f".{target.name}.*.part"):  # of earlier commits
        with suppress(homes.StoreError):
            files.remove_folder(abandoned)
    return target


def _refuse_outside_names(name: str, listed: list[str]) -> None:
    """Raises `HubError` for file names from the hub that would be paths outside the folder."""
    for one in listed:
        parts = PureWindowsPath(one)  # handles both kinds of slash, and drives
        if not one or parts.anchor or ".." in parts.parts or not one.isprintable():
            raise HubError(f"{name} was refused: {one!r}, which the hub names, leads out of its folder or is no name.")


def publish(folder: Path, name: str, *, private: bool = True) -> tuple[str, str]:
    """Publish a folder that `hub.build` wrote as the data set OWNER/NAME -> its address and commit.

    The folder, the token and its rights are checked before anything is created. Tables of an earlier publication that
    are no longer in the folder are deleted in the same commit. Raises `HubError`.
    """
    if not NAME.fullmatch(name):
        raise HubError(f"'{name}' is not a name on the hub. Write OWNER/NAME, OWNER being you or your organisation.")
    read_facts(folder)
    contents = {path.relative_to(folder).as_posix(): path for path in [folder / CARD, folder / FACTS, *tables(folder)]}
    if len(contents) < 3 or not (folder / CARD).is_file():
        raise HubError(f"{folder} is incomplete: it needs a card and tables. Make it: hubbub data hub build")
    known = read_token()
    if known is None:
        raise HubError(f"There is no token to publish with. {_HOW}")
    client = _client(known)
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    _check_rights(client, name)
    with _as_hub_errors(name):
        there = _existing_files(client, name, private)
        client.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
        gone = [path for path in there if path.endswith(".parquet") and path not in contents]
        done = client.create_commit(
            name,
            [CommitOperationAdd(path, file) for path, file in contents.items()]
            + [CommitOperationDelete(path) for path in gone],
            commit_message="Published by hubbub",
            repo_type="dataset",
        )
    return f"{client.endpoint}/datasets/{name}", done.oid


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


def _client(known: str | None = None) -> "HfApi":
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError as error:
        raise HubError("The Hugging Face hub needs huggingface_hub: pip install 'hubbub[hub]'") from error
    if not sys.stderr.isatty():
        disable_progress_bars()
    return HfApi(token=known or read_token(), library_name="hubbub")


def _check_rights(client: "HfApi", name: str) -> None:
    """Raises `HubError` where the token's user may not write to the data set's owner."""
    owner = name.split("/")[0]
    with _as_hub_errors(name):
        me = client.whoami()
    if me.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise HubError(f"The token in HF_TOKEN may only read. {_HOW}")
    owners = [me["name"], *(organisation["name"] for organisation in me.get("orgs", []))]
    if owner not in owners:
        raise HubError(f"The token in HF_TOKEN may not write to {owner}. It may to {', '.join(owners)}.")


def _existing_files(client: "HfApi", name: str, private: bool) -> list[str]:
    """The files of an existing data set of that name. Raises `HubError` where hubbub did not publish it, or where it is
    private and should not be, or the reverse."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = client.dataset_info(name)
    except RepositoryNotFoundError:
        return []
    there = [sibling.rfilename for sibling in info.siblings or []]
    if FACTS not in there and set(there) - {CARD, ".gitattributes"}:
        raise HubError(f"{name} is there already and not from hubbub ({examples(there)}). Choose another name.")
    if bool(info.private) != private:
        seen, asked = ("private", "--public") if info.private else ("public", "--private")
        raise HubError(
            f"{name} is there already and {seen}, and {asked} was asked. Publish it as it is, or change it on its page."
        )
    return there


@contextmanager
def _as_hub_errors(name: str) -> Iterator[None]:
    """Turn the client's errors into `HubError`s of one line."""
    from huggingface_hub.errors import HfHubHTTPError

    # The root of its HTTP library's errors, whichever that is: it has changed twice.
    http_error: type[Exception] = HfHubHTTPError.__mro__[1]
    try:
        yield
    except (http_error, OSError, RuntimeError, ValueError) as error:
        raise HubError(_why(name, error)) from error


def _why(name: str, error: BaseException) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    hub, text = constants.ENDPOINT, _line(error)
    while error.__cause__ and not hasattr(error, "response"):  # errors of an upload are wrapped
        error = error.__cause__
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, GatedRepoError):
        return f"{name} is gated. Accept its terms at {hub}/datasets/{name}; then a token is needed. {_HOW}"
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return f"{hub} has no data set {name}, or it is private. Check the name; a private one needs HF_TOKEN."
    if status in (401, 403):
        return f"{hub} refused the token in HF_TOKEN ({status}). Nothing was changed. {_HOW}"
    if status == 400:
        return f"{hub} refused what it was sent about {name}: {text}. No file there was changed."
    if status is not None:
        return f"{hub} answered {status} about {name}. No file there was changed. Try again later."
    return f"{hub} could not be reached, or broke off, about {name}: {_line(error)}. Check the connection, call again."


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
