"""What the provider's tests share: a database of each kind, empty for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from natwatch_provider.store.database import Database
from tests.provider.postgres import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; a test that takes it runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/natwatch.db"
    found: str = request.getfixturevalue("cluster").new_database()
    return found


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    """An open database with the newest schema."""
    database = Database(address)
    database.upgrade()
    yield database
    database.close()
