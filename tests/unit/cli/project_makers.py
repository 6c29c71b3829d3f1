"""One folder with a good input of every kind, named as in a user's project."""

from contextlib import contextmanager

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from bam_makers import ReadSpec, transcript_lines, write_bam
from corpus_makers import HUMAN, make_corpus, make_counts

from velocorpus.config import ModelConfig
from velocorpus.corpus.building.totals import sample_totals
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.reader import Corpus
from velocorpus.counting.counts_file import read_counts
from velocorpus.data.pairs import N_FEATURES
from velocorpus.data.targets import StudyTargets
from velocorpus.data.transitions import SCHEMA, write_transitions
from velocorpus.evaluation.table import Table
from velocorpus.files import write_text
from velocorpus.model.expression import ExpressionDecoder
from velocorpus.model.pretrained import save_pretrained
from velocorpus.model.trajectory import TrajectoryDecoder
from velocorpus.model.velocity import VelocityDecoder
from velocorpus.model.zorro import Zorro
from velocorpus.velocity.targets import write_targets

GENES = HUMAN[:40]
N_CELLS = 90
ENCODER = ModelConfig(d_model=16, n_layers=1, n_heads=2, n_fusion=2, max_genes=32)
TRAINING = """
model: {d_model: 16, n_layers: 1, n_heads: 2, n_fusion: 2, max_genes: 32}
pretrain: {steps: 1, batch_cells: 8, warmup_steps: 0}
finetune:
  expression: {steps: 1, batch_cells: 8, warmup_steps: 0}
  velocity: {steps: 1, batch_cells: 8, warmup_steps: 0}
  trajectory: {steps: 1, batch_cells: 8, warmup_steps: 0}
"""


@contextmanager
def working_in(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


def make_project(folder):
    lines = transcript_lines("ENSG00000000003", "T1", [(101, 300), (401, 600)])
    gene = lines.splitlines()[0].replace("\texon\t101\t300\t", "\tgene\t101\t600\t")
    gene = gene.replace("gene_id", 'gene_type "protein_coding"; gene_id')
    write_text("genes.gtf", gene + "\n" + gene.replace("\tgene\t", "\ttranscript\t") + "\n" + lines)
    write_text("genome.fa", ">1\n" + "ACGT" * 300 + "\n")
    write_text("cells.tsv", "AAAACCCC-1\n")
    write_bam(folder / "reads.bam", [ReadSpec(150, "90M"), ReadSpec(330, "40M", umi="CCCC")])
    write_text("reads.fastq", "@r\nACGT\n+\nFFFF\n")
    write_text("whitelist.txt", "ACGTACGTACGTACGT\n")
    write_text("gene_table.tsv", "gene_id\tsymbol\n" + "".join(f"{g}\tG{i}\n" for i, g in enumerate(GENES)))
    header = "sample\tstudy\torganism\tquantifier\treference\tchemistry\n"
    write_text("samples.tsv", header + "".join(f"{s}\tstudy_{s}\thuman\tbam\tref\t10xv3\n" for s in "avt"))
    write_text("units.tsv", "sample\tunit\tpath\n" + "".join(f"{s}\tu\treads.bam\n" for s in "avt"))
    write_text("references.tsv", "reference\torganism\tfasta\tgtf\nref\thuman\tgenome.fa\tgenes.gtf\n")
    write_text("training.yaml", TRAINING)
    write_text("config.yaml", "training: training.yaml\n")
    inputs = [make_counts(folder, s, seed=i, n_cells=N_CELLS, genes=GENES) for i, s in enumerate("avt")]
    for path in inputs:
        sample_totals(path, min_counts=1).write(path.parent / "totals.feather")
    corpus = Corpus(make_corpus(folder / "corpus", inputs, splits=Splits(("study_v",), ("study_t",))))
    corpus.genes.as_vocabulary().write("vocab.feather")
    make_cells()
    for sample in "at":
        make_truth(sample)
    ids = read_counts("a/counts.h5ad").obs_names.tolist()
    pairs = {
        "cell_id": ids[:-1],
        "next_id": ids[1:],
        "study": ["study_a"] * (N_CELLS - 1),
        "step": [0.1] * (N_CELLS - 1),
    }
    write_transitions("pairs.feather", SCHEMA.empty_table().from_pydict(pairs, schema=SCHEMA))
    make_models(corpus)
    Table("T", ("a",), ((1,),), "").write("table.json")
    write_text("metrics.jsonl", '{"step": 1, "split": "train", "loss": 1.0}\n')


def make_cells(path="cells.h5ad", **changes):
    """An analyst's file: raw layers, Ensembl ids."""
    rng = np.random.default_rng(0)
    counts = {name: rng.poisson(1.0, (40, len(GENES))).astype(np.float32) for name in ("spliced", "unspliced")}
    adata = ad.AnnData(
        obs=pd.DataFrame(index=[f"c{i}" for i in range(40)]), var=pd.DataFrame(index=GENES), layers=counts
    )
    for key, value in changes.items():
        if key == "var_names":
            adata.var_names = value
        else:
            adata.layers[key] = value
    adata.write_h5ad(path)


def make_truth(sample):
    counts = read_counts(f"{sample}/counts.h5ad")
    rng = np.random.default_rng(0)
    velocity = rng.normal(size=counts.shape).astype(np.float32)
    truth = ad.AnnData(
        obs=pd.DataFrame(
            {"pseudotime": np.linspace(0, 10, counts.n_obs), "branch": "trunk", "stationary": False},
            index=counts.obs_names,
        ),
        var=counts.var[[]],
        layers={"velocity": velocity, **{name: counts.layers[name] for name in ("spliced", "unspliced", "ambiguous")}},
        uns={"velocorpus": {"kind": "simulated_truth", "study": f"study_{sample}", "topology": "linear"}},
    )
    truth.write_h5ad(f"{sample}/truth.h5ad")
    targets = StudyTargets("truth", list(counts.obs_names), GENES, velocity, np.ones(len(GENES), np.float32))
    write_targets(f"{sample}/targets.h5ad", targets)


def make_models(corpus):
    torch.manual_seed(0)
    n = len(corpus.genes)
    encoder = Zorro(ENCODER, n)
    decoders = {
        "expression": ExpressionDecoder(n, 16),
        "velocity": VelocityDecoder(n, 16, mode="neighbours"),
        "trajectory": TrajectoryDecoder(n, 16, N_FEATURES),
    }
    for kind in ("encoder", *decoders):
        config = {"kind": kind, "encoder": ENCODER.model_dump(), "decoder": {"mode": "neighbours"}}
        modules = {"encoder": encoder} | ({"decoder": decoders[kind]} if kind in decoders else {})
        training = {"corpus_digest": corpus.digest, "config": {"pretrain": {"start": "components"}}}
        save_pretrained(kind, modules, config, corpus.genes, training)
