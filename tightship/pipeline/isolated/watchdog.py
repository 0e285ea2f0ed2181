"""Ends the process that makes files, and all that it started, when its parent has ended: whatever ended that.

Imports next to nothing, because the watcher is forked before anything else is loaded.
"""

import os
import signal


def watch(line: int) -> None:
    """Fork a process that kills its whole group once standard input ends, whose other end the parent alone holds.

    A thread could not, while a library holds Python's lock. The caller leads the group; its standard input is empty afterwards.

    Args:
        line: a descriptor that the caller alone may keep open.
    """
    if os.fork() == 0:
        os.close(line)
        os.read(0, 1)
        os.killpg(0, signal.SIGKILL)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
