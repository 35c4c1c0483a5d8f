"""Every test has a home of its own: none reads the developer's environment or writes into the checkout."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long an example takes is the machine's business: no test fails because others were busy beside it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_SET_BY_TESTS = ("ONLINEEVAL_CATALOG", "OPENAI_API_KEY", "OPENAI_BASE_URL", "DAGSTER_HOME")


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
