import pytest

from tests.runs.worker import Tenant


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.make()
