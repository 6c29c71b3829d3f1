"""Run tables of every make are read; the real ones, with their edge cases, too."""

import gzip
import os
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from velocorpus.cli.resolve import app
from velocorpus.errors import UserMistake
from velocorpus.reads.resolve.rows import Settings, tabulate
from velocorpus.reads.resolve.tables import read_accessions, read_table
from velocorpus.table_rows import read_rows
from velocorpus.tables import Sample, Unit

REAL = Path(os.environ.get("VELOCORPUS_TEST_DATA", "absent")) / "run_tables"
real = pytest.mark.skipif(not REAL.is_dir(), reason="VELOCORPUS_TEST_DATA names no folder with run_tables")
MD5 = "0123456789abcdef0123456789abcdef"


def table(folder, text, name="t.tsv"):
    path = folder / name
    path.write_text(text)
    return path


def states(runs, **settings):
    rows = tabulate(runs, Settings(**settings)).runs
    return Counter((row["state"], row["source"]) for row in rows)


@real
def test_enas_report_of_one_run_has_its_files_sizes_md5_and_layout():
    (run,) = read_table(REAL / "SRR13191702.runinfo.tsv")
    assert (run.run, run.experiment, run.biosample, run.sra_sample) == (
        "SRR13191702",
        "SRX9626017",
        "SAMN16980141",
        "SRS7827211",
    )
    assert (run.study, run.sra_study, run.layout, run.strategy) == ("PRJNA682076", "SRP295653", "PAIRED", "AMPLICON")
    assert [(file.name, file.bytes, file.md5) for file in run.files] == [
        ("SRR13191702_1.fastq.gz", "15420", "89c5be920021a035084d8aeb74f32df7"),
        ("SRR13191702_2.fastq.gz", "16324", "56271be38a80db78ef3bdfc5d9909b98"),
    ]
    assert run.files[0].url.startswith("https://ftp.sra.ebi.ac.uk/vol1/fastq/SRR131/002/")
    assert tabulate([run], Settings()).runs[0]["reason"] == "its library strategy is AMPLICON, not RNA-Seq"


@real
def test_the_edge_cases_of_enas_reports_are_read_and_resolved():
    runs = read_table(REAL / "edge_cases.runinfo.tsv")
    assert [run.run for run in runs] == ["SRR1", "SRR2", "SRR3", "SRR4", "SRR5", "SRR6"]
    assert runs[5].sample_title == 'quoted "title" with tab and newline'
    tables = tabulate(runs, Settings(organism="human", study="s"))
    assert {row["run"]: row["source"] for row in tables.runs} == {
        "SRR1": "sra",
        "SRR2": "sra",
        "SRR3": "ena_fastq",
        "SRR4": "ena_fastq",
        "SRR5": "ena_fastq",
        "SRR6": "ena_fastq",
    }
    assert [(unit["sample"], unit["unit"]) for unit in tables.units][3:5] == [("SRX4", "SRR4"), ("SRX4", "SRR5")]
    assert tables.units[2]["read1"] == "https://ftp/SRR3_1.fastq.gz"
    assert tables.units[2]["read1_md5"] == ""
    assert "a, b, c: no MD5 of fastq files, left out" in tables.units[2]["note"]


@real
def test_a_list_of_54_runs_of_22_organisms_sets_each_aside_by_name():
    runs = read_table(REAL / "data__accessions_all-org.csv")
    assert len(runs) == 54
    assert len({run.organism for run in runs}) == 22
    assert all(run.run and run.experiment for run in runs)
    reasons = {row["reason"] for row in tabulate(runs, Settings(study="s")).runs}
    assert len(reasons) == 22
    assert "its organism is Danio rerio; velocorpus knows human and mouse" in reasons


@real
def test_the_problem_cases_are_libraries_of_one_or_several_runs():
    runs = read_table(REAL / "data__accessions_problems.csv")
    tables = tabulate(runs, Settings(study="s"))
    assert len(tables.units) == 8
    assert {row["sample"]: row["run"] for row in tables.samples}["SRX23875714"] == "SRR28265593;SRR28265594;SRR28265595"
    assert Counter(row["organism"] for row in tables.samples) == {"human": 3, "mouse": 2}


