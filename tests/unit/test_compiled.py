"""Compiled functions are never older than what they were compiled from."""

import pytest

from velocorpus import compiled
from velocorpus.counting import molecules, rules


@pytest.fixture
def digest(monkeypatch):
    """The digest under which a module's functions are cached, when the sources of some modules are others."""

    def run(module, **changed):
        source = compiled._source
        monkeypatch.setattr(compiled, "_source", lambda name: changed.get(name.rpartition(".")[2], source(name)))
        found = compiled.source_digest.__wrapped__(module.__name__)
        monkeypatch.setattr(compiled, "_source", source)
        return found

    return run


def test_a_constant_in_another_module_changes_the_digest(digest):
    assert digest(molecules) != digest(molecules, rules=b"SINGLE_MATCH = 0")


def test_a_function_two_imports_away_changes_the_digest(digest):
    assert digest(molecules) != digest(molecules, gtf=b"")


def test_what_is_not_imported_changes_nothing(digest):
    assert digest(rules) == digest(rules, bgzf=b"") == digest(rules)


def test_functions_compile_without_a_cache_where_nothing_can_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way of the folder")
    monkeypatch.setenv("VELOCORPUS_CACHE", str(tmp_path / "file"))

    def twice(x):
        return 2 * x

    twice.__module__ = rules.__name__
    assert compiled.compiled(twice)(4) == 8
    assert "cannot be written" in capsys.readouterr().err
