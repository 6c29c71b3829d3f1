"""Each mistake in a table is one sentence that names the file, the row, the column, what was found, what is allowed."""

from pathlib import Path

import pytest

from velocorpus.errors import UserMistake
from velocorpus.tables import Tables, load_tables

SAMPLE = {
    "sample": "s1",
    "study": "a",
    "organism": "human",
    "quantifier": "import",
    "reference": "",
    "chemistry": "",
}
FASTQ = SAMPLE | {"quantifier": "kb", "reference": "r", "chemistry": "10xv3"}
UNIT = {"sample": "s1", "unit": "u1", "read1": "", "read2": "", "path": "results/simulated/x.h5ad"}
LANE = UNIT | {"read1": "results/simulated/1.fastq.gz", "read2": "results/simulated/2.fastq.gz", "path": ""}
REFERENCE = {
    "reference": "r",
    "organism": "human",
    "fasta": "results/simulated/r.fa",
    "gtf": "results/simulated/r.gtf",
}


def table(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join("\t".join(values) + "\n" for values in (rows[0], *(row.values() for row in rows))))
    return path


def load(
    folder: Path,
    samples: list[dict[str, str]] | None = None,
    units: list[dict[str, str]] | None = None,
    references: list[dict[str, str]] | None = None,
) -> Tables:
    return load_tables(
        table(folder / "samples.tsv", samples or [SAMPLE]),
        table(folder / "units.tsv", units or [UNIT]),
        table(folder / "references.tsv", references or [REFERENCE]),
        made_here=("results/simulated",),
    )


def test_good_tables_load(tmp_path):
    tables = load(tmp_path)
    assert tables.samples["s1"].study == "a"
    assert tables.units["s1"][0].path == "results/simulated/x.h5ad"


def test_fastq_sample_takes_several_lanes(tmp_path):
    tables = load(tmp_path, [FASTQ], [LANE, LANE | {"unit": "u2"}])
    assert [unit.unit for unit in tables.units["s1"]] == ["u1", "u2"]


@pytest.mark.parametrize(
    ("chemistry", "said"),
    [
        ("10xv1", "line 2, column 'chemistry': reads of 10xv1 have their UMIs in a third file"),
        ("10xv3_5p", "line 2, column 'whitelist': empty, .* give 10x's own, 3M-5pgex-jan-2023.txt.gz"),
    ],
)
@pytest.mark.parametrize("quantifier", ["kb", "starsolo", "cellranger"])
def test_reads_that_no_quantifier_could_take_are_refused_with_what_to_give(tmp_path, chemistry, said, quantifier):
    row = FASTQ | {"chemistry": chemistry, "quantifier": quantifier}
    with pytest.raises(UserMistake, match=said):
        load(tmp_path, [row], [LANE])
    assert load(tmp_path, [row | {"skip": "for now"}], [LANE]).samples


def test_a_list_of_ones_own_and_counts_of_any_chemistry_are_taken(tmp_path):
    (tmp_path / "list").touch()
    assert load(tmp_path, [FASTQ | {"chemistry": "10xv3_5p", "whitelist": str(tmp_path / "list")}], [LANE]).samples
    assert load(tmp_path, [SAMPLE | {"chemistry": "10xv1"}]).samples


def test_missing_column_is_named(tmp_path):
    row = {key: value for key, value in SAMPLE.items() if key != "organism"}
    with pytest.raises(UserMistake, match=r"samples\.tsv: the column 'organism' is missing; found are sample"):
        load(tmp_path, [row])


def test_unknown_column_is_named_with_the_nearest(tmp_path):
    with pytest.raises(UserMistake, match=r"'tisue' is not a column \(nearest: 'tissue'\)"):
        load(tmp_path, [SAMPLE | {"tisue": "x"}])


def test_two_samples_of_the_same_name_are_refused(tmp_path):
    with pytest.raises(UserMistake, match=r"line 3: the sample 's1' stands already in line 2"):
        load(tmp_path, [SAMPLE, SAMPLE])


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("organism", "humn", "nearest: 'human'"),
        ("quantifier", "kallisto", "allowed are kb, starsolo"),
        ("chemistry", "10xV3", "nearest: '10xv3'"),
        ("study", "", "empty; it must be filled"),
        ("sample", "a b", "not a usable name"),
        ("sample", "a;rm", "not a usable name"),
        ("sample", "a..b", "not a usable name"),
        ("sample", "../a", "not a usable name"),
        ("sample", "$(reboot)", "not a usable name"),
        ("sample", "-rf", "not a usable name"),
    ],
)
def test_a_bad_value_names_line_column_and_what_is_allowed(tmp_path, column, value, said):
    with pytest.raises(UserMistake) as mistake:
        load(tmp_path, [SAMPLE | {column: value}])
    assert f"samples.tsv, line 2, column '{column}'" in str(mistake.value)
    assert said in str(mistake.value)


