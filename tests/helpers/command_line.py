"""Command lines that the documentation shows, parsed by the real command line without running anything."""

import shlex
from typing import Any

from typer.main import get_command

from hubbub.cli.main import app


def parsed(line: str) -> tuple[str, dict[str, Any]]:
    """`hubbub data get esc50` -> the command's last word and its parameters. Raises a usage error for an unknown option
    or a missing argument, `KeyError` for an unknown command."""
    words = shlex.split(line, comments=True)[1:]
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return command.name, command.make_context(command.name, words).params
