"""Mistakes in the configuration and its tables: each one sentence with the words that mend it."""

import pytest

SAMPLES = "sample\tstudy\torganism\tquantifier\treference\tchemistry\na\ts\thuman\tbam\tref\t10xv3\n"
UNITS = "sample\tunit\tpath\na\tu\treads.bam\n"
REFERENCES = "reference\torganism\tfasta\tgtf\nref\thuman\tgenome.fa\tgenes.gtf\n"

TABLES = {
    "column missing": (
        "samples.tsv",
        SAMPLES.replace("\tquantifier", "").replace("\tbam", ""),
        ["'quantifier'", "missing"],
    ),
    "unknown column": ("samples.tsv", SAMPLES.replace("study\t", "stuudy\t"), ["'stuudy'", "'study'"]),
    "sample twice": ("samples.tsv", SAMPLES + SAMPLES.splitlines()[1] + "\n", ["line 3", "'a'", "line 2"]),
    "unknown quantifier": ("samples.tsv", SAMPLES.replace("bam", "bamm"), ["line 2", "'bamm'", "'bam'"]),
    "unknown reference": ("samples.tsv", SAMPLES.replace("\tref\t10", "\trev\t10"), ["'rev'", "'ref'"]),
    "bad name": ("samples.tsv", SAMPLES.replace("a\ts", "a;b\ts"), ["a;b", "allowed"]),
    "no sample": ("samples.tsv", SAMPLES.splitlines()[0] + "\n", ["samples.tsv"]),
    "empty table": ("samples.tsv", "", ["is empty"]),
    "commas for tabs": ("samples.tsv", SAMPLES.replace("\t", ","), ["tabs"]),
    "unit of unknown sample": ("units.tsv", UNITS + "b\tu\treads.bam\n", ["line 3", "'b'", "samples.tsv"]),
    "unit twice": ("units.tsv", UNITS + UNITS.splitlines()[1] + "\n", ["'u'", "twice"]),
    "sample without unit": ("units.tsv", UNITS.splitlines()[0] + "\n", ["'a'", "units.tsv"]),
    "file absent": ("units.tsv", UNITS.replace("reads.bam", "no.bam"), ["'no.bam'", "does not exist"]),
    "variable not set": ("units.tsv", UNITS.replace("reads.bam", "$NO_SUCH_VARIABLE/x.bam"), ["NO_SUCH_VARIABLE"]),
    "other organism": ("references.tsv", REFERENCES.replace("human", "mouse"), ["'mouse'", "'human'"]),
}
CONFIGS = {
    "broken YAML": ("a: [1", ["not YAML"]),
    "unknown key": ("sampels: x.tsv", ["'sampels'", "'samples'"]),
    "unknown inner key": ("cells: {min_count: 3}", ["'cells.min_count'", "'min_counts'"]),
    "wrong type": ("cells: {min_counts: many}", ["cells.min_counts", "'many'"]),
    "out of range": ("cells: {min_counts: -1}", ["cells.min_counts", "-1"]),
    "a list": ("- a", ["key: value"]),
    "no text": ("samples: 3", ["'samples'", "3"]),
    "unknown study": ("corpus: {test_studies: [nowhere]}", ["corpus.test_studies", "'nowhere'"]),
    "all held out": ("corpus: {test_studies: [s]}", ["train"]),
    "preset": ("simulate: {preset: hugee}", ["hugee"]),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the tables of one sample and all that they name."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("samples", SAMPLES), ("units", UNITS), ("references", REFERENCES)):
        (tmp_path / f"{name}.tsv").write_text(text)
    for name in ("reads.bam", "genome.fa", "genes.gtf"):
        (tmp_path / name).touch()
    (tmp_path / "config.yaml").write_text("training: training.yaml\n")
    (tmp_path / "training.yaml").write_text("model: {name: tiny}\n")
    return tmp_path


@pytest.mark.parametrize(("table", "text", "words"), TABLES.values(), ids=TABLES)
def test_tables(place, refused, table, text, words):
    (place / table).write_text(text)
    refused("check --config config.yaml", *words)


@pytest.mark.parametrize(("text", "words"), CONFIGS.values(), ids=CONFIGS)
def test_configurations(place, refused, text, words):
    (place / "config.yaml").write_text(f"training: training.yaml\n{text}\n" if text[0] != "-" else text)
    refused("check --config config.yaml", "config.yaml", *words)


def test_training_file(place, refused):
    (place / "training.yaml").write_text("model: {d_modell: 64}\n")
    refused("check --config config.yaml", "training.yaml", "'model.d_modell'", "'d_model'")