def test_unknown_reference_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(UserMistake, match=r"'hg38' is not in the table of references.*known are r"):
        load(tmp_path, [FASTQ | {"reference": "hg38"}], [LANE])


def test_reference_of_another_organism_is_refused(tmp_path):
    with pytest.raises(UserMistake, match="organism is 'mouse', but its reference 'r' is of 'human'"):
        load(tmp_path, [FASTQ | {"organism": "mouse"}], [LANE])


def test_sample_without_units_is_refused(tmp_path):
    with pytest.raises(UserMistake, match=r"line 3: sample 's2' has no row in .*units\.tsv"):
        load(tmp_path, [SAMPLE, SAMPLE | {"sample": "s2"}])


def test_unit_of_an_unknown_sample_is_refused(tmp_path):
    with pytest.raises(UserMistake, match=r"units\.tsv, line 3, column 'sample': 's12' is not in .*nearest: 's1'"):
        load(tmp_path, units=[UNIT, UNIT | {"sample": "s12"}])


def test_unit_must_have_what_its_quantifier_reads(tmp_path):
    with pytest.raises(UserMistake, match=r"column 'read1': empty, but sample 's1' has the quantifier 'kb'"):
        load(tmp_path, [FASTQ])


def test_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserMistake, match=r"line 2, column 'path': the file '/no/x\.h5ad' does not exist"):
        load(tmp_path, units=[UNIT | {"path": "/no/x.h5ad"}])


@pytest.mark.parametrize("path", ["s3://bucket/x.h5ad", "https://h/x.loom.gz"])
def test_remote_path_need_not_exist(tmp_path, path):
    assert load(tmp_path, units=[UNIT | {"path": path}]).units["s1"][0].path == path


@pytest.mark.parametrize(
    ("sample", "path"),
    [
        (SAMPLE, "https://h/x.mtx.gz"),
        (SAMPLE, "sra:SRR1"),
        (SAMPLE | {"quantifier": "bam", "reference": "r"}, "sra:SRR1"),
    ],
)
def test_what_cannot_be_fetched_as_one_file_is_refused(tmp_path, sample, path):
    with pytest.raises(UserMistake, match=f"column 'path': '{path}' cannot be fetched for the quantifier"):
        load(tmp_path, [sample], [UNIT | {"path": path}])


def test_environment_variable_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    (tmp_path / "x.loom").touch()
    assert load(tmp_path, units=[UNIT | {"path": "$SOME_DATA/x.loom"}]).units["s1"][0].path == str(tmp_path / "x.loom")


def test_unset_environment_variable_is_named(tmp_path):
    with pytest.raises(UserMistake, match=r"the environment variable NOT_SET_HERE .* is not set"):
        load(tmp_path, units=[UNIT | {"path": "$NOT_SET_HERE/x.loom"}])


@pytest.mark.parametrize("path", ["a;rm -rf x", "$(reboot)", "a`b`", "--out", "results/simulated/{sample}", "a|b"])
def test_path_that_a_shell_could_act_on_is_refused(tmp_path, path):
    with pytest.raises(UserMistake, match=r"units\.tsv, line 2, column 'path'"):
        load(tmp_path, units=[UNIT | {"path": path}])


def test_second_count_of_the_same_reads_stays_out_of_the_corpus(tmp_path):
    tables = load(
        tmp_path,
        [SAMPLE | {"same_reads_as": ""}, SAMPLE | {"sample": "s2", "same_reads_as": "s1"}],
        [UNIT, UNIT | {"sample": "s2"}],
    )
    assert tables.corpus_samples == ("s1",)


def test_a_sample_added_below_changes_the_last_group_only(tmp_path):
    def groups(n: int) -> dict[str, tuple[str, ...]]:
        names = [f"s{i}" for i in range(n)]
        return load(
            tmp_path, [SAMPLE | {"sample": name} for name in names], [UNIT | {"sample": name} for name in names]
        ).groups(2)

    before, after = groups(3), groups(4)
    assert before["g00000"] == after["g00000"] == ("s0", "s1")
    assert after["g00001"] == ("s2", "s3")


def test_a_size_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(UserMistake, match=r"column 'path_bytes': '3 GB' is not a size in bytes"):
        load(tmp_path, units=[UNIT | {"path_bytes": "3 GB"}])


def test_a_run_of_sra_is_a_source_that_need_not_lie_here(tmp_path):
    run = LANE | {"read1": "sra:SRR1", "read2": "sra:SRR1"}
    assert load(tmp_path, [FASTQ], [run]).units["s1"][0].read1 == "sra:SRR1"


def test_what_only_looks_like_a_run_of_sra_is_a_path(tmp_path):
    with pytest.raises(UserMistake, match="'sra:SRX1' does not exist"):
        load(tmp_path, [FASTQ], [LANE | {"read1": "sra:SRX1"}])
