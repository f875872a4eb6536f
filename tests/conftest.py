"""Fixtures that every suite uses."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from structlog.types import EventDict, WrappedLogger

from tests.support.clock import FakeClock
from tests.support.databases import fresh_postgresql, fresh_sqlite, migrated
from tests.support.gateway import TestGateway, running_gateway


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _nothing(_logger: WrappedLogger, _method: str, _event: EventDict) -> str:
    return ""


def quiet() -> None:
    """Nothing is rendered: by itself structlog draws a traceback with every local, the whole application, for minutes."""
    structlog.configure(processors=[_nothing], logger_factory=structlog.ReturnLoggerFactory())


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    """Tests that look at logs configure them themselves."""
    quiet()
    yield
    structlog.reset_defaults()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def postgresql_directory() -> Path:
    """Not below pytest's own directory: the server runs as a user of its own, and pytest closes that for others."""
    return Path(tempfile.mkdtemp(prefix="bifrost-postgresql-"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quiet()  # it runs before the fixture of the test
    path = tmp_path_factory.mktemp("template") / "bifrost.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql_directory: Path) -> str:
    quiet()  # it runs before the fixture of the test
    return migrated(fresh_postgresql(postgresql_directory))


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    return fresh_sqlite(tmp_path / "bifrost.db", sqlite_template)


@pytest.fixture
def postgresql_url(postgresql_directory: Path, postgresql_template: str) -> str:
    return fresh_postgresql(postgresql_directory, postgresql_template)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Whatever uses it runs on both databases: with all tables already, since making them is most of what a test costs."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def running(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    """A gateway on SQLite with the default configuration and no upstream."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as started:
        yield started
