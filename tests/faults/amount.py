"""How many cases a test takes: few in `make test` and `make test-slow`, many in `make faults`."""

import os


def amount(short: int, long: int) -> int:
    """`long` where HUBBUB_FAULTS is "long" (`make faults` sets it), else `short`."""
    return long if os.environ.get("HUBBUB_FAULTS") == "long" else short
