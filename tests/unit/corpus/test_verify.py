import json
import shutil

import numpy as np
import pytest
from corpus_makers import MOUSE, make_corpus, make_counts
from typer.testing import CliRunner

from velocorpus.cli.corpus import app
from velocorpus.corpus import Corpus
from velocorpus.corpus.changing.samples import add
from velocorpus.corpus.verify import verify
from velocorpus.corpus.vocabulary import write_table
from velocorpus.errors import UserMistake
from velocorpus.files import sha256


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    corpus = make_corpus(folder / "c", [make_counts(folder, "a", n_cells=12)])
    add(corpus, [make_counts(folder, "m", n_cells=12, genes=MOUSE)], samples={}, group_samples=1)
    return corpus


@pytest.fixture
def corpus(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "c")


def rewrite_genes(corpus, change):
    """Change genes.feather and every digest of it: only its meaning is wrong then."""
    manifest = json.loads((corpus / "manifest.json").read_text())
    path = corpus / manifest["files"]["genes"]["path"]
    genes = Corpus(corpus).genes
    change(genes)
    write_table(genes.to_table(), path)
    shutil.copy(path, corpus / "genes.feather")
    manifest["files"]["genes"]["sha256"] = sha256(path)
    for name in ("manifest.json", f"manifests/{manifest['version']}.json"):
        (corpus / name).write_text(json.dumps(manifest))


def test_a_whole_corpus_has_no_faults(whole):
    assert verify(whole) == []


def test_any_flipped_byte_in_any_file_is_found(corpus):
    rng = np.random.default_rng(0)
    files = sorted(path for path in corpus.rglob("*") if path.is_file())
    assert len(files) == 17
    for path in files * 3:
        good = path.read_bytes()
        bad = bytearray(good)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        path.write_bytes(bad)
        assert verify(corpus), path
        path.write_bytes(good)


def test_a_missing_file_is_named(corpus):
    for path in sorted(path for path in corpus.rglob("*") if path.is_file()):
        path.rename(path.with_suffix(".gone"))
        assert any(path.name in fault for fault in verify(corpus)), path
        path.with_suffix(".gone").rename(path)


def test_a_foreign_shard_is_named(corpus):
    shutil.copy(corpus / "shards" / "g00000.train.feather", corpus / "shards" / "g00007.train.feather")
    assert ["g00007.train.feather is not in the manifest" in fault for fault in verify(corpus)] == [True]


def test_a_wrong_total_is_named(corpus):
    def change(genes):
        genes.totals["n_unspliced"] = genes.totals["n_unspliced"].copy()
        genes.totals["n_unspliced"][3] += 1

    rewrite_genes(corpus, change)
    assert any("n_unspliced of" in fault for fault in verify(corpus))


def test_a_wrong_kept_column_is_named(corpus):
    def change(genes):
        object.__setattr__(genes, "kept", ~genes.kept)

    rewrite_genes(corpus, change)
    assert any("'kept'" in fault for fault in verify(corpus))


def test_swapped_genes_are_found(corpus):
    def change(genes):
        genes.gene_ids[0], genes.gene_ids[1] = genes.gene_ids[1], genes.gene_ids[0]

    rewrite_genes(corpus, change)
    faults = verify(corpus)
    assert any("vocabulary" in fault for fault in faults)
    assert any("content digest" in fault for fault in faults)


def test_the_command_names_the_fault_and_fails(corpus):
    (corpus / "shards" / "g00000.train.feather").unlink()
    result = CliRunner().invoke(app, ["verify", str(corpus)])
    assert isinstance(result.exception, UserMistake)
    assert "g00000.train.feather is missing" in str(result.exception)
