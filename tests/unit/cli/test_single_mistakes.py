"""Mistakes that one command or one table has: each one sentence with the words that mend it."""

import gzip
import http.server
import shutil
import threading

import anndata as ad
import numpy as np
import pyarrow as pa
import pytest
from bam_makers import ReadSpec, write_bam
from project_makers import GENES, make_cells, make_models, working_in
from pyarrow import feather

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


@pytest.fixture
def refused(velocorpus, tmp_path):
    """Run a command that must end in one sentence with the words, and leave nothing at tmp_path/out."""

    def run(line, *words):
        done = velocorpus(*(line.split() if isinstance(line, str) else line))
        told = [one for one in done.stderr.splitlines() if one.startswith("velocorpus: ")]
        assert (done.returncode, len(told), done.stderr.splitlines()[-1]) == (2, 1, told[-1] if told else None), done
        for word in words:
            assert word in told[0]
        assert not (tmp_path / "out").exists()

    return run


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


COUNT = "count --bam {0}reads.bam --gtf {1}genes.gtf --barcodes {2}cells.tsv --out {3}/out"


@pytest.fixture
def count(project, tmp_path, refused):
    """Refuse to count when `name` among the good inputs is replaced by the file of that name in tmp_path."""

    def run(name, *words, more=""):
        folders = [f"{tmp_path if one == name else project}/" for one in ("reads.bam", "genes.gtf", "cells.tsv")]
        refused(COUNT.format(*folders, tmp_path) + more, name, *words)

    return run


def test_bam_without_barcodes(tmp_path, count):
    write_bam(tmp_path / "reads.bam", [ReadSpec(150, "90M", barcode=None, umi=None)])
    count("reads.bam", "CB", "UB")


def test_bam_without_umis(tmp_path, count):
    write_bam(tmp_path / "reads.bam", [ReadSpec(150, "90M", umi=None)])
    count("reads.bam", "UB")


def test_bam_without_reads(tmp_path, count):
    write_bam(tmp_path / "reads.bam", [])
    count("reads.bam")


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_truncated_bam(tmp_path, project, count, keep):
    whole = (project / "reads.bam").read_bytes()
    (tmp_path / "reads.bam").write_bytes(whole[: int(len(whole) * keep)])
    count("reads.bam", "truncated")


def test_damaged_bam(tmp_path, count):
    write_bam(tmp_path / "reads.bam", [ReadSpec(150 + i, "90M") for i in range(500)])
    data = bytearray((tmp_path / "reads.bam").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    (tmp_path / "reads.bam").write_bytes(data)
    count("reads.bam")


def test_bam_of_another_genome(tmp_path, count):
    write_bam(tmp_path / "reads.bam", [ReadSpec(150, "90M", chromosome="NC_1")], chromosomes=["NC_1"])
    count("reads.bam", "NC_1")


def test_barcodes_of_another_sample(tmp_path, project, refused):
    (tmp_path / "cells.tsv").write_text("GGGGTTTT-1\n")
    line = COUNT.format(f"{project}/", f"{project}/", f"{tmp_path}/", tmp_path)
    refused(line, "reads.bam", "listed barcodes", "AAAACCCC")


@pytest.mark.parametrize("text", ["", "\n\n", "barcode\n", "AAAA\nAAAA\n", "sample,cell\n1,AAAA\n"])
def test_lists_of_cells(tmp_path, count, text):
    (tmp_path / "cells.tsv").write_text(text)
    count("cells.tsv")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#only a comment\n",
        '1\tx\tgene\t1\t9\t.\t+\t.\tgene_id "G";\n',
        '1\tx\texon\t1\t9\t.\t+\t.\ttranscript_id "T";\n',
        '1\tx\texon\t9\t1\t.\t+\t.\tgene_id "G"; transcript_id "T";\n',
        "1\tx\texon\t1\t9\t.\t+\t.\tID=exon:1;Parent=T\n",
        "1 x exon 1 9\n",
    ],
)
def test_gtfs(tmp_path, project, count, refused, text):
    (tmp_path / "genes.gtf").write_text(text)
    count("genes.gtf")
    refused(f"reference --gtf {tmp_path}/genes.gtf --out {tmp_path}/out", "genes.gtf")


def test_options_of_count(count):
    count("", "permissive10x", more=" --logic strict")
    count("", "native", more=" --engine fast")
    count("", "XX", more=" --cell-tag XX")


