"""The archives, as a local server."""

import pytest
from archives import Archives


@pytest.fixture
def archives(monkeypatch):
    monkeypatch.delenv("NCBI_API_KEY", raising=False)
    archives = Archives()
    yield archives
    archives.close()
