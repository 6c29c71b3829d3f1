"""Pretraining of the encoder on a corpus' training studies, from the folder of a corpus to a model directory."""

from pathlib import Path
from typing import Any

import torch

from velocorpus import __version__
from velocorpus.config import ModelConfig, PretrainConfig
from velocorpus.corpus.reader import Corpus
from velocorpus.data.batch import CellBatch
from velocorpus.errors import UserMistake
from velocorpus.model.flops import flops_per_cell
from velocorpus.model.pretrained import save_pretrained
from velocorpus.model.start import start_genes
from velocorpus.training.checkpoint import checkpoints, finish, open_work, say
from velocorpus.training.chunks import GlobalBatches, chunk_size
from velocorpus.training.components import gene_components
from velocorpus.training.gradients import Gradients
from velocorpus.training.loop import Schedule, train
from velocorpus.training.objective import Pretraining
from velocorpus.training.ranks import World
from velocorpus.training.sharding import shard, whole
from velocorpus.training.validation import validate, validation_batches, warning


def flop_of(model: ModelConfig, batch: CellBatch) -> float:
    """Operations of a training step of the encoder on these cells, as if all had the mean number of genes."""
    genes = {m: len(batch.layers[m].genes_T) // len(batch) for m in model.modalities if m in batch.layers}
    return len(batch) * flops_per_cell(model, genes, backward=True)


def pretrain(
    corpus_dir: Path | str,
    model: ModelConfig,
    pretrain: PretrainConfig,
    out: Path | str,
    *,
    resume: bool = False,
    world: World | None = None,
    board: Path | None = None,
) -> None:
    """Pretrain an encoder on a corpus and write its directory to `out`, which appears only when it is whole.

    With `resume` a run that was killed goes on from its last checkpoint in `out`.partial, to the same bits on a
    CPU, and a finished one is left as it is. Every rank of `world` (default: this process, on the CPU) calls this.
    `board` is a folder for TensorBoard.
    """
    world = world or World()
    weigh = (pretrain.contrastive_weight, pretrain.contrastive_weight_end)
    if not any((*weigh, pretrain.masked_weight, pretrain.masked_weight_end)):
        raise UserMistake("contrastive_weight and masked_weight are both 0: give at least one of them a weight.")
    corpus = Corpus(corpus_dir)
    chunk_cells = chunk_size(pretrain.batch_cells, pretrain.chunk_cells, world)
    bfloat16 = pretrain.precision == "bfloat16" or (pretrain.precision == "auto" and world.device.type == "cuda")
    # What the numbers depend on, resolved; the number of ranks and where weights lie are none of it.
    resolved = {"chunk_cells": chunk_cells, "precision": "bfloat16" if bfloat16 else "float32"}
    asked = pretrain.model_dump(mode="json", exclude={"shard"})
    config = {"model": model.model_dump(mode="json"), "pretrain": asked | resolved}
    run = {"kind": "encoder", "corpus_digest": corpus.digest, "code_version": __version__, "config": config}
    folder = world.from_first(open_work(out, run, resume=resume) if world.rank == 0 else None)
    if folder is None:
        say(f"pretrain: {out} is finished, nothing to be done")
        return
    tokens: dict[str, Any] = {
        "modalities": model.modalities,
        "max_genes": model.max_genes,
        "truncation": model.truncation,
    }
    torch.manual_seed(pretrain.seed)
    module = Pretraining(model, pretrain, corpus.genes)
    if pretrain.start == "components" and not checkpoints(folder):
        genes = (corpus, model.modalities, model.d_model)
        genes_GD = torch.empty(0) if world.rank else gene_components(*genes, seed=pretrain.seed)
        start_genes(module.encoder, world.from_first(genes_GD))
    n_parameters = sum(p.numel() for p in module.encoder.parameters())
    if pretrain.compile:
        module.encoder.compile(dynamic=True)
    sharded = pretrain.shard and world.size > 1
    if sharded:
        shard(module, [*module.encoder.embeddings.values(), *module.encoder.blocks], world)
    module.to(world.device)
    batches = GlobalBatches(
        corpus,
        "train",
        of_one_study=pretrain.batches == "study",
        batch_cells=pretrain.batch_cells,
        chunk_cells=chunk_cells,
        seed=pretrain.seed,
        world=world,
        **tokens,
    )
    judges = world.rank == 0 or sharded  # a sharded model is gathered by all ranks at once
    held_out = validation_batches(corpus, min(pretrain.batch_cells, chunk_cells), tokens) if judges else []
    if world.rank == 0 and not held_out:
        say("pretrain: the corpus has no validation cells, so nothing is validated")

    def watch(step: int, values: dict[str, float]) -> None:
        if step > pretrain.warmup_steps and (step % pretrain.validate_steps == 0 or step == pretrain.steps):
            said = warning(values, sum(map(len, held_out)))
            if said:
                say(f"pretrain: warning: step {step}: {said}")

    metrics = train(
        module,
        batches,
        Gradients(module, seed=pretrain.seed, world=world, bfloat16=bfloat16),
        Schedule.of(pretrain),
        folder,
        validate=(lambda: validate(module, held_out, world.device)) if held_out else None,
        watch=watch,
        world=world,
        board=board,
        flop=lambda chunks: sum(flop_of(model, part) for part in chunks.parts),
        name="pretrain",
        shown=("loss", "contrastive", "masked", "validation_loss", "validation_retrieval_rank"),
    )
    weights = whole(module.state_dict(), keep=world.rank == 0) if sharded else {}
    if world.rank:
        return
    if sharded:
        module = Pretraining(model, pretrain, corpus.genes)
        module.load_state_dict(weights)
    parts = {"encoder": module.encoder, "contrast": module.contrast, "masked": module.masked}
    training = {**run, "metrics": metrics, "n_parameters": n_parameters}
    save_pretrained(folder / "model", parts, {"kind": "encoder", "encoder": config["model"]}, corpus.genes, training)
    finish(folder, out)
