"""Lengths in seconds, such as `"0.96 s"` or `"25 ms"`, as samples: `windows.length`, `windows.hop`, `evaluate.hop`."""

import re
from typing import Any

__all__ = ["in_samples"]

_FIELDS = (("windows", "length"), ("windows", "hop"), ("evaluate", "hop"))
_LENGTH = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*(s|ms)\s*")


def in_samples(content: Any, default_hz: int) -> Any:
    """A recipe's content with its lengths in samples at `audio.rate_hz`; what is no length stays as it is."""
    if not isinstance(content, dict):
        return content
    audio = content.get("audio")
    rate = audio.get("rate_hz", default_hz) if isinstance(audio, dict) else default_hz
    if not isinstance(rate, int) or isinstance(rate, bool):
        return content
    for section, name in _FIELDS:
        held = content.get(section)
        value = held.get(name) if isinstance(held, dict) else None
        if isinstance(value, str) and (found := _LENGTH.fullmatch(value)):
            seconds = float(found[1]) / (1000 if found[2] == "ms" else 1)
            content = content | {section: content[section] | {name: round(seconds * rate)}}
    return content
