"""Which clips the network `small` has been trained on before any recipe uses it: a split with them leaks.

It has learnt from all of ESC-50, with labels, and from UrbanSound8K's folds 1 to 9, without. Clips are known by their
published names, in folders of one's own and in made scenes as well; copies under other names are not found.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from hubbub.config.sections import Network
from hubbub.data.clips import Clips
from hubbub.data.layouts import ESC50_NAME, URBANSOUND8K_NAME
from hubbub.data.splits import Rows, Split
from hubbub.errors import count, examples
from hubbub.runtime import homes
from hubbub.runtime.shipped import SMALL, WEIGHTS

__all__ = ["DATA", "refused", "shared"]

#: The known data sets that it has been trained on.
DATA = ("esc50", "esc10", "urbansound8k")
#: The fold of UrbanSound8K that it has not been trained on, and the recordings of this fold that ESC-50 has clips of as
#: well: both are cut from recordings of Freesound, whose numbers their names hold.
UNHEARD_FOLD = "10"
IN_ESC50 = frozenset(
    ("100648", "106014", "141240", "163459", "17124", "178402", "179868", "199261", "24076", "28808", "30344")
) | {"54086", "59513"}


def refused(clips: Clips, splits: Sequence[Split], network: Network) -> list[str]:
    """A text for each kind of clips that must not be used with a network: those of ESC-50 in any part, and test clips
    of UrbanSound8K of other folds than the tenth."""
    if not _is_small(network):
        return []
    esc50 = _known(clips, ESC50_NAME, _union(np.concatenate([*_parts(split), split.unknown]) for split in splits))
    urban = _known(clips, URBANSOUND8K_NAME, _tested(splits))
    other = [row for row in urban if _fold(clips, row) != UNHEARD_FOLD]
    found = []
    for rows, what, source in (
        (list(esc50), "clip", "ESC-50"),
        (other, "test clip", "UrbanSound8K, whose folds 1 to 9 it knows"),
    ):
        if rows:
            names = examples(clips.table["clip"].iloc[rows])
            found.append(f"the network {SMALL} has been trained on {count(len(rows), what)} of {source} ({names})")
    return found


def shared(clips: Clips, splits: Sequence[Split], network: Network) -> list[str]:
    """The text about test clips of UrbanSound8K's fold 10 of recordings that are in ESC-50 as well; none where there
    are none."""
    if not _is_small(network):
        return []
    urban = _known(clips, URBANSOUND8K_NAME, _tested(splits))
    tested = {row: name for row, name in urban.items() if _fold(clips, row) == UNHEARD_FOLD}
    both = [row for row, name in tested.items() if name["fsID"] in IN_ESC50]
    if not both:
        return []
    return [
        f"{len(both)} of {count(len(tested), 'test clip')} of UrbanSound8K's fold 10 are of recordings that ESC-50 has "
        f"clips of, too, and on these the network {SMALL} has been trained"
    ]


def _is_small(network: Network) -> bool:
    """Whether a network starts from the shipped weights."""
    if network.weights == "default":
        return network.name == SMALL
    return network.weights != "none" and homes.absolute(network.weights) == WEIGHTS


def _parts(split: Split) -> list[Rows]:
    return [rows for _, rows in split.parts()]


def _tested(splits: Sequence[Split]) -> Rows:
    return _union(np.concatenate([split.test, split.unknown]) for split in splits)


def _union(parts: Iterable[Rows]) -> Rows:
    return np.unique(np.concatenate(list(parts)))


def _known(clips: Clips, pattern: str, rows: Rows) -> dict[int, re.Match[str]]:
    """Those of the rows whose file, or else id, has a published name, and the name; scenes are known by the clips that
    they were mixed from."""
    table = clips.table.iloc[rows]
    found: dict[int, re.Match[str]] = {}
    for row, path, clip in zip(rows, table["path"], table["clip"], strict=True):
        ids = [clip, *(used for used, _ in clips.mixed.get(path, ()))]
        names = (re.match(pattern, Path(path).name), *(re.match(pattern, f"{Path(one).name}.") for one in ids))
        found |= {int(row): name for name in names if name}
    return found


def _fold(clips: Clips, row: int) -> str:
    """UrbanSound8K's fold of a clip: that of the data set, or of the folder that holds it, e.g. `fold10`."""
    clip = clips.table.iloc[row]
    if clips.name == "urbansound8k":
        return str(clip["fold"])
    return Path(clip["path"]).parent.name.lower().removeprefix("fold")
