"""`hubbub serve`: a classifier over HTTP and WebSocket."""

import os
from contextlib import suppress
from functools import partial
from typing import Annotated

import typer

from hubbub.cli.options import Debug, Device, Fast, finite, load_classifier, model_or_default, out

__all__ = ["Host", "Port", "PublicNames", "TokenOption", "given_token", "print_line", "serve"]

#: The environment variable for the token.
TOKEN = "HUBBUB_TOKEN"
Host = Annotated[str, typer.Option("--host", help="The address to listen at; 0.0.0.0 for all.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65_535, help="The port; 0 for a free one.")]
TokenOption = Annotated[
    str | None,
    typer.Option("--token", envvar=TOKEN, help="A token that clients must send, as Authorization: Bearer TOKEN."),
]
PublicNames = Annotated[
    list[str] | None,
    typer.Option("--public-name", help="A host name under which a proxy reaches it. May be repeated."),
]


def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A run folder, a saved classifier, an .onnx file, or 'yamnet'. Default: 'small', which comes along."
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token: TokenOption = None,
    names: PublicNames = None,
    max_mb: Annotated[
        float, typer.Option("--max-mb", min=0.001, callback=finite, help="The largest upload, in MB.")
    ] = 32.0,
    max_seconds: Annotated[
        float, typer.Option("--max-seconds", min=0.1, callback=finite, help="The longest recording, in seconds.")
    ] = 600.0,
    queue: Annotated[int, typer.Option("--queue", min=1, help="The most uploads at once; more get status 503.")] = 128,
    device: Device = None,
    fast: Fast = False,
    debug: Debug = False,
) -> None:
    """Serve a classifier over HTTP and WebSocket, with a web page; by default only to this machine.

    Example: hubbub serve runs/demo
    """
    from hubbub.serve import server
    from hubbub.serve.app import create_app
    from hubbub.serve.limits import Limits

    token = given_token(token)
    name = model_or_default(model)
    classifier = load_classifier(name, device, fast)
    limits = Limits(max_mb=max_mb, max_seconds=max_seconds, queue=queue)
    create = partial(create_app, classifier, name)
    server.run(create, limits, host=host, port=port, token=token, names=tuple(names or ()), log=print_line)


def given_token(option: str | None) -> str | None:
    """The token of the option or the variable; typer ignores a variable that is set to ""."""
    return os.environ.get(TOKEN) if option is None else option


def print_line(line: str) -> None:
    """Prints a line at once."""
    with suppress(SystemExit):  # rich ends the program if nobody reads its output
        out.print(line, soft_wrap=True)
        out.file.flush()
