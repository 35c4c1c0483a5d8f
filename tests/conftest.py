"""Every test has a home of its own: none reads the developer's environment or writes into the checkout."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes is the machine's business: no test fails because others were busy beside it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_SET_BY_TESTS = ("ONLINEEVAL_CATALOG", "OPENAI_API_KEY", "OPENAI_BASE_URL", "DAGSTER_HOME")

# Files of more than 15 s of CPU, the longest first: a worker takes a whole file, and a late long one is waited for.
_LONG = (
    "test_packaging.py",
    "defs/test_definitions.py",
    "test_cli_bad_input.py",
    "real/test_real_traffic.py",
    "keeping/test_erasure.py",
    "e2e/test_user_catalog.py",
    "newcomer/test_first_hour.py",
    "e2e/test_one_day.py",
    "e2e/test_kill_and_repeat.py",
    "signals/test_validity.py",
    "metrics/test_weeks.py",
    "sampling/test_pace.py",
    "defs/test_rejudging.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {Path(__file__).parent / name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def _home_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers share one home for what is parsed once, dbt's manifest; each test has its data elsewhere."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with pytest.MonkeyPatch.context() as environment:
        for name in _SET_BY_TESTS:
            environment.delenv(name, raising=False)
        environment.setenv("ONLINEEVAL_HOME", str(shared / "home"))
        environment.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")
        environment.setenv("DO_NOT_TRACK", "1")
        yield