def test_fasta_without_the_chromosomes_of_the_gtf(tmp_path, project, refused):
    (tmp_path / "other.fa").write_text(">chrX\n" + "ACGT" * 300 + "\n")
    line = f"reference --gtf {project}/genes.gtf --fasta {tmp_path}/other.fa --out {tmp_path}/out"
    refused(line, "other.fa", "chrX")


def test_fasta_that_is_shorter_than_its_genes(tmp_path, project, refused):
    (tmp_path / "short.fa").write_text(">1\nACGT\n")
    refused(f"reference --gtf {project}/genes.gtf --fasta {tmp_path}/short.fa --out {tmp_path}/out", "short.fa")


def test_offset(tmp_path, project, refused):
    refused(f"reference --gtf {project}/genes.gtf --offset 21 --out {tmp_path}/out", "--offset 21", "21:881")


MATRICES = {
    "negative": ({"spliced": np.full((40, len(GENES)), -1.0)}, ["negative"]),
    "fractional": ({"unspliced": np.full((40, len(GENES)), 0.5)}, ["fractional"]),
    "not a number": ({"spliced": np.full((40, len(GENES)), np.nan)}, ["spliced"]),
    "infinite": ({"spliced": np.full((40, len(GENES)), np.inf)}, ["spliced"]),
    "duplicate genes": ({"var_names": [GENES[0], *GENES[:-1]]}, ["gene"]),
}
USERS = {
    "import": "import {cells} --out {tmp}/out",
    "velocity": "velocity {cells} --model velocity --out {tmp}/out",
    "embed": "embed {cells} --model encoder --out {tmp}/out",
    "trajectory": "trajectory {cells} --model trajectory --out {tmp}/out --trajectories 1 --steps 1",
}


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
@pytest.mark.parametrize(("changes", "words"), MATRICES.values(), ids=MATRICES)
@pytest.mark.parametrize("line", USERS.values(), ids=USERS)
def test_matrices(tmp_path, project, monkeypatch, refused, line, changes, words):
    make_cells(tmp_path / "cells.h5ad", **changes)
    monkeypatch.chdir(project)
    refused(line.format(cells=tmp_path / "cells.h5ad", tmp=tmp_path), *words)


@pytest.mark.parametrize("line", USERS.values(), ids=USERS)
def test_cells_without_layers(tmp_path, project, monkeypatch, refused, line):
    ad.AnnData(np.ones((40, 3), np.float32)).write_h5ad(tmp_path / "plain.h5ad")
    monkeypatch.chdir(project)
    refused(line.format(cells=tmp_path / "plain.h5ad", tmp=tmp_path), "plain.h5ad", "'spliced'", "none")


@pytest.mark.parametrize("line", USERS.values(), ids=USERS)
def test_no_cells(tmp_path, project, monkeypatch, refused, line):
    empty = np.zeros((0, len(GENES)), np.float32)
    adata = ad.AnnData(layers={"spliced": empty, "unspliced": empty}, shape=empty.shape)
    adata.var_names = GENES
    adata.write_h5ad(tmp_path / "nobody.h5ad")
    monkeypatch.chdir(project)
    refused(line.format(cells=tmp_path / "nobody.h5ad", tmp=tmp_path), "nobody.h5ad", "no cells")


@pytest.mark.parametrize("line", [USERS["embed"], USERS["trajectory"]], ids=["embed", "trajectory"])
def test_symbols_only(tmp_path, project, monkeypatch, refused, line):
    make_cells(tmp_path / "symbols.h5ad", var_names=[f"Gene{i}" for i in range(len(GENES))])
    monkeypatch.chdir(project)
    refused(line.format(cells=tmp_path / "symbols.h5ad", tmp=tmp_path), "symbols.h5ad", "Gene0", "Ensembl")


