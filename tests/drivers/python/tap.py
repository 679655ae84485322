"""What the Python programs share: the names of the checks, and how results are told.

A program registers its checks and calls `run`, which prints one line for each:
`ok NAME`, `not ok NAME: WHY` or `skip NAME: REASON`. Names as arguments run these alone.
"""

import asyncio
import inspect
import os
import sys
import threading
import time
import traceback

# The same for all drivers; each checks or skips every one. ../README.md says what they mean.
NAMES = (
    "connect crud transactions savepoints isolation read_only prepared schema batch pipeline copy "
    "cursor cancel errors types settings temporary locks notify sessions pool"
).split()

SESSIONS = 200
LIMIT = 60  # seconds for one check, on a busy machine


class Checks:
    """The checks of one driver."""

    def __init__(self, version):
        print(f"# {version}", flush=True)
        self._functions = {}
        self._skipped = {}

    def __call__(self, function):
        self._functions[function.__name__.removeprefix("check_")] = function
        return function

    def skip(self, name, reason):
        """The driver has nothing of the kind."""
        self._skipped[name] = reason

    def run(self):
        """Runs everything, tells it, and ends the process."""
        failed = False
        for name in NAMES:
            if sys.argv[1:] and name not in sys.argv[1:]:
                continue
            if name in self._skipped:
                print(f"skip {name}: {self._skipped[name]}", flush=True)
                continue
            since = time.monotonic()
            why = "neither checked nor skipped"
            if name in self._functions:
                why = self._why_not(self._functions[name])
            failed |= why is not None
            took = time.monotonic() - since
            print(f"ok {name}" if why is None else f"not ok {name}: {why}", flush=True)
            print(f"# {name} took {took:.2f} s", file=sys.stderr, flush=True)
        # Threads of a check that hangs are left behind.
        os._exit(failed)

    @staticmethod
    def _why_not(function):
        raised = []

        def call():
            try:
                if inspect.iscoroutinefunction(function):
                    # Ends what it waits for, so that the next check finds the servers free.
                    asyncio.run(asyncio.wait_for(function(), LIMIT - 1))
                else:
                    function()
            except BaseException as error:  # whatever it is, it is the check's result
                traceback.print_exc()
                raised.append(error)

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(LIMIT)
        if thread.is_alive() or (raised and isinstance(raised[0], asyncio.TimeoutError)):
            return f"not within {LIMIT} s"
        return f"{type(raised[0]).__name__}: {raised[0]}".replace("\n", " ") if raised else None


def equal(got, expected):
    """Fails with both values unless they are the same."""
    assert got == expected, f"got {got!r}, expected {expected!r}"


def fails(error_type, call, **attributes):
    """The error that `call` must raise, with these attributes (`sqlstate="23505"`)."""
    try:
        call()
    except error_type as error:
        for name, expected in attributes.items():
            equal((name, getattr(error, name)), (name, expected))
        return error
    raise AssertionError(f"should have failed with {error_type.__name__}")


def in_threads(function, arguments):
    """Calls `function` with each argument, all at once, and raises the first error."""
    errors = []

    def call(argument):
        try:
            function(argument)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(argument,), daemon=True) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def until_cancelled(running, cancel):
    """Asks for a cancel until it is heard: the query may not have begun at the first."""
    while running.is_alive():
        cancel()
        running.join(0.02)
