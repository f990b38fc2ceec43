"""A folder of small files, written so that what returned is on the medium. Raises OSError.

CPython's fsync and MicroPython's flush (which is fsync on the unix port) are the platform's.
"""

import os

from natwatch.port import platform

_MISSING = 2


class Folder:
    """The folder *path*; it is made when it is first asked for, its parent has to be there."""

    def __init__(self, path):
        self._path = path

    def names(self):
        try:
            return os.listdir(self._path)
        except OSError as error:
            if error.errno != _MISSING:
                raise
        os.mkdir(self._path)
        return []

    def read(self, name, offset=0, size=-1):
        """At most *size* bytes of the file *name* from *offset* on; -1: all of them."""
        with open(self._path + "/" + name, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def append(self, name, data, new):
        """Add *data* at the end of the file *name*; *new*: it is not there yet."""
        with open(self._path + "/" + name, "ab") as file:
            file.write(data)
            platform.sync(file)
        if new:
            platform.sync_folder(self._path)

    def remove(self, name):
        os.remove(self._path + "/" + name)
