"""The options that commands and Python share, as settings of a recipe."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hubbub.config.settings import as_setting

__all__ = ["common_settings"]


def common_settings(
    settings: Mapping[str, Any] | None = None,
    folds: Iterable[str | int] | None = None,
    seeds: Iterable[int] | None = None,
    device: str | None = None,
    allow_missing: bool = False,
    allow_leaky: bool = False,
) -> list[str]:
    """The common options as `--set` settings, so that the resolved recipe holds them."""
    changes = dict(settings or {})
    changes |= {"train.device": device} if device else {}
    changes |= {"protocol.folds": [str(fold) for fold in folds]} if folds is not None else {}
    changes |= {"train.seeds": list(seeds)} if seeds is not None else {}
    changes |= {"data.allow_missing": True} if allow_missing else {}
    changes |= {"protocol.allow_leaky": True} if allow_leaky else {}
    return [as_setting(field, str(value) if isinstance(value, Path) else value) for field, value in changes.items()]
