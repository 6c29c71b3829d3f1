"""The deep sample: records that agree with the genome, roughness of every kind, the same bytes again."""

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pysam
import pytest
from typer.testing import CliRunner

from velocorpus.cli.simulate import app
from velocorpus.errors import UserMistake
from velocorpus.reference.gtf import read_gtf
from velocorpus.simulate.bam import BAM
from velocorpus.simulate.deep import DeepSample, write_deep_sample
from velocorpus.simulate.repeat import repeat_bam

SMALL = DeepSample(n_reads=6000, n_genes=90, n_cells=30, n_droplets=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("deep") / "sample"
    write_deep_sample(SMALL, folder, lambda line: None)
    return folder


def records(bam: Path) -> list[pysam.AlignedSegment]:
    with pysam.AlignmentFile(str(bam), "rb") as reads:
        return list(reads.fetch(until_eof=True))


def test_reads_are_as_many_as_asked_for_and_sorted(folder):
    made = records(folder / BAM)
    primary = [r for r in made if not r.is_secondary]
    assert abs(len(primary) - SMALL.n_reads) < 0.03 * SMALL.n_reads
    places = [(r.reference_id % 2**32, r.reference_start) for r in made]
    assert places == sorted(places)
    assert len({r.query_name for r in primary}) == len(primary)


def test_aligned_bases_are_the_genomes_but_for_errors(folder):
    pysam.faidx(str(folder / "genome.fa"))
    wrong = aligned = 0
    with pysam.FastaFile(str(folder / "genome.fa")) as genome:
        for read in records(folder / BAM):
            if read.is_unmapped:
                continue
            assert read.infer_query_length() == 91 == len(read.query_sequence)
            bases = genome.fetch(read.reference_name)
            pairs = read.get_aligned_pairs(matches_only=True)
            wrong += sum(read.query_sequence[q] != bases[r] for q, r in pairs)
            aligned += len(pairs)
    assert 0.001 < wrong / aligned < 0.006


def test_every_kind_of_difficulty_is_there(folder):
    seen: Counter[str] = Counter()
    cells = set((folder / "barcodes.tsv").read_text().split())
    for read in records(folder / BAM):
        seen.update({operation for operation, _ in read.cigartuples or ()})
        seen["listed" if read.has_tag("CB") and read.get_tag("CB") in cells else "unlisted"] += 1
        seen["no cell"] += not read.has_tag("CB")
        seen["no umi"] += read.has_tag("CB") and not read.has_tag("UB")
        seen["unmapped"] += read.is_unmapped
        seen["secondary"] += read.is_secondary
        seen["several places"] += read.has_tag("NH") and read.get_tag("NH") > 1
        seen["other umi"] += read.has_tag("UB") and read.get_tag("UB") != read.get_tag("UR")
        seen["other barcode"] += read.has_tag("CB") and read.get_tag("CB")[:-2] != read.get_tag("CR")
    kinds = (0, 1, 2, 3, 4, "listed", "unlisted", "no cell", "no umi", "unmapped", "secondary", "several places")
    assert all(seen[kind] > 5 for kind in (*kinds, "other umi", "other barcode")), seen


def test_a_molecule_has_several_reads_and_its_gene_is_in_the_annotation(folder):
    molecules = Counter((r.get_tag("CB"), r.get_tag("UB")) for r in records(folder / BAM) if r.has_tag("UB"))
    assert 3 < np.mean(list(molecules.values())) < 5
    models = read_gtf(folder / "genes.gtf.gz")
    assert len(models.gene_ids) == SMALL.n_genes
    assert len(models.transcript_ids) > 3 * SMALL.n_genes
    named = {r.get_tag("GX") for r in records(folder / BAM) if r.has_tag("GX")}
    assert len(named) > 30
    assert named <= set(models.gene_ids)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(folder, tmp_path):
    for seed, same in ((1, True), (2, False)):
        again = tmp_path / str(seed)
        write_deep_sample(DeepSample(**{**SMALL.__dict__, "seed": seed}), again, lambda line: None)
        for name in (BAM, "genes.gtf.gz", "genome.fa", "barcodes.tsv", "whitelist.txt"):
            assert ((again / name).read_bytes() == (folder / name).read_bytes()) is same


def test_a_bam_repeated_has_its_records_so_many_times(folder, tmp_path):
    repeat_bam(folder / BAM, tmp_path / "thrice.bam", 3)
    once, thrice = (gzip.decompress(path.read_bytes()) for path in (folder / BAM, tmp_path / "thrice.bam"))
    records_once = [r.to_string() for r in records(folder / BAM)]
    assert [r.to_string() for r in records(tmp_path / "thrice.bam")] == 3 * records_once
    assert len(thrice) < 3 * len(once)  # one header


def test_a_bam_whose_header_shares_a_block_with_records_is_not_repeated(folder, tmp_path):
    with pysam.BGZFile(str(tmp_path / "joined.bam"), "wb", None) as out:
        out.write(gzip.decompress((folder / BAM).read_bytes()))
    with pytest.raises(UserMistake, match="share a block"):
        repeat_bam(tmp_path / "joined.bam", tmp_path / "twice.bam", 2)


def test_the_command_takes_a_number_of_reads_for_this_preset_only(tmp_path):
    def run(*arguments: str) -> None:
        CliRunner().invoke(app, ["--out", str(tmp_path / "o"), *arguments], catch_exceptions=False)

    with pytest.raises(UserMistake, match="--reads is for count_bench"):
        run("--preset", "tiny", "--reads", "5000")
    with pytest.raises(UserMistake, match="made whole"):
        run("--preset", "count_bench", "--only", "reference")
    assert not (tmp_path / "o").exists()
