"""A BAM of Cell Ranger gives back the reads that it was made from, each once, as they were sequenced."""

import gzip
import os
from pathlib import Path

import pysam
import pytest

from velocorpus.errors import UserMistake
from velocorpus.reads.fetch.bam_to_fastq import bam_to_fastq
from velocorpus.reads.fetch.pairs import fetch_pair

RAW = {"CR": "ACGTACGTACGTACGT", "CY": "FFFFFFFFFFFFFFFF", "UR": "TTTTGGGGCC", "UY": "::::::::::"}


def write_bam(path: Path, *records: dict) -> Path:
    """A BAM of reads ACCGT with good raw tags, changed as each of `records` says."""
    header = pysam.AlignmentHeader.from_dict({"HD": {"VN": "1.6"}, "SQ": [{"SN": "1", "LN": 1000}]})
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        for i, changes in enumerate(records):
            read = pysam.AlignedSegment(header)
            read.query_name, read.query_sequence = f"r{i}", changes.get("bases", "ACCGT")
            if read.query_sequence:
                read.query_qualities_str = changes.get("quality", "ABCDE")[: len(read.query_sequence)]
            read.flag = changes.get("flag", 0)
            if not read.is_unmapped:
                read.reference_id, read.reference_start, read.cigarstring = 0, 10, "5M"
            for tag, value in (RAW | changes.get("tags", {})).items():
                if value:
                    read.set_tag(tag, value)
            bam.write(read)
    return path


def reads(path: Path) -> list[list[str]]:
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    return [lines[i : i + 4] for i in range(0, len(lines), 4)]


def turned(tmp_path: Path, *records: dict):
    bam = write_bam(tmp_path / "a.bam", *records)
    kinds = bam_to_fastq(bam, tmp_path / "1.fastq.gz", tmp_path / "2.fastq.gz", source="a.bam")
    return kinds, reads(tmp_path / "1.fastq.gz"), reads(tmp_path / "2.fastq.gz")


def test_read_1_is_raw_barcode_and_umi_with_their_qualities(tmp_path):
    _, one, _ = turned(tmp_path, {})
    assert one == [["@r0", "ACGTACGTACGTACGTTTTTGGGGCC", "+", "FFFFFFFFFFFFFFFF::::::::::"]]


def test_how_many_reads_are_turned_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("velocorpus.reads.fetch.bam_to_fastq.PROGRESS_READS", 2)
    turned(tmp_path, *[{}] * 5)
    assert capsys.readouterr().err.splitlines() == ["a.bam: 2 reads", "a.bam: 4 reads"]


def test_a_read_on_the_other_strand_is_turned_back(tmp_path):
    _, _, two = turned(tmp_path, {}, {"flag": 16})
    assert [read[1::2] for read in two] == [["ACCGT", "ABCDE"], ["ACGGT", "EDCBA"]]


def test_a_read_without_place_is_a_read(tmp_path):
    kinds, one, _ = turned(tmp_path, {}, {"flag": 4})
    assert (len(one), kinds["read"], kinds["unmapped"]) == (2, 2, 1)


@pytest.mark.parametrize("flag", [256, 2048, 256 + 16])
def test_other_places_of_a_read_are_not_reads(tmp_path, flag):
    kinds, one, two = turned(tmp_path, {}, {"flag": flag})
    assert (len(one), len(two), kinds["secondary"]) == (1, 1, 1)


def test_a_read_without_raw_barcode_is_left_out_and_counted(tmp_path):
    kinds, one, two = turned(tmp_path, {}, {"tags": {"UY": ""}}, {})
    assert [read[0] for read in one] == [read[0] for read in two] == ["@r0", "@r2"]
    assert kinds["without raw barcode"] == 1


def test_a_bam_without_raw_barcodes_is_refused(tmp_path):
    with pytest.raises(UserMistake, match=r"a\.bam has no read with raw barcode.*count it as it is"):
        turned(tmp_path, {"tags": {"CR": ""}})


def test_a_bam_whose_records_are_no_records_is_refused(tmp_path):
    with pytest.raises(UserMistake, match=r"a\.bam cannot be read as BAM"):
        turned(tmp_path, {"bases": "ACGT", "quality": "FFFF"})
    (tmp_path / "no.bam").write_bytes(gzip.compress(b"no BAM"))
    with pytest.raises(UserMistake, match=r"no\.bam cannot be read as BAM"):
        bam_to_fastq(tmp_path / "no.bam", tmp_path / "1.fastq.gz", tmp_path / "2.fastq.gz", source="no.bam")


def test_a_bam_with_mates_is_refused(tmp_path):
    with pytest.raises(UserMistake, match="has mates"):
        turned(tmp_path, {"flag": 1 + 64})


def test_umis_of_several_lengths_are_refused(tmp_path):
    with pytest.raises(UserMistake, match="of several lengths"):
        turned(tmp_path, {}, {"tags": {"UR": "TTTT", "UY": "FFFF"}})


def test_a_bam_that_is_here_is_not_fetched_again_after_a_kill(site, tmp_path, monkeypatch):
    source = site.keep("a.bam", write_bam(tmp_path / "a.bam", *[{}] * 9).read_bytes())
    bases = {"flag": 4, "tags": RAW | {"UR": "T" * 12, "UY": ":" * 12}, "bases": "ACGT" * 10, "quality": "F" * 40}
    other = site.keep("b.bam", write_bam(tmp_path / "b.bam", *[bases] * 9).read_bytes())
    one, two = tmp_path / "1.fastq.gz", tmp_path / "2.fastq.gz"

    def killed(*_, **__):
        raise KeyboardInterrupt

    for address in (source, other):
        with monkeypatch.context() as kill:
            kill.setattr("velocorpus.reads.fetch.pairs.bam_to_fastq", killed)
            with pytest.raises(KeyboardInterrupt):
                fetch_pair(address, one, two, chemistry="10xv3")
    site.asked.clear()
    fetch_pair(other, one, two, chemistry="10xv3")
    assert (site.asked, len(reads(two)[0][1])) == ([], 40)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.fastq.gz", "2.fastq.gz", "a.bam", "b.bam"]


@pytest.mark.parametrize("name", ["cellranger_bam/neurons_SRR5259354.bam", "cellranger_bam/v3_alltags_chr17.bam"])
def test_real_bams_give_the_reads_that_samtools_gives(tmp_path, name):
    if "VELOCORPUS_TEST_DATA" not in os.environ:
        pytest.skip("VELOCORPUS_TEST_DATA is not set")
    bam = Path(os.environ["VELOCORPUS_TEST_DATA"], name)
    kinds = bam_to_fastq(bam, tmp_path / "1.fastq.gz", tmp_path / "2.fastq.gz", source=name)
    pysam.fastq("-F", "0x900", "-n", "-0", str(tmp_path / "samtools.fastq"), str(bam), catch_stdout=False)
    expected = (tmp_path / "samtools.fastq").read_text().splitlines()
    assert kinds["read"] > 5000
    assert [line for read in reads(tmp_path / "2.fastq.gz") for line in read] == expected
