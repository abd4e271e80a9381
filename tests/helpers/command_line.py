"""Command lines: run, each in a process of its own, or only parsed."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from typer.main import get_command

from hubbub.cli.main import app

ROOT = Path(__file__).parents[2]


@cache
def _forking() -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.helpers.forked"]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "COLUMNS": "200"}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )


def run_hubbub(*words: object, cwd: str | Path | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`hubbub WORDS` in a process of its own, which has torch at once: what it prints in 200 columns, its status."""
    command, process = [str(word) for word in words], _forking()
    assert process.stdin and process.stdout
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        given = (command, str(Path(cwd or ".").resolve()), dict(os.environ) | environment, out.name, err.name)
        try:
            process.stdin.write(json.dumps(given) + "\n")
            process.stdin.flush()
            status = int(process.stdout.readline())
        except BaseException:  # a test that took too long must not leave its answer to the next
            process.kill()
            _forking.cache_clear()
            raise
        printed = [Path(file.name).read_text(encoding="utf-8") for file in (out, err)]
    return subprocess.CompletedProcess(command, status, *printed)


def parsed(line: str) -> tuple[str, dict[str, Any]]:
    """`hubbub data get esc50` -> the command's last word and its parameters. Raises a usage error for an unknown option
    or a missing argument, `KeyError` for an unknown command."""
    words = shlex.split(line, comments=True)[1:]
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return command.name, command.make_context(command.name, words).params