WRONG_MODELS = {
    "velocity by an encoder": ("velocity cells.h5ad --model encoder", ["encoder", "finetune velocity"]),
    "velocity by a trajectory decoder": ("velocity cells.h5ad --model trajectory", ["trajectory", "finetune velocity"]),
    "trajectory by a velocity decoder": ("trajectory cells.h5ad --model velocity", ["velocity", "finetune trajectory"]),
    "trajectory by an encoder": ("trajectory cells.h5ad --model encoder", ["encoder", "finetune trajectory"]),
    "velocity of another mode": ("velocity cells.h5ad --model velocity --mode none", ["velocity", "neighbours"]),
    "evaluate expression": (
        "evaluate expression --model velocity --corpus corpus",
        ["velocity", "finetune expression"],
    ),
    "evaluate velocity": (
        "evaluate velocity --model encoder --corpus corpus --truth t/targets.h5ad",
        ["finetune velocity"],
    ),
    "evaluate trajectory": (
        "evaluate trajectory --model velocity --corpus corpus --truth t/truth.h5ad",
        ["finetune trajectory"],
    ),
    "study key": ("velocity cells.h5ad --model velocity --study-key batch", ["'batch'"]),
    "start": ("trajectory cells.h5ad --model trajectory --start type=B", ["'type'"]),
    "color": (
        "trajectory cells.h5ad --model trajectory --trajectories 1 --steps 1 --figure {tmp}/f.png --color tipe",
        ["'tipe'"],
    ),
    "split": ("evaluate expression --model expression --corpus corpus --split tst", ["'tst'", "test"]),
    "other truth": ("evaluate velocity --model velocity --corpus corpus --truth a/targets.h5ad", ["truth"]),
    "other truths": ("evaluate trajectory --model trajectory --corpus corpus --truth a/truth.h5ad", ["truth"]),
    "no device": ("velocity cells.h5ad --model velocity --device gpu7", ["gpu7", "cpu"]),
    "no device to embed": ("pretrain --corpus corpus --config training.yaml --device gpu7", ["gpu7", "cpu"]),
    "no device to tune": ("finetune expression --model encoder --corpus corpus --device gpu7", ["gpu7", "cpu"]),
    "mode": (
        "finetune velocity --model encoder --corpus corpus --targets a/targets.h5ad --mode all",
        ["'all'", "none"],
    ),
    "targets of no training study": (
        "finetune velocity --model encoder --corpus corpus --targets t/targets.h5ad",
        ["training"],
    ),
    "study": ("corpus export corpus --study nowhere", ["'nowhere'", "study_a"]),
    "teacher": ("targets --teacher velvet --counts a/counts.h5ad", ["velvet", "scvelo_stochastic"]),
    "teacher without truth": ("targets --teacher truth --counts a/counts.h5ad", ["--truth"]),
    "transitions of nothing": ("transitions --study s", ["--truth", "--counts"]),
    "teacher of transitions": (
        "transitions --study s --counts a/counts.h5ad --teacher x",
        ["'x'", "scvelo_stochastic"],
    ),
    "same file twice": ("corpus build a/counts.h5ad a/counts.h5ad", ["Sample a"]),
    "truth twice": ("targets --teacher truth --truth a/truth.h5ad --truth a/truth.h5ad", ["truth.h5ad"]),
    "held-out study": ("corpus build a/counts.h5ad --min-counts 1 --test-study nowhere", ["'nowhere'"]),
    "filter too strict": ("corpus build a/counts.h5ad --min-counts 99999999", ["99999999"]),
    "cell type": ("import cells.h5ad --cell-type type", ["cells.h5ad", "'type'"]),
    "cells and calling": ("import cells.h5ad --cells cells.tsv --call-cells knee", ["--cells"]),
    "nothing to compare": ("concord --counts a=a/counts.h5ad", ["--truth"]),
    "no name": ("concord --counts a/counts.h5ad --counts v=v/counts.h5ad", ["NAME="]),
    "preset": ("simulate --preset huge", ["huge", "tiny"]),
    "part of a preset": ("simulate --preset tiny --only nowhere", ["nowhere"]),
    "chemistry": ("whitelist 10xv9", ["10xv9", "10xv3"]),
    "chemistry without list": ("whitelist 10xv3_5p", ["whitelist"]),
    "scheme": ("fetch ftp://host/file", ["ftp://host/file", "s3://"]),
    "cells of few UMIs": ("cells --bam reads.bam --min-umis 99", ["reads.bam", "99"]),
    "read without chemistry": ("fetch reads.fastq --read 1", ["--chemistry"]),
    "swapped reads": ("fetch reads.fastq --chemistry 10xv3 --read 2", ["reads.fastq", "swapped"]),
    "group": ("corpus shard a/counts.h5ad --vocab other.feather --group g00000 --min-counts 1", ["vocabulary"]),
}


@pytest.mark.parametrize(("line", "words"), WRONG_MODELS.values(), ids=WRONG_MODELS)
def test_things_that_do_not_go_together(tmp_path, project, monkeypatch, refused, line, words):
    monkeypatch.chdir(project)
    if "other.feather" in line:
        make_vocabulary(tmp_path / "other.feather")
        line = line.replace("other.feather", f"{tmp_path}/other.feather")
    out = "--out-dir" if line.startswith("corpus shard") else "--out"
    refused(f"{line.format(tmp=tmp_path)} {out} {tmp_path}/out", *words)
    assert not (tmp_path / "f.png").exists()


