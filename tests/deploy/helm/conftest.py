"""Without Helm the tests of the chart skip, and say why."""

import pytest

from tests.programs.helm import GENERATIONS, NoHelmError, helm


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    try:
        for generation in GENERATIONS:
            helm(generation)
    except NoHelmError as error:
        pytest.skip(str(error))
