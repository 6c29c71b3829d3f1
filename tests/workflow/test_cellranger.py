"""The rules hand Cell Ranger what its documentation asks, and read its outs/ folder by name.

Cell Ranger is licensed and cannot run here: a stand-in takes its place, which insists on the documented command line
and on the file names by which Cell Ranger tells lanes and reads, and hands on a BAM of one read.
"""

import gzip
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import anndata as ad
import pysam
import pytest

ROOT = Path(__file__).parents[2]

STAND_IN = """#!{python}
import shutil, sys
from pathlib import Path

if sys.argv[1:] == ["--version"]:
    print("cellranger cellranger-9.0.1")
    sys.exit()
command, options = sys.argv[1], dict(word.removeprefix("--").partition("=")[::2] for word in sys.argv[2:])
assert all(word.startswith("--") for word in sys.argv[2:]), sys.argv
if command == "mkref":
    folder = Path(options["output-dir"])
    assert not folder.exists(), "mkref makes its folder itself"
    assert Path(options["fasta"]).exists() and Path(options["genes"]).exists() and options["genome"]
    folder.mkdir()
    (folder / "reference.json").write_text("{{}}")
elif command == "count":
    assert options["create-bam"] == "true" and options["chemistry"] == "SC3Pv3" and options["sample"] == "reads"
    assert Path(options["transcriptome"], "reference.json").exists()
    names = sorted(file.name for file in Path(options["fastqs"]).iterdir())
    assert names == [f"reads_S1_L00{{lane}}_R{{read}}_001.fastq.gz" for lane in (1, 2) for read in (1, 2)], names
    assert all(file.exists() for file in Path(options["fastqs"]).iterdir())
    run = Path(options["id"])
    assert not run.exists(), "count makes its folder itself"
    cells = run / "outs" / "filtered_feature_bc_matrix"
    cells.mkdir(parents=True)
    shutil.copy({cells!r}, cells / "barcodes.tsv.gz")
    shutil.copy({bam!r}, run / "outs" / "possorted_genome_bam.bam")
    for name in ("metrics_summary.csv", "web_summary.html"):
        (run / "outs" / name).write_text("made by a stand-in")
"""
BARCODE = "ACGTACGTACGTACGT"
SEQUENCE = "C" * 100 + "ACGTACGTACGT" + "A" * 16 + "AGACGTACGTAC" + "C" * 100


@pytest.fixture
def project(tmp_path):
    """One sample of two lanes, a genome of one gene, and a stand-in whose BAM has one exonic read of it."""
    (tmp_path / "genome.fa").write_text(f">1\n{SEQUENCE}\n")
    attributes = 'gene_id "ENSG00000000001"; transcript_id "T1"; gene_biotype "protein_coding";'
    exons = [(101, 110), (131, 140)]
    (tmp_path / "genes.gtf").write_text(
        "".join(f"1\tmade\texon\t{start}\t{end}\t.\t+\t.\t{attributes}\n" for start, end in exons)
    )
    (tmp_path / "cells.tsv").write_text(f"{BARCODE}-1\n")
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "1", "LN": len(SEQUENCE)}]}
    with pysam.AlignmentFile(str(tmp_path / "made.bam"), "wb", header=header) as bam:
        read = pysam.AlignedSegment(bam.header)
        read.query_name, read.flag, read.reference_id, read.reference_start = "r", 0, 0, 102
        read.mapping_quality, read.cigarstring, read.query_sequence = 255, "8M20N8M", "ACGTACGT" * 2
        read.set_tags([("CB", f"{BARCODE}-1"), ("UB", "ACGTACGTACGT"), ("NH", 1)])
        bam.write(read)
    for name, length in (("R1", 28), ("R2", 91)):
        (tmp_path / f"{name}.fastq.gz").write_bytes(gzip.compress(b"@r\n%b\n+\n%b\n" % (b"A" * length, b"F" * length)))
    stand_in = tmp_path / "cellranger"
    stand_in.write_text(
        STAND_IN.format(python=sys.executable, cells=str(tmp_path / "cells.tsv"), bam=str(tmp_path / "made.bam"))
    )
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "samples.tsv").write_text(
        "sample\tstudy\torganism\tquantifier\treference\tchemistry\na.1\ts\thuman\tcellranger\tg\t10xv3\n"
    )
    (tmp_path / "units.tsv").write_text(
        "sample\tunit\tread1\tread2\n" + "".join(f"a.1\tlane{n}\tR1.fastq.gz\tR2.fastq.gz\n" for n in (1, 2))
    )
    (tmp_path / "references.tsv").write_text("reference\torganism\tfasta\tgtf\ng\thuman\tgenome.fa\tgenes.gtf\n")
    (tmp_path / "training.yaml").write_text("{}\n")
    (tmp_path / "config.yaml").write_text(
        "samples: samples.tsv\nunits: units.tsv\nreferences: references.tsv\ntraining: training.yaml\n"
        f"quantify: {{cellranger: {stand_in}}}\nreads_qc: {{enabled: false}}\n"
    )
    return tmp_path


def test_cellranger_is_asked_as_documented_and_its_bam_is_counted(project, warm):
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--profile", "none", "--cores", "1", "counts"]
    done = subprocess.run(
        [*command, "--configfile", str(project / "config.yaml")],
        cwd=project,
        env=os.environ | {"PATH": warm},
        capture_output=True,
        text=True,
        check=False,
    )
    logs = "".join(log.read_text() for log in project.glob("logs/**/*.log"))
    assert done.returncode == 0, done.stderr + logs
    outcome = json.loads((project / "results/counts/a.1/outcome.json").read_text())
    assert outcome["state"] == "ok", outcome
    counts = ad.read_h5ad(project / "results/counts/a.1/counts.h5ad")
    cells = json.loads(counts.uns["velocorpus"]["source"])["cells"]
    assert cells["method"].startswith("cellranger cellranger-9.0.1, its own call"), cells
    assert list(counts.obs_names) == [f"a.1:{BARCODE}"]
    assert {layer: int(counts.layers[layer].sum()) for layer in counts.layers} == {
        "spliced": 1,
        "unspliced": 0,
        "ambiguous": 0,
    }
