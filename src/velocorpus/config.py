"""The typed configuration: one frozen model per section, unknown keys refused with the nearest valid one.

Defaults live here and nowhere else. `config/README.md` and `workflow/schemas/config.schema.json` are generated from
this module, and a test fails when they drift.
"""

import difflib
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.files import existing, open_text


class Section(BaseModel):
    """A part of the configuration: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FetchConfig(Section):
    """How files come here. How many come at once is the profile's to say: `resources: downloads`."""

    parallel: int = Field(4, ge=1, le=64, description="Connections for one file, where its host takes ranges.")
    retries: int = Field(5, ge=0, description="More tries in a row after a transfer broke.")
    timeout_s: float = Field(60.0, gt=0, description="Seconds without bytes after which a connection is broken.")
    proxy: str | None = Field(None, description="An HTTP proxy; empty: HTTPS_PROXY and its kin.")
    mirrors: tuple[tuple[str, str], ...] = Field(
        (), description="Pairs [beginning of an address, what to put in its place], tried in order, the address last."
    )
    s3_endpoint: str | None = Field(None, description="Address of a store that speaks S3; empty: Amazon's.")
    s3_unsigned: bool = Field(False, description="Whether S3 is asked without credentials.")
    s3_requester_pays: bool = Field(False, description="Whether you pay for what you take from S3.")


class ResolveConfig(Section):
    """Where `velocorpus resolve` looks accessions up; the workflow itself never does."""

    ena_url: str = Field("https://www.ebi.ac.uk/ena/portal/api", description="ENA's portal API, or a mirror of it.")
    ncbi_url: str = Field(
        "https://eutils.ncbi.nlm.nih.gov/entrez/eutils", description="NCBI's E-utilities, or a mirror of them."
    )


class ReadsQcConfig(Section):
    """What reads must show before they are aligned; a sample that fails is set aside with its reason."""

    enabled: bool = Field(True, description="Whether reads are checked against the tables and these limits.")
    min_valid_barcodes: float = Field(0.4, ge=0, le=1, description="Share of barcodes on the chemistry's list.")
    max_poly_t: float = Field(0.5, ge=0, le=1, description="Share of cDNA reads, and of UMIs, that are tracts of T.")
    min_mapped: float = Field(
        0.02, ge=0, le=1, description="Share of cDNA reads that match an exon of any reference; lower it for a piece."
    )
    max_shared: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of its molecules that a sample may have in common with a row above it; 1: samples are not "
        "compared, so none waits for the reads of others.",
    )
    sketch_reads: int = Field(
        10_000_000, ge=0, description="Reads of each lane that are sketched to find duplicates; 0: all of them."
    )


class QuantifyConfig(Section):
    """How reads become counts or a tagged BAM."""

    count_engine: Literal["native", "velocyto"] = Field(
        "native", description="What counts a BAM: ours, or velocyto itself (slow, sorts a copy of the BAM)."
    )
    bam_min_umis: int | None = Field(
        None,
        ge=1,
        description="A BAM given without a list of cells: barcodes with this many UMIs are cells; empty: the knee.",
    )
    kb_cells: Literal["emptydrops", "knee"] = Field(
        "emptydrops",
        description="What calls the cells of kb's raw counts; EmptyDrops needs empty droplets to learn from: the knee "
        "decides where there are not 45,000 barcodes.",
    )
    cellranger: str = Field("cellranger", description="Your own licensed Cell Ranger: the command or its path.")


class CutsConfig(Section):
    """Further bounds on cells, none of them the source paper's; a cell whose value is not known passes."""

    min_unspliced_fraction: float | None = Field(
        None,
        ge=0,
        le=1,
        description="A cell is kept when unspliced / (spliced + unspliced) reaches this.",
    )
    max_unspliced_fraction: float | None = Field(
        None, ge=0, le=1, description="A cell is kept when that share is not above this."
    )
    max_mitochondrial_fraction: float | None = Field(
        None, ge=0, le=1, description="A cell is kept when its share of mitochondrial counts is not above this."
    )
    max_doublet_score: float | None = Field(
        None, ge=0, le=1, description="A cell is kept when its score is not above this; needs `cells.score_doublets`."
    )


class CellsConfig(Section):
    """The source paper's filter: cells first, then genes."""

    min_counts: int = Field(1000, ge=0, description="A cell is kept when its spliced counts reach this number.")
    min_gene_counts: int = Field(
        1001,
        ge=0,
        description="A gene is kept when its spliced counts over the kept cells reach this number (paper: > 1000).",
    )
    score_doublets: bool = Field(
        False,
        description="Whether Scrublet scores each sample's cells; the score is a column and cuts nothing.",
    )
    cuts: CutsConfig = Field(CutsConfig(), description="Further bounds on cells.")


