"""`hubbub explore`: a page to search, listen, label and train in an archive."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hubbub.cli.options import Debug
from hubbub.cli.serve import Host, Port, PublicNames, TokenOption, given_token, print_line

__all__ = ["explore"]


def explore(
    archive: Annotated[Path, typer.Argument(help="The archive's folder, as hubbub index made it.")],
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token: TokenOption = None,
    names: PublicNames = None,
    debug: Debug = False,
) -> None:
    """Search, listen to, label and train in an archive, on a page; by default only for this machine.

    Labels are on the disk as soon as the page shows them. Several people may work at once.

    Example: hubbub explore archive
    """
    from hubbub.archive.session import Session
    from hubbub.serve import server
    from hubbub.serve.explore.app import create_app
    from hubbub.serve.limits import Limits

    create = partial(create_app, Session(archive))
    limits = Limits(max_seconds=3_600)
    server.run(create, limits, host=host, port=port, token=given_token(token), names=tuple(names or ()), log=print_line)
