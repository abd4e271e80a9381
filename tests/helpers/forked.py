"""The process that `tests.helpers.command_line.run_hubbub` forks: it has imported the libraries that commands need."""

import atexit
import importlib
import json
import os
import sys
import threading
import traceback
from contextlib import suppress
from typing import NoReturn

from hubbub.cli import main

#: What takes seconds to import and starts no thread, as pyarrow and onnxruntime do: their forks could hang.
LIBRARIES = (
    *("numpy", "scipy.signal", "scipy.stats", "scipy.optimize", "torch", "soundfile", "onnx"),
    *("sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection", "sklearn.preprocessing"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg"),
)


def run(words: list[str], folder: str, environment: dict[str, str], out: str, err: str) -> int:
    """`hubbub WORDS` in this process, as from a shell; its exit status."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, name, how in ((0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, err, os.O_WRONLY)):
        os.dup2(os.open(name, how), number)
    sys.argv = ["hubbub", *words]
    try:
        main.main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def leave(status: int) -> NoReturn:
    """Ends this process as Python does, but for freeing every object, which takes a second with torch."""
    threading._shutdown()  # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def serve() -> None:
    """Reads a command a line, and answers with its exit status."""
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            leave(run(*json.loads(line)))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