class CorpusConfig(Section):
    """Shards and splits."""

    vocab: str | None = Field(
        None, description="A vocabulary table; without one, gene tokens are frozen by this build's totals."
    )
    group_samples: int = Field(32, ge=1, description="Samples in one shard group (one Feather file per split).")
    seed: int = Field(0, description="Shuffles the cells within a shard.")
    validation_studies: tuple[str, ...] = Field((), description="Studies held out for validation.")
    test_studies: tuple[str, ...] = Field((), description="Studies held out for the final judgement.")
    hold_out: tuple[str, ...] = Field(
        (),
        description="Whole studies held out by a column of samples.tsv, say `test:tissue=lung` or "
        "`validation:organism=mouse`; the corpus keeps these rules for what is added later.",
    )


class ModelConfig(Section):
    """The Zorro encoder (config/models/*.yaml)."""

    name: str = Field("tiny", description="A name for tables and files.")
    modalities: tuple[str, ...] = Field(
        (names.SPLICED, names.UNSPLICED), description="Layers that are modalities of their own."
    )
    d_model: int = Field(64, ge=8, description="Model dimension.")
    n_layers: int = Field(2, ge=1, description="Transformer blocks.")
    n_heads: int = Field(4, ge=1, description="Attention heads.")
    n_fusion: int = Field(6, ge=1, description="Fusion tokens; 6 was best in the Zorro paper.")
    mlp_ratio: float = Field(4.0, gt=0, description="Hidden width of the MLPs over d_model.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout in attention and MLPs.")
    max_genes: int = Field(2048, ge=1, description="Tokens of one modality in one cell; more are cut by `truncation`.")
    truncation: Literal["top", "sample"] = Field(
        "top", description="Which genes stay: the highest counts, or a weighted sample."
    )
    unknown_rate: float = Field(
        0.02, ge=0, lt=1, description="Share of gene embeddings replaced by *unknown* in training."
    )
    attention: Literal["auto", "sdpa", "flash", "flex"] = Field(
        "auto", description="Kernels of the attention; auto takes flash on CUDA with 16-bit numbers, else sdpa."
    )
    checkpoint_blocks: bool = Field(
        False, description="Compute each block again in the backward pass instead of keeping what it made: less memory."
    )


class PretrainConfig(Section):
    """Contrastive and masked-expression pretraining."""

    steps: int = Field(300, ge=1, description="Optimiser steps.")
    batch_cells: int = Field(128, ge=2, description="Cells in one step, over all processes.")
    chunk_cells: int | None = Field(
        None,
        ge=1,
        description="Cells encoded at a time; the contrast is over the whole batch nevertheless, so this bounds memory "
        "(one more forward pass). Given, results do not depend on the number of processes; empty: each one's share.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Numbers of the encoder; auto: bfloat16 on a GPU, float32 on a CPU. Losses are float32."
    )
    compile: bool = Field(False, description="Whether torch.compile makes the encoder's kernels.")
    shard: bool = Field(
        False,
        description="Whether several processes share out weights and moments (FSDP), for what no GPU holds whole.",
    )
    lr_peak: float = Field(1e-3, gt=0, description="Learning rate after warm-up.")
    warmup_steps: int = Field(30, ge=0, description="Steps of linear warm-up; cosine decay follows.")
    weight_decay: float = Field(0.05, ge=0, description="AdamW weight decay.")
    clip_norm: float = Field(1.0, gt=0, description="Gradient norm is clipped here.")
    contrastive_weight: float = Field(1.0, ge=0, description="Weight of InfoNCE; 0 switches it off.")
    contrastive_weight_end: float | None = Field(
        None, ge=0, description="Its weight after `weight_steps` steps, on a straight line; empty: it stays."
    )
    masked_weight: float = Field(1.0, ge=0, description="Weight of masked expression; 0 switches it off.")
    masked_weight_end: float | None = Field(None, ge=0, description="As `contrastive_weight_end`.")
    weight_steps: int = Field(
        1000, ge=1, description="Steps until both losses have their weight at the end, which validation has throughout."
    )
    batches: Literal["study", "mixed"] = Field(
        "study",
        description="Each batch of one study, so that telling studies apart wins no contrast; or of all.",
    )
    mask_rate: float = Field(0.15, gt=0, lt=1, description="Share of a cell's genes whose values are hidden.")
    thin_least: float = Field(
        1.0,
        gt=0,
        le=1,
        description="In training each layer of a cell keeps a random share of its molecules, between this and 1, so "
        "that depth does not tell which views belong together; 1 keeps all.",
    )
    start: Literal["components", "random"] = Field(
        "components",
        description="How gene embeddings start: as components in which cells of the training studies vary, or random.",
    )
    seed: int = Field(0, description="Weights, masks and the order of cells.")
    checkpoint_steps: int = Field(100, ge=1, description="A checkpoint every so many steps.")
    keep_checkpoints: int = Field(2, ge=1, description="Older checkpoints are removed.")
    diverged_at: float = Field(
        10.0, gt=1, description="A loss this many times the first step's (taken as 1 if lower) stops the run."
    )
    validate_steps: int = Field(50, ge=1, description="A pass over held-out cells every so many steps.")


