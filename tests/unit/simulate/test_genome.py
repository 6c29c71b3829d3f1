"""The simulated genome has the difficulties it names, and equal seeds make equal genomes."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from velocorpus.errors import UserMistake
from velocorpus.simulate import gene_models as gm
from velocorpus.simulate.genes import choose
from velocorpus.simulate.genome import Genome, make_genome, sense
from velocorpus.simulate.samples import make_reference, write_reference
from velocorpus.simulate.templates import make_templates
from velocorpus.simulate.whitelist import make_whitelist


@pytest.fixture(scope="module")
def genome() -> Genome:
    return make_genome(choose(120), rng=np.random.default_rng(3))


def test_every_difficulty_but_the_mitochondrial_is_there(genome: Genome) -> None:
    assert set(genome.genes["difficulty"]) == set(gm.DIFFICULTIES) - {gm.MITOCHONDRIAL}


def test_every_chromosome_begins_and_ends_with_a_gene(genome: Genome) -> None:
    for name, genes in genome.genes.groupby("chromosome"):
        assert genes["start"].min() == 0
        assert genes["end"].max() == len(genome.chromosomes[str(name)])


def test_introns_begin_and_end_as_splice_sites_do(genome: Genome) -> None:
    good = total = 0
    for t, g in enumerate(genome.tx_gene):
        gene = genome.genes.iloc[g]
        for e in range(genome.exon_ptr[t], genome.exon_ptr[t + 1] - 1):
            place = (int(genome.exon_end[e]), int(genome.exon_start[e + 1]), int(gene["strand"]))
            intron = sense(genome.chromosomes[gene["chromosome"]], *place).tobytes()
            good += intron[:2] == b"GT" and intron[-2:] == b"AG"
            total += 1
    assert good > 0.99 * total  # where genes overlap, one may write over the other's


def test_overlapping_pairs_overlap_on_the_strand_that_they_name(genome: Genome) -> None:
    for gene in genome.genes[genome.genes["difficulty"].isin([gm.SAME_STRAND, gm.ANTISENSE])].itertuples():
        other = genome.genes.iloc[gene.partner]
        assert max(gene.start, other["start"]) < min(gene.end, other["end"])
        assert (gene.strand == other["strand"]) == (gene.difficulty == gm.SAME_STRAND)


def test_a_paralog_differs_by_two_to_five_bases_in_a_hundred(genome: Genome) -> None:
    for gene in genome.genes[genome.genes["difficulty"] == gm.PARALOG].itertuples():
        other = genome.genes.iloc[gene.partner]
        a = sense(genome.chromosomes[gene.chromosome], gene.start, gene.end, gene.strand)
        b = sense(genome.chromosomes[other["chromosome"]], other["start"], other["end"], other["strand"])
        assert 0.01 < (a != b).mean() < 0.06


def test_transcripts_lie_within_their_gene_and_the_first_spans_it(genome: Genome) -> None:
    first, last = genome.exon_start[genome.exon_ptr[:-1]], genome.exon_end[genome.exon_ptr[1:] - 1]
    start, end = (genome.genes[c].to_numpy()[genome.tx_gene] for c in ("start", "end"))
    assert ((first >= start) & (last <= end)).all()
    main = genome.tx_ptr()[:-1]
    assert (first[main] == start[main]).all()
    assert (last[main] == end[main]).all()
    lengths = make_templates(genome).length()[: len(genome.tx_gene)]
    assert lengths.min() >= 91


def test_genes_of_mitochondria_get_a_chromosome_of_one_exon_genes() -> None:
    genes = choose(4).assign(symbol=["A", "MT-ND1", "B", "MT-CO1"])
    genome = make_genome(genes, rng=np.random.default_rng(0))
    assert list(genome.genes["chromosome"]) == ["1", "MT", "1", "MT"]
    assert list(genome.genes["difficulty"])[1::2] == [gm.MITOCHONDRIAL] * 2


def test_a_gene_twice_is_refused() -> None:
    genes = choose(2)
    with pytest.raises(UserMistake, match="no id twice"):
        make_genome(genes.iloc[[0, 0]], rng=np.random.default_rng(0))


def test_the_same_seed_gives_the_same_reference_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_reference(tmp_path / name, make_reference(choose(30), rng=np.random.default_rng(5), n_barcodes=50))
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert files == ["gene_table.tsv", "genes.gtf.gz", "genome.fa.gz", "whitelist.txt"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_gtf_and_fasta_hold_the_genome(tmp_path: Path) -> None:
    reference = make_reference(choose(30), rng=np.random.default_rng(5), n_barcodes=50)
    write_reference(tmp_path, reference)
    fasta = gzip.decompress((tmp_path / "genome.fa.gz").read_bytes()).decode().split(">")[1:]
    for record, (name, sequence) in zip(fasta, reference.genome.chromosomes.items(), strict=True):
        head, *lines = record.splitlines()
        assert head.split()[0] == name
        assert "".join(lines).encode() == sequence.tobytes()
    rows = [
        line.split("\t") for line in gzip.decompress((tmp_path / "genes.gtf.gz").read_bytes()).decode().splitlines()
    ]
    kinds = [row[2] for row in rows if len(row) == 9]
    assert kinds.count("gene") == 30
    assert kinds.count("transcript") == len(reference.genome.tx_id)
    assert kinds.count("exon") == len(reference.genome.exon_start)


def test_barcodes_of_the_whitelist_differ_in_two_bases() -> None:
    barcodes = make_whitelist(3000, np.random.default_rng(0))
    for position in range(16):
        assert len({b[:position] + b[position + 1 :] for b in barcodes}) == 3000
