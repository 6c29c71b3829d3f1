"""Reads come from where they say, in every class; FASTQ and BAM tell the same story twice the same."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pysam
import pytest
from scipy import sparse

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.simulate.bam import BAM
from velocorpus.simulate.genes import choose
from velocorpus.simulate.genome import COMPLEMENT
from velocorpus.simulate.labels import SPLICED, UNSPLICED
from velocorpus.simulate.priming import ReadParameters
from velocorpus.simulate.reads import ReadSet, draw_reads
from velocorpus.simulate.samples import ReadTruth, Reference, make_reference, write_bam_sample, write_fastq_sample

N_CELLS = 12
EXACT = ReadParameters(base_error=0, barcode_error=0, umi_error=0, ambient=0, empty_droplets=5)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return make_reference(choose(60), rng=np.random.default_rng(1), n_barcodes=1000)


@pytest.fixture(scope="module")
def layers() -> dict[str, sparse.csr_matrix]:
    rng = np.random.default_rng(2)
    means = {names.SPLICED: 3.0, names.UNSPLICED: 1.0, names.AMBIGUOUS: 0.3}
    return {layer: sparse.csr_matrix(rng.poisson(mean, (N_CELLS, 60))) for layer, mean in means.items()}


@pytest.fixture(scope="module")
def reads(reference: Reference, layers: dict[str, sparse.csr_matrix]) -> ReadSet:
    rng = np.random.default_rng(3)
    barcodes = reference.draw_barcodes(N_CELLS, rng)
    return draw_reads(
        reference.genome, layers, barcodes=barcodes, whitelist=reference.whitelist, parameters=EXACT, rng=rng
    )


@pytest.fixture(scope="module")
def bam(
    reference: Reference, layers: dict[str, sparse.csr_matrix], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ReadTruth]:
    folder = tmp_path_factory.mktemp("bam")
    return folder / BAM, write_bam_sample(folder, reference, layers, rng=np.random.default_rng(4), parameters=EXACT)


def records(path: Path) -> Iterator[pysam.AlignedSegment]:
    with pysam.AlignmentFile(str(path)) as file:
        yield from file.fetch(until_eof=True)


def test_without_errors_each_read_is_the_genome_at_its_blocks(reference: Reference, reads: ReadSet) -> None:
    chromosomes = list(reference.genome.chromosomes.values())
    for i in np.flatnonzero(reads.template >= 0)[:3000]:
        template = reads.template[i]
        sequence = chromosomes[reads.templates.chromosome[template]]
        part = range(reads.blocks.ptr[i], reads.blocks.ptr[i + 1])
        aligned = np.concatenate([sequence[reads.blocks.start[b] : reads.blocks.end[b]] for b in part])
        if reads.templates.strand[template] < 0:
            aligned = COMPLEMENT[aligned[::-1]]
        assert aligned.tobytes() == reads.r2[i].tobytes()


def test_there_are_junction_intronic_exonic_and_noise_reads(reads: ReadSet) -> None:
    nascent = reads.template >= reads.templates.n_transcripts
    assert (np.diff(reads.blocks.ptr) > 1).sum() > 50
    assert nascent.sum() > 300
    assert (reads.template < 0).sum() > 5
    assert (reads.barcode < 0).sum() > 2
    assert reads.unique.mean() > 0.95


def test_every_molecule_of_the_counts_has_a_read_and_one_class(
    reads: ReadSet, layers: dict[str, sparse.csr_matrix]
) -> None:
    total = sum(reads.layers().values())
    assert (total != sum(layers.values())).nnz == 0
    assert set(reads.molecule[reads.molecule >= 0]) == set(range(len(reads.cell)))


def test_most_molecules_keep_the_class_that_they_were_drawn_in(
    reads: ReadSet, layers: dict[str, sparse.csr_matrix]
) -> None:
    n_spliced, n_unspliced = (int(layers[x].sum()) for x in (names.SPLICED, names.UNSPLICED))
    assert (reads.label[:n_spliced] == SPLICED).mean() > 0.9
    assert (reads.label[n_spliced : n_spliced + n_unspliced] == UNSPLICED).mean() > 0.75


def test_no_barcode_has_a_umi_twice(reads: ReadSet) -> None:
    rows = np.flatnonzero(reads.molecule >= 0)
    seen = {(int(reads.cell[reads.molecule[i]]), reads.umi[i].tobytes()): int(reads.molecule[i]) for i in rows}
    assert len(seen) == len(reads.cell)


def test_errors_come_at_their_rates(reference: Reference, layers: dict[str, sparse.csr_matrix]) -> None:
    rng = np.random.default_rng(5)
    parameters = ReadParameters(empty_droplets=5, base_error=0.01, barcode_error=0.1, umi_error=0.1)
    drawn = draw_reads(
        reference.genome,
        layers,
        barcodes=reference.draw_barcodes(N_CELLS, rng),
        whitelist=reference.whitelist,
        parameters=parameters,
        rng=rng,
    )
    mapped = np.flatnonzero(drawn.template >= 0)
    true = drawn.templates.sequences(drawn.template[mapped], drawn.start[mapped], 91)
    assert (true != drawn.r2[mapped]).mean() == pytest.approx(0.01, rel=0.1)
    assert (drawn.r1[:, 16:] != drawn.umi).any(axis=1).mean() == pytest.approx(0.1, rel=0.2)


def test_a_cell_barcode_off_the_whitelist_is_refused(
    reference: Reference, layers: dict[str, sparse.csr_matrix]
) -> None:
    with pytest.raises(UserMistake, match="not on the whitelist"):
        draw_reads(
            reference.genome,
            layers,
            barcodes=["A" * 16] * N_CELLS,
            whitelist=reference.whitelist,
            parameters=EXACT,
            rng=np.random.default_rng(0),
        )


def test_the_same_seed_gives_the_same_fastq_and_bam_bytes(
    reference: Reference, layers: dict[str, sparse.csr_matrix], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        write_fastq_sample(tmp_path / name, reference, layers, sample="s", rng=np.random.default_rng(6))
        write_bam_sample(tmp_path / name, reference, layers, rng=np.random.default_rng(6))
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert len(files) == 7
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_fastq_records_have_the_lengths_of_10x_v3_in_both_lanes(
    reference: Reference, layers: dict[str, sparse.csr_matrix], tmp_path: Path
) -> None:
    truth = write_fastq_sample(tmp_path, reference, layers, sample="s", rng=np.random.default_rng(6))
    n_reads = 0
    for lane in (1, 2):
        r1, r2 = (
            gzip.decompress((tmp_path / f"s_S1_L00{lane}_R{r}_001.fastq.gz").read_bytes()).split(b"\n") for r in (1, 2)
        )
        assert {len(x) for x in r1[1::4]} == {len(x) for x in r1[3::4]} == {28}
        assert {len(x) for x in r2[1::4]} == {len(x) for x in r2[3::4]} == {91}
        assert [x.split()[0] for x in r1[:-1:4]] == [x.split()[0] for x in r2[:-1:4]]
        n_reads += len(r1) // 4
    assert n_reads == truth.summary["reads"]
    assert (tmp_path / "barcodes.tsv").read_text().split() == [f"{b}-1" for b in truth.barcodes]


def test_the_bam_is_sorted_and_its_sequences_are_the_genomes(bam: tuple[Path, ReadTruth], reference: Reference) -> None:
    last = (0, 0)
    for record in records(bam[0]):
        if record.is_unmapped:
            last = (99, 0)
            continue
        assert (record.reference_id, record.reference_start) >= last
        last = (record.reference_id, record.reference_start)
        chromosome = reference.genome.chromosomes[str(record.reference_name)]
        aligned = b"".join(chromosome[s:e].tobytes() for s, e in record.get_blocks())
        assert aligned.decode() == record.query_sequence
        assert record.infer_query_length() == 91
    assert last == (99, 0)
    assert bam[0].with_name(BAM + ".bai").exists()


def test_only_listed_barcodes_get_cb_and_the_tags_are_cell_rangers(
    bam: tuple[Path, ReadTruth], reference: Reference
) -> None:
    listed = {b + "-1" for b in reference.whitelist}
    seen = 0
    for record in records(bam[0]):
        tags = dict(record.get_tags())
        assert {"CR", "CY", "UR", "UY", "xf"} <= set(tags)
        assert ("CB" in tags) == ("UB" in tags)
        assert tags.get("CB", "AAAA") in listed or "CB" not in tags
        if not record.is_unmapped:
            assert {"NH", "HI", "RE"} <= set(tags)
            assert (tags["NH"] == 1) == (record.mapping_quality == 255)
        seen += tags["xf"] == 25
    assert seen > 0.98 * bam[1].summary["molecules"]


def test_a_read_that_fits_a_paralog_has_a_second_place_and_no_gene(bam: tuple[Path, ReadTruth]) -> None:
    shared = [r for r in records(bam[0]) if not r.is_unmapped and r.get_tag("NH") == 2]
    assert len(shared) == 2 * bam[1].summary["multimapped_reads"] > 0
    assert sum(r.is_secondary for r in shared) == len(shared) // 2
    assert not any(r.has_tag("GX") for r in shared)
