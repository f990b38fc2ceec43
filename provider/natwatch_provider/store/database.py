"""Opening the database, its two kinds of transaction, and bringing its schema up to date.

SQLite is the embedded default, PostgreSQL (psycopg 3) the large one. Both give the same
promise to the collector: what is committed survives a power cut, because only then may the
device forget it.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

BUSY_S = 5  # how long SQLite waits for another writer before it says "locked"
_BUSY_POLL_S = 0.02
_UPGRADE_LOCK = 0x6E617477  # "natw": one collector at a time upgrades a PostgreSQL schema


class Gone(Exception):
    """The file of the database is not where it was, so that nothing in it will be found again."""


class Database:
    """One database. Raises ValueError with one sentence where *address* is no database URL."""

    def __init__(self, address: str) -> None:
        self.url = _parse(address)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = _sqlite(self.url) if self.is_sqlite else _postgresql(self.url)
        self._file: tuple[int, int] | None = None  # which one upgrade() found, SQLite only

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._engine.connect().execution_options(reads_only=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end, or rolled back by an exception. Raises Gone
        where the file is no longer that of upgrade(), also if that shows after the commit: SQLite
        itself would go on writing to a file that has been removed.
        """
        self._find_file()
        with self._engine.begin() as connection:
            yield connection
        if self._file is not None and self._file_there() != self._file:
            raise Gone(f"its file {self.url.database} was removed or replaced")

    def upgrade(self) -> None:
        """Bring the schema to the newest version. Nothing happens where it is there already."""
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
            config = _migrations()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        self._file = self._file_there()

    def schema_trouble(self) -> str | None:
        """What keeps this program from reading the database, as a sentence; None if nothing."""
        path = self.url.database or ""
        if self.is_sqlite and path != ":memory:" and not Path(path).exists():
            return f"expected a database in {path}, found no such file; has the collector run?"
        with self.reading() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        expected = ScriptDirectory.from_config(_migrations()).get_current_head()
        if found == expected:
            return None
        return (
            f"expected schema version {expected}, found {found or 'none'}; "
            "start a natwatch-collector of this version on it, which upgrades it"
        )

    def folder_exists(self) -> bool:
        """Whether an SQLite file could be made where it is named; always so elsewhere."""
        path = self.url.database or ""
        return not self.is_sqlite or path == ":memory:" or Path(path).parent.is_dir()

    def _find_file(self) -> None:
        """Go over to a file that stands in the place of ours, such as a backup put back."""
        if self._file is None or self._file_there() == self._file:
            return
        if self._file_there() is None:
            # Ours stays open: all that is in it can still be copied from /proc.
            raise Gone(
                f"its file {self.url.database} is gone; put it back, or restart the collector, "
                "which makes a new one"
            )
        self._engine.dispose()
        ours, self._file = self._file, None
        try:
            self.upgrade()
        except CommandError as error:
            raise Gone(f"the file now in its place is of another natwatch: {error}") from None
        finally:
            self._file = self._file or ours  # not upgraded: to be tried again

    def _file_there(self) -> tuple[int, int] | None:
        """Which file is at our path: device and inode. None: no file, or no SQLite on disk."""
        if not self.is_sqlite or self.url.database == ":memory:":
            return None
        try:
            found = Path(self.url.database or "").stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def close(self) -> None:
        self._engine.dispose()

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)


def is_away(error: BaseException) -> bool:
    """Whether *error* means that the database cannot be used at the moment: locked, full,
    stopped, unreachable. Then the same transaction may succeed later; otherwise it is at fault.
    """
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeout)):
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated


def is_at_fault(error: BaseException) -> bool:
    """Whether what was to be written is at fault for *error*, not the database. Only then may
    anything else be done with it than to wait: a database that is read-only, damaged or without
    a table refuses everything.
    """
    if isinstance(error, (Gone, PoolTimeout)):
        return False
    if isinstance(error, ProgrammingError):
        # With a code, the server said so: no such table, no permission. Without, the driver did.
        return getattr(error.orig, "sqlstate", None) is None
    if isinstance(error, DBAPIError):
        return isinstance(error, (DataError, IntegrityError, NotSupportedError))
    return True


def what_it_said(error: Exception) -> str:
    """What the database said, on one line, without the statement."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _parse(address: str) -> URL:
    expected = "expected a database such as sqlite:////var/lib/natwatch/natwatch.db or "
    expected += "postgresql://user@host/name"
    try:
        url = make_url(address)
    except ArgumentError:
        raise ValueError(f"{expected}, found {address!r}") from None
    if url.get_backend_name() == "sqlite" and not url.database:
        raise ValueError(f"{expected}, found {address!r}, which names no file")
    if url.drivername == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ValueError(f"{expected}, found {url.drivername!r}")
    return url


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not where sqlite3 guesses
        _write_ahead(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: a read that turned into a write would fail instead
        # of waiting when another writer had been there between.
        reads_only = connection.get_execution_options().get("reads_only")
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return engine


def _write_ahead(connection: Any) -> None:
    """Let *connection*, a sqlite3 one, write ahead; a new file is changed to that for good.

    Here SQLite does not wait for another writer: it reads the file's version first, and whoever
    reads already is told "locked" at once. Of two collectors that start on one empty file the
    second would end so.
    """
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= deadline:
                raise
            time.sleep(_BUSY_POLL_S)


def _postgresql(url: URL) -> Engine:
    # pre-ping: after a restart of the server the first transaction finds a fresh connection
    return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 5})


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
