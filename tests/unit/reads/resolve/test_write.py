"""Tables that are there are extended, never changed; what contradicts them is refused."""

import pytest

from velocorpus import files
from velocorpus.errors import UserMistake
from velocorpus.reads.resolve.rows import Resolved
from velocorpus.reads.resolve.write import tables_in, write

SAMPLE = {
    "sample": "SRX1",
    "study": "PRJNA1",
    "organism": "human",
    "quantifier": "kb",
    "reference": "",
    "chemistry": "",
    "run": "SRR1",
}
UNIT = {"sample": "SRX1", "unit": "SRR1", "read1": "https://h/1.gz", "read2": "https://h/2.gz", "note": ""}
RUN = {"run": "SRR1", "experiment": "SRX1", "state": "used"}


def resolved(samples=(SAMPLE,), units=(UNIT,), runs=(RUN,)):
    return Resolved(list(samples), list(units), list(runs))


def put(folder, *, extend=False, **rows):
    write(resolved(**rows), folder, tables_in(folder, extend=extend))


def lines(folder, name):
    return [line.split("\t") for line in (folder / name).read_text().splitlines()]


def test_columns_that_no_row_fills_are_left_out_but_for_those_a_table_must_have(tmp_path):
    put(tmp_path)
    assert lines(tmp_path, "samples.tsv")[0] == [
        *("sample", "study", "organism", "quantifier", "reference", "chemistry", "run")
    ]
    assert lines(tmp_path, "units.tsv")[0] == ["sample", "unit", "read1", "read2"]


def test_tables_that_are_there_are_not_overwritten(tmp_path):
    put(tmp_path)
    before = (tmp_path / "samples.tsv").read_bytes()
    with pytest.raises(UserMistake, match=r"samples\.tsv is there already; give --append"):
        put(tmp_path, samples=[SAMPLE | {"organism": "mouse"}])
    assert (tmp_path / "samples.tsv").read_bytes() == before


def test_the_same_rows_again_change_no_byte(tmp_path):
    put(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    put(tmp_path, extend=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_rows_are_added_below_and_edits_and_comments_stay(tmp_path):
    put(tmp_path)
    edited = (tmp_path / "samples.tsv").read_text().replace("kb\t\t\t", "starsolo\tgrch38\t10xv3\t")
    (tmp_path / "samples.tsv").write_text(f"# ours\n{edited}# the end\n")
    more = SAMPLE | {"sample": "SRX2", "run": "SRR2", "tissue": "lung"}
    put(tmp_path, extend=True, samples=[SAMPLE, more], units=[UNIT, UNIT | {"sample": "SRX2", "unit": "SRR2"}])
    header, comment, first, end, second = lines(tmp_path, "samples.tsv")
    assert (comment, end) == (["# ours"], ["# the end"])
    assert first[3:6] == ["starsolo", "grch38", "10xv3"]
    assert header[7] == "tissue"
    assert (second[0], first[7], second[7]) == ("SRX2", "", "lung")


def test_a_file_that_was_taken_out_of_a_sample_does_not_come_back_unseen(tmp_path):
    two = [UNIT, UNIT | {"unit": "SRR2"}]
    put(tmp_path)
    with pytest.raises(UserMistake, match="SRX1 stands there without the unit SRR2, which the archive has now"):
        put(tmp_path, extend=True, units=two)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"samples": [SAMPLE | {"organism": "mouse"}]}, r"samples\.tsv: SRX1 .* organism 'human', .* now says 'mouse'"),
        ({"samples": [SAMPLE | {"run": "SRR1;SRR2"}]}, r"samples\.tsv: SRX1 .* run 'SRR1', .* now says 'SRR1;SRR2'"),
        ({"units": [UNIT | {"read2": "https://h/3.gz"}]}, r"units\.tsv: SRX1 SRR1 .* read2 'https://h/2\.gz'"),
    ],
)
def test_a_row_that_contradicts_is_refused_and_nothing_is_written(tmp_path, change, said):
    put(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserMistake, match=said):
        put(tmp_path, extend=True, **change)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_run_that_was_set_aside_and_is_used_now_has_one_row(tmp_path):
    put(tmp_path, runs=[RUN | {"state": "set aside"}])
    put(tmp_path, extend=True)
    header, row = lines(tmp_path, "runs.tsv")
    assert row[header.index("state")] == "used"


def test_a_column_that_no_table_has_is_refused(tmp_path):
    put(tmp_path)
    text = (tmp_path / "samples.tsv").read_text().splitlines()
    (tmp_path / "samples.tsv").write_text(f"{text[0]}\tremark\n{text[1]}\tours\n")
    with pytest.raises(UserMistake, match="'remark' is not a column"):
        put(tmp_path, extend=True)


def test_a_value_that_no_column_holds_is_not_lost_in_silence(tmp_path):
    put(tmp_path)
    with (tmp_path / "units.tsv").open("a") as table:
        table.write("SRX9\tu\t1.gz\t2.gz\tours\n")
    with pytest.raises(UserMistake, match=r"units\.tsv: 'SRX9.*has 5 values for 4 columns"):
        put(tmp_path, extend=True)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    put(tmp_path)
    (tmp_path / "samples.tsv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "samples.tsv").read_bytes())
    put(tmp_path, extend=True)
    assert lines(tmp_path, "samples.tsv")[0][0] == "sample"


@pytest.mark.parametrize("n_written", [1, 2])
def test_a_kill_between_two_tables_leaves_what_the_next_call_completes(tmp_path, monkeypatch, n_written):
    tables = iter(range(3))

    def killed(path, text, write_text=files.write_text):
        if next(tables) == n_written:
            raise KeyboardInterrupt
        write_text(path, text)

    with monkeypatch.context() as kill:
        kill.setattr(files, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            put(tmp_path / "t")
    put(tmp_path / "t", extend=True)
    put(tmp_path / "whole")
    for name in ("samples.tsv", "units.tsv", "runs.tsv"):
        assert (tmp_path / "t" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
