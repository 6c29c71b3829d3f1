"""Real human gene names for simulated genes, each with kinetic rates of its own that every study shares.

`human_genes.tsv` holds 2,000 Ensembl ids and symbols of 10x Genomics' public list GRCh38-2020-A (36,601
genes, in genome order), chosen by rule and not by hand: genes whose symbol is letters, digits and hyphens
beginning with a letter, that are not mitochondrial and not of a family that names non-coding RNA or predicted
loci (LINC, MIR, SNOR, RNU, RPL/RPS pseudogenes, `LOC`, `-AS1`, `-DT`, `-IT`, `C1orf1`-like; clone names such
as AL627309.1 fall to the dot); of those, every n-th in list order so that 2,000 are evenly spaced. Which of
them a study of n genes uses follows from a hash of the id too (`choose`), so that small presets share their
genes with large ones.

The rates are invented (no measurement of these genes): what is true of them is only that a gene keeps them.
"""

import hashlib
from functools import cache
from importlib import resources
from statistics import NormalDist

import numpy as np
import pandas as pd

from velocorpus import names
from velocorpus.errors import UserMistake

# Medians and log-sds of the population of genes. Splicing with a half-life of 42 minutes and degradation with
# one of 2.8 hours leave γ/(β+γ) ≈ 0.2 of a gene's molecules unspliced at rest.
ALPHA_MEDIAN, ALPHA_LOG_SD = 4.0, 1.2  # molecules per hour and cell, when the gene is fully on
BETA_MEDIAN, BETA_LOG_SD = 1.0, 0.5  # 1/hour
GAMMA_MEDIAN, GAMMA_LOG_SD = 0.25, 0.5  # 1/hour
AMBIGUOUS_MEAN = 0.06  # share of a gene's molecules whose reads fit both a spliced and an unspliced molecule


@cache
def _all() -> pd.DataFrame:
    with resources.files("velocorpus.simulate").joinpath("human_genes.tsv").open(encoding="utf-8") as handle:
        return pd.read_csv(handle, sep="\t", index_col=names.GENE_ID)


def choose(n_genes: int) -> pd.DataFrame:
    """The first `n_genes` genes by hash, in list order, with their rates.

    Returns a table indexed by gene id with `symbol`, `alpha_scale` (molecules/hour), `beta` and `gamma`
    (1/hour) and `ambiguous_share` (0 to 1). Refuses more genes than the list has.
    """
    genes = _all()
    if not 1 <= n_genes <= len(genes):
        raise UserMistake(f"{n_genes} simulated genes were asked for; the list has 1 to {len(genes)}.")
    rank = np.argsort([_digest("choose", gene) for gene in genes.index], kind="stable")
    chosen = genes.iloc[np.sort(rank[:n_genes])]
    return chosen.join(rates(list(chosen.index)))


def rates(gene_ids: list[str]) -> pd.DataFrame:
    """Kinetic rates of genes: a SHA-256 of the id gives uniform numbers, their quantiles the log-rates.

    No random generator is involved, so that a gene's rates stay the same whatever version of numpy draws the
    rest.
    """
    rows = [_rates(gene) for gene in gene_ids]
    index = pd.Index(gene_ids, dtype=object, name=names.GENE_ID)
    return pd.DataFrame(rows, columns=["alpha_scale", "beta", "gamma", "ambiguous_share"], index=index)


def _rates(gene: str) -> tuple[float, float, float, float]:
    digest = _digest("rates", gene)
    uniforms = [(int.from_bytes(digest[i : i + 6], "big") + 0.5) / 2**48 for i in (0, 6, 12, 18)]
    z = [NormalDist().inv_cdf(u) for u in uniforms]
    return (
        ALPHA_MEDIAN * float(np.exp(ALPHA_LOG_SD * z[0])),
        BETA_MEDIAN * float(np.exp(BETA_LOG_SD * z[1])),
        GAMMA_MEDIAN * float(np.exp(GAMMA_LOG_SD * z[2])),
        2 * AMBIGUOUS_MEAN * uniforms[3],
    )


def _digest(purpose: str, gene: str) -> bytes:
    return hashlib.sha256(f"velocorpus simulate {purpose} 1: {gene}".encode()).digest()
