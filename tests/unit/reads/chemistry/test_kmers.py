"""Reads are matched to exons word by word, on either strand."""

import numpy as np
import pytest
from libraries import HUMAN, MOUSE

from velocorpus.errors import UserMistake
from velocorpus.reads.chemistry.kmers import K, kept, read_index, sampled_kmers, write_index
from velocorpus.reads.chemistry.sampling import NO_BASE
from velocorpus.reference.kmers import build_index
from velocorpus.simulate.libraries import substitute

READS = np.stack([transcript[900 : 900 + 91] for transcript in HUMAN.transcripts])


ARRAY = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }".ljust(127) + b"\n"


def turned(codes):
    return (3 - codes[:, ::-1]).astype(np.uint8)


def test_reads_in_sense_and_antisense_are_told_apart():
    index = HUMAN.index()
    assert (index.strands(READS)[:, 0] > 0).mean() > 0.95
    assert not index.strands(READS)[:, 1].any()
    assert (index.strands(turned(READS)) == index.strands(READS)[:, ::-1]).all()


def test_reads_of_nowhere_match_nothing():
    assert not HUMAN.index().strands(np.random.default_rng(0).integers(0, 4, (500, 91)).astype(np.uint8)).any()


def test_reads_of_another_species_match_far_less():
    coding = substitute(np.stack([t[:91] for t in HUMAN.transcripts]), 0.0, np.random.default_rng(0))
    own, other = (index.strands(coding)[:, 0] > 0 for index in (HUMAN.index(), MOUSE.index()))
    assert other.mean() < 0.5 * own.mean()


def test_one_word_in_eight_is_kept():
    codes = np.random.default_rng(0).integers(0, 4, 200_000).astype(np.uint8)
    assert len(sampled_kmers(codes, np.uint64(8))) == pytest.approx(200_000 / 8, rel=0.05)


def test_words_with_an_unknown_base_or_a_tract_are_left_out():
    codes = np.random.default_rng(0).integers(0, 4, K).astype(np.uint8)
    assert len(sampled_kmers(codes, np.uint64(1))) == 1
    unknown, tract = codes.copy(), codes.copy()
    unknown[10], tract[8:20] = NO_BASE, 3
    assert not len(sampled_kmers(unknown, np.uint64(1)))
    assert not len(sampled_kmers(tract, np.uint64(1)))


def test_a_word_after_a_tract_counts_again():
    codes = np.random.default_rng(1).integers(0, 4, 100).astype(np.uint8)
    codes[7:21] = [0, *[3] * 12, 0]
    # From the first word that holds no more than 11 bases of the tract, which ends at base 19.
    assert len(sampled_kmers(codes, np.uint64(1))) == 100 - K + 1 - 9


def test_every_word_is_kept_where_one_in_one_is():
    assert all(kept(np.uint64(word), np.uint64(1)) for word in (0, 1, 4**K - 1))


def test_an_index_is_read_as_it_was_written_and_equal_ones_are_equal_bytes(tmp_path):
    for name in "ab":
        write_index(tmp_path / f"{name}.npz", HUMAN.index())
    again = read_index(tmp_path / "a.npz")
    assert (again.organism, again.every, again.kmers.tolist()) == ("human", 8, HUMAN.index().kmers.tolist())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY", b"PK\x03\x04", ARRAY])
def test_another_file_is_no_index(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserMistake, match="is not a k-mer index"):
        read_index(tmp_path / "x.npz")


def reference(folder, strand):
    """One gene of two exons that overlap, on bases 11 to 110 of its chromosome."""
    text = "".join("ACGT"[base] for base in np.random.default_rng(0).integers(0, 4, 200))
    (folder / "g.fa").write_text(f">1 x\n{text[:120]}\n{text[120:]}\n")
    exon = "1\tx\texon\t{}\t{}\t.\t" + strand + '\t.\tgene_id "G";\n'
    (folder / "g.gtf").write_text(exon.format(11, 70) + exon.format(51, 110))
    return text[10:110]


@pytest.mark.parametrize("strand", "+-")
def test_exons_are_indexed_once_in_sense_of_their_gene(tmp_path, strand):
    exon = np.array(["ACGT".index(base) for base in reference(tmp_path, strand)], np.uint8)
    index = build_index(tmp_path / "g.fa", tmp_path / "g.gtf", name="r", organism="human", every=1)
    assert len(index.kmers) == len(exon) - K + 1
    sense, antisense = index.strands(exon[None, :91])[0]
    assert (sense, antisense) == ((61, 0) if strand == "+" else (0, 61))


def test_a_genome_without_the_genes_chromosomes_is_refused(tmp_path):
    reference(tmp_path, "+")
    (tmp_path / "g.fa").write_text(">2\nACGT\n")
    with pytest.raises(UserMistake, match="No exon"):
        build_index(tmp_path / "g.fa", tmp_path / "g.gtf", name="r", organism="human")
