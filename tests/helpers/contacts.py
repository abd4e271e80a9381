"""Refuses every connection beyond this machine that Python code of this process begins, and notes it."""

import ipaddress
import socket
import sys
from typing import Any

import pytest

#: What was refused.
refused: list[str] = []


def refuse_contacts() -> None:
    """From now on until the process ends, looking up a name and connecting beyond this machine raise OSError."""
    sys.addaudithook(_refuse)


def without_network(patch: pytest.MonkeyPatch) -> None:
    """Downloads fail at once: what is not at hand is drawn at random, and nobody waits for half a gigabyte."""
    patch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody answers there
    patch.setattr("hubbub.runtime.download.RETRIES", 0)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        beyond = not _is_local_name(arguments[0])
        where = arguments[0]
    elif event in ("socket.connect", "socket.sendto"):
        connection, where = arguments
        # A datagram socket that is connected sends nothing: so programs ask for their own address.
        asks = event == "socket.connect" and connection.type == socket.SOCK_DGRAM
        beyond = not asks and isinstance(where, tuple) and not _is_own(where[0])
    else:
        return
    if beyond:
        refused.append(f"{event} {where}")
        raise OSError(f"the tests contact nobody, and this is beyond the machine: {where}")


def _is_local_name(name: Any) -> bool:
    """Whether a name needs no look-up beyond this machine: none, an address, or this machine's."""
    name = name.decode() if isinstance(name, bytes) else name
    if not name or name in ("localhost", socket.gethostname()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_own(address: Any) -> bool:
    """Whether a name or an address is this machine's: a server could be bound to it."""
    if not _is_local_name(address):
        return False
    family = socket.AF_INET6 if ":" in str(address) else socket.AF_INET
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError:
            return False
    return True
