"""Models of the Hugging Face hub, fetched once and then used from a data home without a connection.

A model is a folder per commit, `weights/hub/ORG--NAME/COMMIT`. A name without a commit means the same files as long as
they are there: the commit that it named at its first download is recorded in `revisions.json` beside these folders.
This module does not know what the files hold.
"""

import json
import logging
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from hubbub.runtime import files, homes, hub
from hubbub.runtime.hub import NAME, HubError, Repository

__all__ = ["Choose", "fetch_model", "split_name"]

#: Takes the names of a repository's files, and returns those to download; raises where it cannot be used.
Choose = Callable[[Collection[str]], Sequence[str]]

_log = logging.getLogger(__name__)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w./-]{0,199}", re.ASCII)
_RECORD = "revisions.json"


def split_name(name: str) -> tuple[str, str]:
    """ORG/NAME@REVISION -> ORG/NAME and REVISION, which is "" for ORG/NAME alone. Raises `HubError` for other names."""
    repository, at, revision = name.partition("@")
    if not NAME.fullmatch(repository) or (at and not _REVISION.fullmatch(revision)):
        raise HubError(
            f"'{name}' is not the name of a model on the hub. Write ORG/NAME, or ORG/NAME@REVISION with a commit, a "
            "tag or a branch."
        )
    return repository, revision


def fetch_model(name: str, choose: Choose) -> Path:
    """The folder of the model ORG/NAME or ORG/NAME@REVISION in a data home; if it is in none, the files that `choose`
    returns are downloaded to the first writable one.

    REVISION is a commit of 40 hexadecimal digits, a tag or a branch; without one, the newest commit is meant or, if
    that has its weights in pickles alone, their conversion by the hub's own bot. Names of commits are resolved once and
    recorded. The folder's name is the commit. Raises `HubError`.
    """
    repository, revision = split_name(name)
    place = f"hub/{repository.replace('/', '--')}"
    pinned = revision if _COMMIT.fullmatch(revision) else _recorded(place, revision)
    if pinned and (found := homes.find("weights", f"{place}/{pinned}")):
        return found
    commit = hub.look_up(Repository("model", repository), pinned or revision or None)
    if pinned is None and not revision:
        commit = hub.converted(commit) or commit
    home = homes.writable_home() / "weights" / place
    folder = homes.find("weights", f"{place}/{commit.revision}")  # it may be here by another name
    if folder is None:
        folder = home / commit.revision
        hub.download(commit, choose(commit.files), folder)
    if pinned is None:
        files.write_json(home / _RECORD, _read_record(home / _RECORD) | {revision: commit.revision})
        _log.warning("%s is commit %s here from now on, as %s says", name, commit.revision, home / _RECORD)
    return folder


def _recorded(place: str, revision: str) -> str | None:
    """The commit that a name of one was resolved to, in the first home that knows; None if none does."""
    records = (_read_record(home / "weights" / place / _RECORD) for home in homes.homes())
    return next((record[revision] for record in records if revision in record), None)


def _read_record(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if all(_COMMIT.fullmatch(commit) for commit in record.values()):
            return dict(record)
    except (ValueError, AttributeError, TypeError):
        pass
    raise HubError(f"{file} is damaged. Delete it: the newest commit is then fetched and recorded again.")
