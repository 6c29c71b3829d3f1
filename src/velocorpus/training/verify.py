"""The chain from a model to the corpus that it was trained on."""

from pathlib import Path

from velocorpus.corpus import schema
from velocorpus.corpus.reader import Corpus
from velocorpus.errors import UserMistake
from velocorpus.files import sha256
from velocorpus.model.pretrained import load_pretrained


def verify(model_dir: Path | str, corpus_dir: Path | str) -> str:
    """A sentence that says what the model was trained on; a `UserMistake` says what differs.

    A corpus that has grown since keeps every version of its manifest, so a model of an earlier version still verifies;
    so does one of the old corpus that this one was converted from.
    Weights that were changed after training are refused when they are read.
    """
    model, corpus = load_pretrained(model_dir), Corpus(corpus_dir)
    trained_on = model.training.get("corpus_digest")
    if trained_on is None:
        raise UserMistake(f"{model_dir}: training.json names no corpus_digest; the model cannot be verified.")
    files = sorted((corpus.path / schema.VERSIONS_FOLDER).glob("*.json"))
    versions = {sha256(file): f"version {file.stem}" for file in files}
    if converted := corpus.manifest.get("converted_from"):
        versions[converted["of"]] = f"version {converted['version']} before its conversion"
    if trained_on != corpus.digest and trained_on not in versions:
        raise UserMistake(
            f"{model_dir} was trained on the corpus whose manifest has SHA-256 {trained_on[:16]}…; {corpus_dir} has "
            f"{corpus.digest[:16]}… and {len(versions)} versions, none of them that one."
        )
    genes = corpus.genes.unique_ids(range(min(len(model.genes), len(corpus.genes))))
    for token, (ours, theirs) in enumerate(zip(model.genes.unique_ids(range(len(model.genes))), genes, strict=False)):
        if ours != theirs:
            raise UserMistake(
                f"{model_dir}: gene token {token} is {ours} in the model and {theirs} in {corpus_dir}; the vocabulary "
                "of a corpus never changes, so one of them was altered."
            )
    if len(genes) < len(model.genes):
        raise UserMistake(f"{model_dir} has {len(model.genes)} genes, {corpus_dir} only {len(corpus.genes)}.")
    which = "its present version" if trained_on == corpus.digest else versions[trained_on]
    return (
        f"{model_dir} ({model.config['kind']}) was trained on {corpus_dir}, {which} ({trained_on[:16]}…); weights and "
        f"the {len(model.genes)} genes agree."
    )
