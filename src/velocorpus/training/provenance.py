"""What a fine-tuning was made from: told by its `run.json`, checked when it is resumed, kept in its `training.json`."""

from typing import Any

from velocorpus import __version__
from velocorpus.config import FinetuneConfig
from velocorpus.corpus.reader import Corpus
from velocorpus.model.pretrained import Pretrained


def finetuning(
    kind: str, pretrained: Pretrained, corpus: Corpus, config: FinetuneConfig, **sources: Any
) -> dict[str, Any]:
    """The record of one run; `sources` are JSON-able digests of what else it learns from, in an order of their own.

    Refuses an encoder whose vocabulary is not the corpus' own.
    """
    pretrained.expect_genes(corpus.genes)
    return {
        "kind": kind,
        "code_version": __version__,
        "corpus_digest": corpus.digest,
        "vocabulary_digest": corpus.genes.digest,
        "encoder_corpus_digest": pretrained.training.get("corpus_digest"),
        "encoder_weights_sha256": pretrained.training.get("weights_sha256"),
        "finetune": config.model_dump(),
        **sources,
    }
