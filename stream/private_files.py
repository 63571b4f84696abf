"""Files and folders that their owner alone may read, whatever the process's umask is.

What riskstream keeps for itself (rows, queues, logs, keys, a broker's data) holds customers' payments. What a command
is told to write (``--out``, ``--report``) is the caller's, and follows the caller's umask.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Final

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
OWNER_UMASK: Final = 0o077
"""For processes that riskstream starts and that write files of their own."""


def private_directory(path: Path) -> Path:
    """Make a folder and its parents, closed to others; one of ours that is there already and open is closed.

    Raises
    ------
    OSError
        It cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    found = path.stat()
    if found.st_uid == os.getuid() and found.st_mode & OWNER_UMASK:
        path.chmod(FOLDER_MODE)
    return path


def open_private(path: Path) -> IO[bytes]:
    """Open a file for writing from its beginning, closed to others from its first moment on.

    Raises
    ------
    OSError
        It cannot be made.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        os.fchmod(handle, FILE_MODE)  # it may have been there, and open
        return os.fdopen(handle, "wb")
    except BaseException:
        os.close(handle)
        raise


def write_private(path: Path, content: bytes) -> None:
    """Write a whole file that others cannot read.

    Raises
    ------
    OSError
        It cannot be written.
    """
    with open_private(path) as file:
        file.write(content)
