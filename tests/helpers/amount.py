"""How many cases a test takes: few in `make test` and `make test-slow`, many in `make faults`."""

import os

__all__ = ["LONG", "amount"]

#: Whether this is the long form: `make faults` sets the variable.
LONG = os.environ.get("HUBBUB_FAULTS") == "long"


def amount(short: int, long: int) -> int:
    """`long` in the long form, else `short`."""
    return long if LONG else short