class FinetuneConfig(Section):
    """Fine-tuning of one decoder."""

    steps: int = Field(300, ge=1, description="Optimiser steps.")
    batch_cells: int = Field(64, ge=1, description="Cells in one step.")
    lr_peak: float = Field(1e-3, gt=0, description="Learning rate after warm-up.")
    warmup_steps: int = Field(30, ge=0, description="Steps of linear warm-up; cosine decay follows.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay.")
    clip_norm: float = Field(1.0, gt=0, description="Gradient norm is clipped here.")
    train_encoder: bool = Field(False, description="Whether the encoder's weights move too.")
    seed: int = Field(0, description="Weights, masks and the order of cells.")


class DecodersConfig(Section):
    """Fine-tuning of the three decoders."""

    expression: FinetuneConfig = Field(FinetuneConfig(), description="Expression decoder.")
    velocity: FinetuneConfig = Field(FinetuneConfig(), description="Velocity decoder.")
    trajectory: FinetuneConfig = Field(FinetuneConfig(), description="Generative (trajectory) decoder.")


class TrainingConfig(Section):
    """What is trained and how: one file of config/models."""

    model: ModelConfig = Field(ModelConfig(), description="The encoder.")
    pretrain: PretrainConfig = Field(PretrainConfig(), description="Pretraining of the encoder.")
    finetune: DecodersConfig = Field(DecodersConfig(), description="Fine-tuning of the decoders.")


class SimulateConfig(Section):
    """Simulated studies made by the workflow itself."""

    preset: str | None = Field(
        None,
        description="A preset of `velocorpus simulate` whose files the tables name; empty: no simulation.",
    )


class TargetsConfig(Section):
    """Where the velocity decoder's targets come from."""

    teacher: Literal["scvelo_stochastic", "scvelo_dynamical"] = Field(
        "scvelo_stochastic", description="scVelo's mode for studies whose true velocities are not known."
    )
    use_truth: bool = Field(True, description="Whether a study whose samples all have `truth` is taught by its truth.")


class EvaluateConfig(Section):
    """What the report compares."""

    scvelo: tuple[Literal["scvelo_stochastic", "scvelo_dynamical"], ...] = Field(
        ("scvelo_stochastic",), description="Modes of scVelo that the velocity decoder is compared with."
    )
    velocity_studies: tuple[str, ...] = Field(
        (), description="Studies whose velocities are written as AnnData; empty: the test studies."
    )
    trajectory_study: str | None = Field(
        None, description="The study of the trajectory figure; empty: the first test study."
    )
    trajectory_steps: int = Field(20, ge=1, description="Steps of each generated trajectory.")


class WorkflowConfig(Section):
    """config.yaml. Its paths are relative to the file itself; paths in the tables, to the folder of the run."""

    samples: str = Field("samples.tsv", description="Table of libraries.")
    units: str = Field("units.tsv", description="Table of the libraries' files.")
    references: str = Field("references.tsv", description="Table of genomes and their genes.")
    training: str = Field("models/tiny.yaml", description="Model and training, a file of config/models.")
    pretrain_processes: int = Field(1, ge=1, description="Processes that pretrain together on one machine: one a GPU.")
    simulate: SimulateConfig = Field(SimulateConfig(), description="Simulated studies.")
    resolve: ResolveConfig = Field(ResolveConfig(), description="Accessions to rows of the tables.")
    fetch: FetchConfig = Field(FetchConfig(), description="Files from elsewhere.")
    reads_qc: ReadsQcConfig = Field(ReadsQcConfig(), description="Reads before they are aligned.")
    quantify: QuantifyConfig = Field(QuantifyConfig(), description="Reads to counts.")
    cells: CellsConfig = Field(CellsConfig(), description="Filter of cells and genes.")
    corpus: CorpusConfig = Field(CorpusConfig(), description="Shards and splits.")
    targets: TargetsConfig = Field(TargetsConfig(), description="Targets of the velocity decoder.")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="Comparisons of the report.")


AnySection = TypeVar("AnySection", bound=Section)


def parse(section: type[AnySection], values: dict[str, Any] | None, where: str) -> AnySection:
    """Check `values` against a section; every mistake names its key, and an unknown key its nearest valid one."""
    try:
        return section.model_validate(values or {})
    except ValidationError as error:
        raise UserMistake(f"{where}: " + "; ".join(_explain(section, e) for e in error.errors()) + ".") from None


def load(section: type[AnySection], path: Path | str) -> AnySection:
    """Read a YAML file as one section."""
    try:
        with open_text(existing(path, "configuration")) as text:
            values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserMistake(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    if values is None:
        raise UserMistake(f"{path} is empty; name at least one key, or write {{}} where every default is meant.")
    if not isinstance(values, dict):
        raise UserMistake(f"{path} must hold `key: value` pairs, it holds a {type(values).__name__}.")
    return parse(section, values, str(path))


def _explain(section: type[BaseModel], error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"'{where}': {error['msg'].lower()} (got {error['input']!r})"
    inside: Any = section
    for part in error["loc"][:-1]:
        inside = inside.model_fields[part].annotation
    near = difflib.get_close_matches(str(error["loc"][-1]), inside.model_fields, n=1, cutoff=0)
    return f"'{where}' is not a key; the nearest valid one is '{near[0]}'"