def make_vocabulary(path):
    columns = {"token": [0], "gene_id": ["ENSG00000099999"], "symbol": ["X"], "organism": ["human"]}
    feather.write_feather(pa.table(columns), path)


TUNING = {
    "expression": "finetune expression --model {model} --corpus corpus",
    "velocity": "finetune velocity --model {model} --corpus corpus --targets a/targets.h5ad",
    "trajectory": "finetune trajectory --model {model} --corpus corpus --transitions pairs.feather",
    "evaluate expression": "evaluate expression --model {model} --corpus corpus",
    "evaluate velocity": "evaluate velocity --model {model} --corpus corpus --truth t/targets.h5ad",
    "evaluate trajectory": "evaluate trajectory --model {model} --corpus corpus --truth t/truth.h5ad",
}


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """Models of a corpus with another vocabulary."""
    from corpus_makers import HUMAN, make_corpus, make_counts

    from velocorpus.corpus.reader import Corpus

    folder = tmp_path_factory.mktemp("strangers")
    inputs = [make_counts(folder, "z", n_cells=12, genes=HUMAN[50:80])]
    with working_in(folder):
        make_models(Corpus(make_corpus(folder / "corpus", inputs)))
    return folder


@pytest.mark.parametrize("name", TUNING)
def test_model_and_corpus_of_different_vocabularies(tmp_path, project, strangers, monkeypatch, refused, name):
    monkeypatch.chdir(project)
    model = strangers / (name.split()[1] if " " in name else "encoder")
    refused(f"{TUNING[name].format(model=model)} --out {tmp_path}/out", "genes", "corpus")


def test_verify_of_another_corpus(project, strangers, refused):
    refused(f"verify {strangers}/encoder {project}/corpus", "was trained on")


def test_damaged_models(tmp_path, project, refused):
    for name in ("config.json", "model.safetensors", "genes.feather", "training.json"):
        for number, text in enumerate((None, "", '{"a": ', "[]")):
            model = tmp_path / f"m{number}{name}"
            shutil.copytree(project / "velocity", model)
            (model / name).unlink()
            if text is not None:
                (model / name).write_text(text)
            refused(f"velocity {project}/cells.h5ad --model {model} --out {tmp_path}/out", name)


def test_damaged_corpora(tmp_path, project, refused):
    for name in ("manifest.json", "genes.feather", "samples.feather", "shards/g00000.train.feather"):
        for number, text in enumerate((None, "", "[]")):
            corpus = tmp_path / f"c{number}{name.replace('/', '')}"
            shutil.copytree(project / "corpus", corpus)
            (corpus / name).unlink()
            if text is not None:
                (corpus / name).write_text(text)
            refused(f"corpus verify {corpus}", name)
            if name == "manifest.json" or name.startswith("shards"):
                refused(f"corpus export {corpus} --split train --out {tmp_path}/out", name)


def test_a_flipped_bit_in_a_shard(tmp_path, project, refused):
    shutil.copytree(project / "corpus", tmp_path / "corpus")
    shard = tmp_path / "corpus/shards/g00000.train.feather"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    refused(f"corpus verify {tmp_path}/corpus", "g00000.train.feather", "sha256")


def test_a_refused_addition_leaves_the_corpus_whole(tmp_path, project, refused, velocorpus):
    from corpus_makers import make_counts

    shutil.copytree(project / "corpus", tmp_path / "corpus")
    new = make_counts(tmp_path, "n", n_cells=12, genes=GENES)
    refused(f"corpus add {tmp_path}/corpus {new} --test-study nowhere", "'nowhere'")
    refused(f"corpus add {tmp_path}/corpus {project}/a/counts.h5ad", "a")
    assert velocorpus("corpus", "verify", tmp_path / "corpus").returncode == 0


SERVED = {"/good.gz": gzip.compress(b"ACGT" * 99), "/cut.gz": gzip.compress(b"ACGT" * 9999)[:-30], "/none.gz": b""}


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = SERVED.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("file", "more", "words"),
    [
        ("absent.gz", "", ["404"]),
        ("cut.gz", "", ["cut short"]),
        ("none.gz", "", ["empty"]),
        ("good.gz", "--md5 " + "0" * 32, ["MD5", "0" * 32]),
        ("good.gz", "--md5 wrong", ["MD5", "wrong"]),
        ("good.gz", "--chemistry 10xv3 --read 1", ["FASTQ"]),
    ],
)
def test_fetching(tmp_path, address, refused, file, more, words):
    refused(f"fetch {address}/{file} --out {tmp_path}/out {more}", file, *words)
    assert not list(tmp_path.iterdir())
