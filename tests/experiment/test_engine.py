"""Why a step failed, in words."""

import errno
from typing import Any

import pytest

from hubbub.errors import HubbubError
from hubbub.experiment.engine import Done


@pytest.mark.parametrize(
    "error, reason",
    [
        (HubbubError("Give a folder."), "Give a folder."),
        (ValueError("3"), "ValueError: 3"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "the disk is full ([Errno 28] No space left on device). Make room.",
        ),
        (PermissionError(errno.EACCES, "Permission denied"), "PermissionError: [Errno 13] Permission denied"),
    ],
)
def test_the_reason_of_a_failed_step(error: Exception, reason: str) -> None:
    step: Any = None
    assert Done(step, 0.0, error=error).reason == reason
