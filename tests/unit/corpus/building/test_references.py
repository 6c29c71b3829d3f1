"""10x's references 2020-A and 2024-A meet in one corpus by stable id; by symbol a third of the genes would be lost."""

import os
from pathlib import Path

import pytest
from corpus_makers import assert_holds, imported, make_corpus

from velocorpus.corpus import Corpus
from velocorpus.corpus.changing.samples import add
from velocorpus.corpus.info import corpus_table
from velocorpus.counting.counts_file import read_counts
from velocorpus.counting.importing.gene_tables import map_genes, read_gene_table

HUMAN = {name: {"organism": "human"} for name in ("old", "new", "named")}


@pytest.fixture(scope="module")
def lists():
    data = os.environ.get("VELOCORPUS_TEST_DATA")
    if not data:
        pytest.skip("VELOCORPUS_TEST_DATA is not set")
    paths = [Path(data) / f"genes/GRCh38-{name}.tsv.gz" for name in ("2020-A_features_36601", "2024-A_features_38606")]
    return paths[1], *(read_gene_table(path).symbol_of for path in paths)


def test_most_ids_are_in_both_lists_and_a_third_of_the_symbols_is_not(lists):
    path, old, new = lists
    assert [len(found) for found in (old.keys() & new, new.keys() - old, old.keys() - new)] == [36_300, 2_306, 301]
    by_symbol = map_genes(list(old.values()), None, None, read_gene_table(path))
    assert [len(found) for found in by_symbol.dropped.values()] == [13_182, 17, 14]
    ids = list(old)
    assert sum(ids[i] != gene for i, gene in zip(by_symbol.kept, by_symbol.genes.index, strict=True)) == 25


def test_samples_of_both_references_share_tokens_and_each_says_what_it_lost(tmp_path, lists):
    path, *both = lists
    every = sorted(both[0].keys() | both[1])[::60]
    old, new = ({gene: symbols[gene] for gene in every if gene in symbols} for symbols in both)
    assert old.keys() - new
    assert new.keys() - old
    first = imported(tmp_path, "old", [f"{gene}.3" for gene in old], list(old.values()))
    corpus = Corpus(make_corpus(tmp_path / "c", [first], samples=HUMAN))
    tokens = corpus.genes.tokens(old)
    later = [
        imported(tmp_path, "new", [f"{gene}.9" for gene in new], list(new.values())),
        imported(tmp_path, "named", list(old.values()), list(old.values()), path),
    ]
    corpus = Corpus(add(corpus.path, later, samples=HUMAN, group_samples=1))
    named = read_counts(later[1])
    assert {*corpus.genes.gene_ids} == {*old, *new, *named.var_names}
    assert (corpus.genes.tokens(old) == tokens).all()
    for one in (first, *later):
        assert_holds(corpus, one)
    lost = named.uns["velocorpus"]["source"]["genes_unmapped"]["n"]
    assert lost == sum(symbol not in both[1].values() for symbol in old.values()) > 0
    assert "(named: " in corpus_table(corpus).note
