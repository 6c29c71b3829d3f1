"""A table of scBaseCount's experiments is that many rows of ours, whose files are samples like any other."""

import os
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from velocorpus.corpus.vocabulary import read_table
from velocorpus.counting.importing.scbasecount import rows_of
from velocorpus.errors import UserMistake
from velocorpus.tables import load_tables

HEADER = "entrez_id,srx_accession,organism,tissue,disease,lib_prep,tech_10x,cell_prep\n"
ROWS = [
    "1,SRX1,Homo sapiens,skin of body,normal,10x_Genomics,3_prime_gex,single_cell",
    "2,SRX2,Mus musculus,unsure,not specified,10x_Genomics,5_prime_gex,single_nucleus",
    "3,SRX3,Homo sapiens,blood,COVID-19,10x_Genomics,vdj,single_cell",
    "4,SRX4,Danio rerio,eye,none,10x_Genomics,3_prime_gex,single_cell",
    "5,ERX5,Homo sapiens,blood,COVID-19,10x_Genomics,3_prime_gex,unsure",
    "6,SRX6,Homo sapiens,blood,none,Smart-seq2,not_applicable,single_cell",
]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "experiments.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in ROWS))
    return path


@pytest.fixture
def studies(tmp_path):
    path = tmp_path / "resolved.tsv"
    path.write_text("sample\tstudy\texperiment\na\tSRP1\tSRX1\nb\tSRP2\tSRX2\nc\tSRP1\tERX5\n")
    return path


def test_each_experiment_of_gene_expression_is_a_row(table, studies):
    rows = rows_of(table, prefix="s3://bucket/h5ad/Velocyto/", studies=studies)
    assert [(row["sample"], row["study"], row["organism"]) for row in rows.samples] == [
        ("SRX1", "SRP1", "human"), ("SRX2", "SRP2", "mouse"), ("ERX5", "SRP1", "human"),
    ]  # fmt: skip
    assert [row["suspension_type"] for row in rows.samples] == ["cell", "nucleus", ""]
    assert [(row["tissue"], row["disease"]) for row in rows.samples[:2]] == [("skin of body", "normal"), ("", "")]
    assert rows.units[1]["path"] == "s3://bucket/h5ad/Velocyto/Mus_musculus/SRX2.h5ad"


def test_what_is_left_out_is_counted_by_its_reason(table):
    left_out = rows_of(table, prefix="x").left_out
    assert left_out == {"of another organism": 1, "not gene expression": 1, "not by 10x": 1}


def test_parquet_gives_the_same_rows(table, tmp_path):
    pd.read_csv(table).to_parquet(tmp_path / "experiments.parquet")
    assert rows_of(tmp_path / "experiments.parquet", prefix="x") == rows_of(table, prefix="x")


def test_an_experiment_without_study_is_refused(table, studies):
    studies.write_text(studies.read_text().replace("SRX2", "SRX9"))
    with pytest.raises(UserMistake, match=r"resolved.tsv has no study for SRX2"):
        rows_of(table, prefix="x", studies=studies)


def test_an_experiment_that_stands_twice_is_refused(table):
    table.write_text(table.read_text() + ROWS[0] + "\n")
    with pytest.raises(UserMistake, match="1 experiments stand twice"):
        rows_of(table, prefix="x")


def test_googles_bucket_is_refused_with_what_to_do(table):
    with pytest.raises(UserMistake, match="makes the reader pay"):
        rows_of(table, prefix="gs://arc-institute-virtual-cell-atlas/scbasecount")


def test_studies_or_their_lack_must_be_said(velocorpus, table):
    done = velocorpus("samples-from-scbasecount", table, "--prefix", "x")
    assert done.returncode == 2
    assert "cells of one study can come into several splits" in done.stderr


def write_file(path, rng):
    genes = [f"ENS{'MUS' if 'Mus' in path.parent.name else ''}G{i:011d}" for i in range(30)]
    barcodes = ["".join(rng.choice(list("ACGT"), 16)) for _ in range(8)]
    layers = ("spliced", "unspliced", "ambiguous")
    path.parent.mkdir(parents=True, exist_ok=True)
    ad.AnnData(
        X=np.zeros((8, 30), dtype=np.float32),
        obs=pd.DataFrame({"SRX_accession": path.stem}, index=barcodes),
        var=pd.DataFrame({"gene_symbols": genes}, index=genes),
        layers={layer: sparse.csr_matrix(rng.poisson(3.0, (8, 30))) for layer in layers},
    ).write_h5ad(path)


def test_the_files_become_samples_of_a_corpus_like_any_other(velocorpus, table, studies, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    for unit in rows_of(table, prefix="velocyto").units:
        write_file(Path(unit["path"]), rng)
    made = velocorpus("samples-from-scbasecount", table, "--prefix", "velocyto", "--studies", studies)
    assert "3 experiments of 2 studies" in made.stderr
    Path("references.tsv").write_text("reference\torganism\tfasta\tgtf\n")
    tables = load_tables("samples.tsv", "units.tsv", "references.tsv")
    assert tables.samples_of("SRP1") == ("SRX1", "ERX5")
    for name, units in tables.units.items():
        assert velocorpus("import", units[0].path, "--sample", name, "--out", f"{name}/counts.h5ad").returncode == 0
    counts = [f"{name}/counts.h5ad" for name in tables.samples]
    built = velocorpus("corpus", "build", *counts, "--samples", "samples.tsv", "--out", "corpus", "--min-counts", "1")
    assert built.returncode == 0, built.stderr
    rows = read_table(Path("corpus/samples.feather"), "table of samples").to_pylist()
    assert {(row["sample"], row["study"], row["cells"]) for row in rows} == {
        ("SRX1", "SRP1", 8), ("SRX2", "SRP2", 8), ("ERX5", "SRP1", 8),
    }  # fmt: skip


@pytest.mark.skipif("VELOCORPUS_TEST_DATA" not in os.environ, reason="VELOCORPUS_TEST_DATA is not set")
def test_all_published_experiments_of_human_and_mouse_become_rows():
    real = Path(os.environ["VELOCORPUS_TEST_DATA"]) / "run_tables" / "scbasecount_srx_organism_disease.csv.gz"
    rows = rows_of(real, prefix="s3://bucket/Velocyto")
    assert (len(rows.samples), len(rows.units)) == (25718, 25718)
    assert rows.left_out == {"of another organism": 1059}
