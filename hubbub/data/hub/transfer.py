"""Download a data set's tables from the Hugging Face hub, and publish a folder that `hub.build` wrote."""

from pathlib import Path

from hubbub.data.hub.dataset import CARD, FACTS, folder_name, read_facts
from hubbub.data.hub.tables import tables
from hubbub.errors import examples
from hubbub.runtime import homes, hub
from hubbub.runtime.hub import HubError, Repository

__all__ = ["download", "publish"]


def download(name: str) -> Path:
    """The folder of OWNER/NAME in a data home; if it is in none, its parquet files and card are downloaded to the first
    writable one.

    `source.json` there names the commit. Files of an interrupted download are reused. Raises `HubError`.
    """
    folder = folder_name(name)
    if (present := homes.find("data", folder)) is not None:
        return present
    target = homes.writable_home() / "data" / folder
    commit = hub.look_up(Repository("dataset", name))
    # As `tables` finds them.
    parquet = [one for one in commit.files if one.endswith(".parquet") and one.count("/") <= 1 and one[0] != "."]
    if not parquet:
        there = examples(commit.files) or "nothing"
        raise HubError(f"{name} has no parquet files at its top or in its folders, but {there}.")
    hub.download(commit, [*parquet, *({CARD, FACTS} & set(commit.files))], target)
    return target


def publish(folder: Path, name: str, *, private: bool = True) -> tuple[str, str]:
    """Publish a folder that `hub.build` wrote as the data set OWNER/NAME -> its address and commit.

    The folder, the token and its rights are checked before anything is created. Tables of an earlier publication that
    are no longer in the folder are deleted in the same commit. Raises `HubError`.
    """
    read_facts(folder)
    contents = {path.relative_to(folder).as_posix(): path for path in [folder / CARD, folder / FACTS, *tables(folder)]}
    if len(contents) < 3 or not (folder / CARD).is_file():
        raise HubError(f"{folder} is incomplete: it needs a card and tables. Make it: hubbub data hub build")
    repository = Repository("dataset", name)
    commit = hub.publish(
        repository, contents, private=private, mark=FACTS, replaced=lambda path: path.endswith(".parquet")
    )
    return repository.address, commit
