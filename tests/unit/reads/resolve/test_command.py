"""`velocorpus resolve`: three tables that the workflow reads, or a sentence."""

import pytest
from archives import run_line
from typer.testing import CliRunner

from velocorpus.cli.resolve import app
from velocorpus.errors import UserMistake
from velocorpus.table_rows import read_rows
from velocorpus.tables import Sample, Unit, load_tables


def test_the_command_writes_three_tables_that_the_workflow_reads(archives, tmp_path):
    result = run_line(archives, "PRJNA900001", "ERX9000012", "SRR9999999", "--out", tmp_path, "--reference", "human=r")
    assert result.exit_code == 0, result.output
    assert "SRR9999999: neither archive has a run of it" in result.stderr
    assert (
        f"{tmp_path}: 9 samples, 12 units (9 runs with a note), 7 runs set aside, 1 accessions absent" in result.stderr
    )
    samples = [row for _, row in read_rows(Sample, tmp_path / "samples.tsv")]
    units = [row for _, row in read_rows(Unit, tmp_path / "units.tsv")]
    assert {sample.sample for sample in samples} == {unit.sample for unit in units}
    assert {sample.reference for sample in samples if sample.organism == "human"} == {"r"}
    assert len((tmp_path / "runs.tsv").read_text().splitlines()) == 1 + 18


def test_the_tables_pass_the_workflows_own_check(archives, tmp_path):
    words = ("--reference", "human=h", "--reference", "mouse=m", "--chemistry", "10xv3", "--bams", "count")
    run_line(archives, "PRJNA900001", *words, "--out", tmp_path)
    for name in ("h.fa", "h.gtf"):
        (tmp_path / name).touch()
    rows = [
        f"{name}\t{organism}\t{tmp_path}/h.fa\t{tmp_path}/h.gtf" for name, organism in (("h", "human"), ("m", "mouse"))
    ]
    (tmp_path / "references.tsv").write_text("\n".join(["reference\torganism\tfasta\tgtf", *rows, ""]))
    tables = load_tables(*(tmp_path / f"{name}.tsv" for name in ("samples", "units", "references")))
    assert {sample.quantifier for sample in tables.samples.values()} == {"kb", "bam"}


def test_the_same_answers_in_another_order_of_asking_give_the_same_bytes(archives, tmp_path):
    run_line(archives, "SRX9000001", "GSM9000002", "ERX9000012", "--out", tmp_path / "a")
    run_line(archives, "ERX9000012", "SRR9000003", "SRR9000002", "SRR9000001", "--out", tmp_path / "b")
    for name in ("samples.tsv", "units.tsv", "runs.tsv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_nothing_usable_is_a_mistake_and_writes_nothing(archives, tmp_path):
    result = run_line(archives, "SRR9999999", "SRR9000009", "--out", tmp_path / "t")
    assert isinstance(result.exception, UserMistake)
    assert "No run of the 2 asked for can be used" in str(result.exception)
    assert "1 run is set aside (SRR9000009): its title says 'Smart-seq2': not 10x" in result.stderr
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("out", "said"), [("", "units.tsv is there already; give --append"), ("units.tsv", "is a file")]
)
def test_what_is_in_the_way_is_refused_before_anyone_is_asked(archives, tmp_path, out, said):
    (tmp_path / "units.tsv").touch()
    result = run_line(archives, "SRR9000001", "--out", tmp_path / out)
    assert said in str(result.exception)
    assert not archives.asked


def test_strict_refuses_what_would_be_set_aside(archives, tmp_path):
    result = run_line(archives, "SRR9000001", "SRR9000009", "--strict", "--out", tmp_path / "t")
    assert "0 accessions are absent and 1 runs set aside, which --strict refuses" in str(result.exception)
    assert not (tmp_path / "t").exists()


def test_addresses_come_from_the_configuration(archives, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(f"resolve: {{ena_url: '{archives.url}/ena', ncbi_url: '{archives.url}/ncbi'}}\n")
    result = CliRunner().invoke(app, ["SRX9000001", "--out", str(tmp_path / "t"), "--config", str(config)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "t" / "units.tsv").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["SRZ1"], "'SRZ1' is not an accession that can be resolved; allowed are runs"),
        ([], "Give accessions"),
        (["SRR1", "--table", "t.tsv"], "Give accessions"),
        (["SRR1", "--quantifier", "bam"], "--quantifier 'bam' is not known; allowed are kb"),
        (["SRR1", "--organism", "rat"], "--organism 'rat' is not known; allowed are human, mouse"),
        (["SRR1", "--chemistry", "v3"], "--chemistry 'v3' is not known"),
        (["SRR1", "--reference", "GRCh38"], "--reference 'GRCh38' is not known; allowed are human, mouse"),
        (["SRR1", "--study", "my study"], "'my study' is not a usable name"),
        (["SRR1", "--reference", "human"], "--reference 'human' names no row"),
    ],
)
def test_a_mistake_in_the_call_is_said_before_anyone_is_asked(archives, tmp_path, words, said):
    result = run_line(archives, *words, "--out", tmp_path)
    assert isinstance(result.exception, UserMistake)
    assert said in str(result.exception)
    assert not archives.asked