@real
def test_ncbis_table_of_a_study_tells_single_reads_by_their_mates():
    runs = read_table(REAL / "data__accessions_var.csv")
    assert Counter(run.layout for run in runs) == {"SINGLE": 4, "PAIRED": 6}
    assert {(run.study, run.sra_study) for run in runs} == {("PRJNA625518", "SRP256479")}
    assert runs[0].sra_sample == "SRS6484446"
    assert states(runs, organism="human") == {("doubtful", "sra"): 10}


@real
def test_243_runs_of_a_study_of_flies_are_read_with_all_their_files():
    runs = read_table(REAL / "example-data__PRJNA598342_tsv.txt")
    assert len(runs) == 243
    assert {run.organism for run in runs} == {"Drosophila melanogaster"}
    assert Counter(sum(file.made_by == "ena" for file in run.files) for run in runs) == {1: 237, 2: 6}
    assert all(any(file.made_by == "sra" for file in run.files) for run in runs)
    assert states(runs) == {("set aside", ""): 243}


@real
@pytest.mark.parametrize(
    ("name", "runs", "source"),
    [
        ("test_data__GSE117988__GSE117988.parsed.tsv", 6, "sra"),
        ("test_data__PRJNA511433__PRJNA511433.parsed.tsv", 128, "ena_fastq"),
    ],
)
def test_tables_without_a_header_are_read(name, runs, source):
    found = read_table(REAL / name)
    assert len(found) == runs
    assert states(found, study="s") == {("doubtful", source): runs}
    assert states(found) == {("set aside", ""): runs}


@real
def test_26777_experiments_without_runs_are_read_and_sent_to_the_archives():
    name = REAL / "scbasecount_srx_organism_disease.csv.gz"
    runs = read_table(name)
    assert len(runs) == 26777
    assert runs[0].experiment == "SRX23808188"
    assert runs[0].disease == "Stress urinary incontinence related to vaginal birth injury and aging"
    assert {row["reason"] for row in tabulate(runs, Settings()).runs} == {"no run is named: look it up (--list)"}
    assert sorted(read_accessions(name)) == sorted(run.experiment for run in runs)


@real
@pytest.mark.parametrize("name", sorted(path.name for path in REAL.glob("*") if path.suffix != ".gz"))
def test_every_real_table_is_also_a_list_of_accessions(name):
    listed = read_accessions(REAL / name)
    runs = {run.run or run.experiment for run in read_table(REAL / name)}
    assert set(listed) == runs


