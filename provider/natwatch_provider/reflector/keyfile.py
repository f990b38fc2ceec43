"""The reflector master key, read from its file."""

import os
import stat

MIN_BYTES = 32


class KeyFileError(Exception):
    """The key file cannot be used; the text says why and what to do."""


def read_master(path: str) -> bytes:
    """The key in *path*: 32 bytes or more in hex, readable by nobody else. KeyFileError."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096)
    except OSError as error:
        raise KeyFileError(f"key file {path}: cannot be read ({error.strerror})") from None
    if mode & stat.S_IRWXO:
        raise KeyFileError(
            f"key file {path}: expected no access for others, found mode "
            f"{stat.S_IMODE(mode):04o}; run chmod o= {path}"
        )
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        raise KeyFileError(
            f"key file {path}: expected {MIN_BYTES} bytes or more in hex, found something else"
        ) from None
    if len(key) < MIN_BYTES:
        raise KeyFileError(
            f"key file {path}: expected {MIN_BYTES} bytes or more in hex, found {len(key)}"
        )
    return key
