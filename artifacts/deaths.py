"""How a process ended, in words."""

import signal


def death(code: int) -> str:
    """What the exit code of `subprocess` says.

    >>> death(3)
    'exit code 3'
    >>> death(-11)
    'signal 11, SIGSEGV'
    >>> death(-9)
    'signal 9, SIGKILL: killed, perhaps for memory'
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        name = f", {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        name = ""
    return f"signal {-code}{name}{': killed, perhaps for memory' if code == -9 else ''}"