@real
def test_the_command_writes_a_real_table_as_rows_that_the_workflow_reads(tmp_path):
    words = ["--table", REAL / "test_data__PRJNA511433__PRJNA511433.parsed.tsv", "--study", "PRJNA511433"]
    result = CliRunner().invoke(app, [*map(str, words), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    units = [unit for _, unit in read_rows(Unit, tmp_path / "units.tsv")]
    assert len(units) == 128
    assert units[0].read1 == "https://ftp.sra.ebi.ac.uk/vol1/fastq/SRR836/004/SRR8363194/SRR8363194_1.fastq.gz"
    assert {sample.study for _, sample in read_rows(Sample, tmp_path / "samples.tsv")} == {"PRJNA511433"}


def test_ncbis_run_selector_and_runinfo_are_read(tmp_path):
    selector = table(
        tmp_path,
        "Run,Assay Type,BioProject,BioSample,Consent,Experiment,LibraryLayout,LibrarySource,Organism,Platform,"
        '"SRA Study"\n'
        "SRR1,RNA-Seq,PRJNA1,SAMN1,public,SRX1,PAIRED,TRANSCRIPTOMIC,Homo sapiens,ILLUMINA,SRP1\n"
        "SRR2,RNA-Seq,PRJNA1,SAMN1,GRU,SRX1,PAIRED,TRANSCRIPTOMIC,Homo sapiens,ILLUMINA,SRP1\n",
    )
    first, second = read_table(selector)
    assert (first.run, first.experiment, first.biosample, first.study, first.sra_study) == (
        "SRR1",
        "SRX1",
        "SAMN1",
        "PRJNA1",
        "SRP1",
    )
    assert (first.strategy, first.source, first.layout, first.platform) == (
        "RNA-Seq",
        "TRANSCRIPTOMIC",
        "PAIRED",
        "ILLUMINA",
    )
    assert (first.closed, second.closed) == ("", "access is 'GRU'")


def test_a_title_that_begins_with_a_quotation_mark_swallows_no_row(tmp_path):
    text = (
        'run_accession\texperiment_accession\tsample_title\nSRR1\tSRX1\t"raw" cells\nSRR2\tSRX2\t"odd\nSRR3\tSRX3\tx\n'
    )
    runs = read_table(table(tmp_path, text))
    assert [(run.run, run.sample_title) for run in runs] == [("SRR1", '"raw" cells'), ("SRR2", '"odd'), ("SRR3", "x")]


def test_gzip_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfrun_accession,scientific_name\r\nSRR1,Homo sapiens\r\n\r\n"))
    (run,) = read_table(path)
    assert (run.run, run.organism) == ("SRR1", "Homo sapiens")


def test_a_run_that_stands_twice_is_one_run(tmp_path):
    text = f"run_accession\tfastq_ftp\tfastq_md5\nSRR1\th.org/SRR1.fastq.gz\t{MD5}\nSRR1\th.org/SRR1.fastq.gz\t{MD5}\n"
    assert len(read_table(table(tmp_path, text))) == 1


def test_md5_that_are_fewer_than_files_are_left_out_with_a_remark(tmp_path):
    text = f"run_accession\tfastq_ftp\tfastq_md5\nSRR1\th/SRR1_1.fastq.gz;h/SRR1_2.fastq.gz\t{MD5}\n"
    (run,) = read_table(table(tmp_path, text))
    assert [file.md5 for file in run.files] == ["", ""]
    assert run.remarks == ("2 fastq files have 1 values of md5, which are left out",)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("ftp.sra.ebi.ac.uk/vol1/a.fastq.gz", "https://ftp.sra.ebi.ac.uk/vol1/a.fastq.gz"),
        ("ftp://ftp.sra.ebi.ac.uk/vol1/a.fastq.gz", "https://ftp.sra.ebi.ac.uk/vol1/a.fastq.gz"),
        ("https://h.org/a b&c.fastq.gz", "https://h.org/a%20b%26c.fastq.gz"),
        # The Sanger Institute's names: what follows the sign would not be asked for.
        ("ftp.sra.ebi.ac.uk/vol1/24013_5#6.bam", "https://ftp.sra.ebi.ac.uk/vol1/24013_5%236.bam"),
        ("s3://bucket/a b#6.fastq.gz", "s3://bucket/a b#6.fastq.gz"),
    ],
)
def test_addresses_become_https_without_what_a_shell_could_act_on(tmp_path, address, url):
    (run,) = read_table(table(tmp_path, f"run_accession\tfastq_ftp\nSRR1\t{address}\n"))
    assert run.files[0].url == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "t.tsv is empty"),
        ("gene\tcount\nA\t1\n", "has no column of runs or experiments (its first line: gene, count)"),
        ("run_accession\tx\nSRR1\ta\n\tb\n", "line 3: no accession of a run or an experiment"),
        ("run_accession\tx\nSRR1\ta\tb\n", "line 2: 3 values for 2 columns"),
        ("SRR1\tHomo sapiens\n", "line 1: a table without a header has run, organism, addresses, kind"),
        ("SRR1\tHomo sapiens\ta\tENAFQ\nGSM1\tHomo sapiens\ta\tENAFQ\n", "line 2: a table without a header"),
    ],
)
def test_what_is_no_run_table_is_refused_with_its_line(tmp_path, text, said):
    with pytest.raises(UserMistake) as mistake:
        read_table(table(tmp_path, text))
    assert said in str(mistake.value)


def test_a_list_takes_comments_any_case_and_one_accession_a_line(tmp_path):
    text = "# our studies\nsrp1\n\nGSE2 # the atlas\nSRP1\nSRX3,SRR4,human\nPRJEB5;x\n"
    assert read_accessions(table(tmp_path, text)) == ["SRP1", "GSE2", "SRR4", "PRJEB5"]


@pytest.mark.parametrize("text", ["SRR1 SRR2\n", "SRR1, SRR2\n", "run\texperiment\nSRR1;SRR2\tSRX1\n"])
def test_every_run_of_a_row_is_listed(tmp_path, text):
    assert read_accessions(table(tmp_path, text)) == ["SRR1", "SRR2"]


def test_a_line_without_an_accession_is_refused_by_its_number(tmp_path):
    with pytest.raises(UserMistake, match=r"line 3: 'SRR' names no accession; allowed are runs"):
        read_accessions(table(tmp_path, "accession\nSRR1\nSRR\n"))
    with pytest.raises(UserMistake, match="names no accession"):
        read_accessions(table(tmp_path, "accession\n"))
