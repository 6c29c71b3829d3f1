"""The compiled reader against its twin through htslib: the same reads, outcomes and CIGARs."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import pysam
import pytest
from bam_makers import barcodes_of
from tests.fuzz import material
from tests.fuzz.count import together

from velocorpus.counting.alignments.bam import read_header
from velocorpus.counting.alignments.bgzf import read_chunks
from velocorpus.counting.alignments.by_pysam import read_batches
from velocorpus.counting.alignments.reads import Selection, decode
from velocorpus.counting.barcodes import barcode_table

DATA = Path(os.environ.get("VELOCORPUS_TEST_DATA", "absent"))
REAL = sorted(path for kind in ("cellranger_bam", "optimus_bam") for path in (DATA / kind).glob("*.bam"))


def assert_twins(path, barcodes, **selected):
    selection = Selection(*barcode_table(barcodes), **selected)
    header = read_header(path)
    with ThreadPoolExecutor(1) as pool:
        chunks = read_chunks(path, header.first_record, pool, 1)
        ours = together(decode(path, chunk, len(header.chromosomes), selection) for chunk in chunks)
    theirs = together(read_batches(path, barcodes, selection))
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name], err_msg=name)
    return ours


def random_bam(path, rng, n_records=60):
    data = material.header() + b"".join(material.random_record(rng) for _ in range(n_records))
    path.write_bytes(b"".join(material.blocks(data, rng)) + material.EOF_BLOCK)
    return path


@pytest.mark.parametrize("seed", range(60))
def test_valid_records_of_every_dialect_are_read_alike(tmp_path, seed):
    rng = Random(seed)
    path = random_bam(tmp_path / "reads.bam", rng)
    cell_tag, umi_tag = rng.choice((("CB", "UB"), ("CB", "UB"), ("CR", "GX"), ("CB", "CB")))
    flags = {"skip_flagged": rng.random() < 0.3, "skip_odd_umis": rng.random() < 0.3}
    assert_twins(path, material.BARCODES, cell_tag=cell_tag, umi_tag=umi_tag, **flags)


def test_bam_that_htslib_wrote_is_read_alike_and_to_the_same_reads(tmp_path):
    path, again = random_bam(tmp_path / "reads.bam", Random(0), 3_000), tmp_path / "again.bam"
    with pysam.AlignmentFile(str(path)) as reads, pysam.AlignmentFile(str(again), "wb", template=reads) as out:
        for read in reads:
            out.write(read)
    one, other = assert_twins(path, material.BARCODES), assert_twins(again, material.BARCODES)
    assert one["position"].size > 300
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_cigar_of_more_operations_than_its_field_holds_is_read_alike(tmp_path):
    path = tmp_path / "reads.bam"
    with pysam.AlignmentFile(str(path), "wb", reference_names=["1"], reference_lengths=[10**8]) as bam:
        read = pysam.AlignedSegment(bam.header)
        read.query_name, read.reference_id, read.reference_start, read.mapping_quality = "r", 0, 5, 255
        read.cigartuples = [(0, 1), (2, 1)] * 40_000
        read.query_sequence = "A" * 40_000
        read.set_tags([("CB", "ACGT-1"), ("UB", "AAAA"), ("NH", 1)])
        bam.write(read)
    assert assert_twins(path, ["ACGT"])["n_operations"].tolist() == [80_000]


@pytest.mark.skipif(not DATA.exists(), reason="VELOCORPUS_TEST_DATA is not set: no real data")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_bam_is_read_alike_with_every_second_barcode_listed(path):
    assert assert_twins(path, barcodes_of(path)[::2])["position"].size
