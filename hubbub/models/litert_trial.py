"""A LiteRT file is opened and run in a process of its own first.

LiteRT checks that a file is whole; a file that is whole and says what cannot be can still end the process that runs it.
"""

import json
import subprocess
import sys

from hubbub.models.errors import NetworkError
from hubbub.models.foreign_graph import ForeignGraph
from hubbub.models.graph_runner import first_line
from hubbub.runtime.processes import describe_exit

__all__ = ["refuse_crashing"]

#: Seconds after which a file counts as one that does not end.
PATIENCE_S = 300


def refuse_crashing(content: bytes, source: str, size: tuple[int, ...], rate_hz: int, output: str) -> None:
    """Raise `NetworkError` for a LiteRT file that ends a process as `ForeignGraph` reads it, or never answers."""
    command = [sys.executable, "-m", "hubbub.models.litert_trial", json.dumps([size, rate_hz, output])]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise NetworkError(
            f"{source} gives nothing within {PATIENCE_S} seconds. Download or convert it again."
        ) from error
    except OSError as error:
        raise NetworkError(f"{source} cannot be tried in a process of its own: {error.strerror}.") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()[-1:]
        why = ": ".join([describe_exit(done.returncode), *said])
        raise NetworkError(f"{source} ends the process that runs it ({why}). Download or convert it again.")


def _try() -> None:
    """Read a file as the parent will; what is refused with a message is refused by the parent again."""
    size, rate_hz, output = json.loads(sys.argv[1])
    try:
        ForeignGraph(sys.stdin.buffer.read(), "the file", tuple(size), rate_hz, output)
    except NetworkError:
        return
    except Exception as error:  # the last line of the parent's message
        sys.exit(f"{type(error).__name__}: {first_line(error)}")


if __name__ == "__main__":
    _try()
