"""Runs become rows of units by where their barcodes are; what is not plain says why."""

import re

import pytest
from archives import AT_ENA, ROWS, one, resolved


def test_lanes_of_one_experiment_are_units_of_one_sample_with_addresses_sizes_and_md5(archives):
    tables, _ = resolved(archives, "SRX9000001", references={"human": "grch38"})
    assert tables.samples == [
        {
            "sample": "SRX9000001",
            "study": "PRJNA900001",
            "organism": "human",
            "quantifier": "kb",
            "reference": "grch38",
            "chemistry": "",
            "title": "Illumina NovaSeq 6000 sequencing; GSM9000001: PBMC, donor 1; Homo sapiens; RNA-Seq",
            "tissue": "blood",
            "disease": "",
            "suspension_type": "",
            "experiment": "SRX9000001",
            "run": "SRR9000001;SRR9000002",
            "biosample": "SAMN90000001",
        }
    ]
    assert [unit["unit"] for unit in tables.units] == ["SRR9000001", "SRR9000002"]
    row = next(row for row in ROWS if row["run_accession"] == "SRR9000001")
    assert tables.units[0] == {
        "sample": "SRX9000001",
        "unit": "SRR9000001",
        "read1": f"https://{row['fastq_ftp'].split(';')[0]}",
        "read1_md5": row["fastq_md5"].split(";")[0],
        "read1_bytes": row["fastq_bytes"].split(";")[0],
        "read2": f"https://{row['fastq_ftp'].split(';')[1]}",
        "read2_md5": row["fastq_md5"].split(";")[1],
        "read2_bytes": row["fastq_bytes"].split(";")[1],
        "note": "",
    }


def test_ones_own_choice_of_source_follows_from_what_the_archives_lack(archives):
    tables, _ = resolved(archives, "PRJNA900001", "PRJEB90001")
    assert {row["run"]: (row["state"], row["source"]) for row in tables.runs} == {
        "SRR9000001": ("used", "ena_fastq"),
        "SRR9000002": ("used", "ena_fastq"),
        "SRR9000003": ("doubtful", "sra"),
        "SRR9000004": ("doubtful", "original_bam"),
        "SRR9000005": ("doubtful", "ena_fastq"),
        "SRR9000006": ("doubtful", "sra"),
        "SRR9000007": ("doubtful", "ena_fastq"),
        "SRR9000008": ("set aside", ""),
        "SRR9000009": ("set aside", ""),
        "SRR9000010": ("set aside", ""),
        "SRR9000011": ("set aside", ""),
        "SRR9000012": ("doubtful", "original_bam"),
        "SRR9000013": ("doubtful", "original_bam"),
        "SRR9000015": ("set aside", ""),
        "SRR9000016": ("doubtful", "original_fastq"),
        "SRR9000017": ("set aside", ""),
        "SRR9000018": ("set aside", ""),
        "ERR9000014": ("doubtful", "original_fastq"),
    }
    assert {row["organism"] for row in tables.samples} == {"human", "mouse"}


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("SRR9000003", "ENA's one FASTQ lacks a read; SRA has it with --include-technical"),
        ("SRR9000005", r"\(150 \+ 150 bases\); read 1 may begin with the barcode, or all reads are cDNA"),
        ("SRR9000006", r"ENA has 2 of 3 reads \(8 \+ 26 \+ 98 bases\), which ones it does not say"),
        ("SRR9000007", r"barcodes are in ENA's read 1 and cDNA in read 3"),
        ("SRR9000008", "'ADT': not a library of gene expression"),
        ("SRR9000009", "'Smart-seq2': not 10x"),
        ("SRR9000010", "its organism is Danio rerio; velocorpus knows human and mouse"),
        ("SRR9000011", r"a_R1.fastq.gz, a_R2.fastq.gz are kept offline \(Use Cloud Data Delivery\)"),
        ("SRR9000012", "no archive FASTQ is listed; the submitter's BAM has the barcodes in its tags"),
        ("SRR9000015", "its access is controlled or it is not public yet"),
        ("SRR9000017", "'Chromium Flex': probes, which see no introns"),
        ("SRR9000018", r"only the cDNA was deposited \(SRA's reads have 98 bases\)"),
    ],
)
def test_every_run_that_is_not_plain_says_why_and_what_to_do(archives, run, said):
    # The whole library: its other run counts too.
    number = next(row["experiment_accession"] for row in ROWS if row["run_accession"] == run) if run in AT_ENA else run
    tables, _ = resolved(archives, number)
    assert re.search(said, one(tables.runs, run=run)["reason"])


def test_a_run_whose_barcodes_ena_left_out_comes_from_sra_whole(archives):
    tables, _ = resolved(archives, "SRR9000003")
    assert one(tables.units, unit="SRR9000003") == {
        "sample": "SRX9000002",
        "unit": "SRR9000003",
        "read1": "sra:SRR9000003",
        "read2": "sra:SRR9000003",
        "read1_bytes": "1048",
        "note": "ENA's one FASTQ lacks a read; SRA has it with --include-technical",
    }


def test_a_bam_with_the_barcodes_in_its_tags_is_turned_to_fastq(archives):
    tables, _ = resolved(archives, "GSM9000003", quantifier="starsolo")
    assert tables.samples[0]["quantifier"] == "starsolo"
    assert tables.samples[0]["suspension_type"] == "nucleus"
    (unit,) = tables.units
    assert unit["read1"] == unit["read2"] == "https://ftp.sra.ebi.ac.uk/vol1/run/SRR9000004/heart.bam.1"
    assert (len(unit["read1_md5"]), unit["read2_md5"], unit["read2_bytes"]) == (32, "", "")


def test_a_bam_is_counted_as_it_is_when_asked(archives):
    tables, _ = resolved(archives, "GSM9000003", bams="count")
    assert tables.samples[0]["quantifier"] == "bam"
    (unit,) = tables.units
    assert unit["path"] == "https://ftp.sra.ebi.ac.uk/vol1/run/SRR9000004/heart.bam.1"
    assert "read1" not in unit


def test_several_bams_of_one_library_are_turned_to_fastq_in_any_case(archives):
    tables, _ = resolved(archives, "SRX9000011", bams="count")
    assert tables.samples[0]["quantifier"] == "kb"
    assert [unit["unit"] for unit in tables.units] == ["SRR9000012", "SRR9000013"]
    assert all(unit["read1"] == unit["read2"] for unit in tables.units)


def test_a_submitters_lanes_are_paired_by_name_and_index_reads_left_out(archives):
    tables, _ = resolved(archives, "ERR9000014")
    assert [
        (unit["unit"], *(unit[read].rsplit("/", 1)[1] for read in ("read1", "read2"))) for unit in tables.units
    ] == [
        ("ERR9000014_1", "d9_S1_L001_R1_001.fastq.gz", "d9_S1_L001_R2_001.fastq.gz"),
        ("ERR9000014_2", "d9_S1_L002_R1_001.fastq.gz", "d9_S1_L002_R2_001.fastq.gz"),
    ]


def test_a_run_that_ena_has_not_yet_comes_from_ncbis_bucket(archives):
    tables, _ = resolved(archives, "SRR9000016")
    assert tables.units[0]["read2"] == "https://sra-pub-src-1.s3.amazonaws.com/SRR9000016/b_R2.fastq.gz.1"


def test_one_lane_asked_for_of_two_is_noted(archives):
    tables, _ = resolved(archives, "SRR9000001")
    assert tables.units[0]["note"] == "the library's run SRR9000002 was not asked for"
