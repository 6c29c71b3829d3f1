"""Model directories: `config.json`, `model.safetensors`, `genes.feather`, `training.json`. No pickle anywhere.

Each directory is self-contained: a decoder's holds its encoder's weights too, under the prefix `encoder.`. The hub of
Hugging Face keeps the same four files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from velocorpus.config import ModelConfig, parse
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.errors import UserMistake
from velocorpus.files import existing, read_json, replacing, sha256, write_json
from velocorpus.model.zorro import Zorro

SCHEMA_VERSION = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
GENES_FILE = "genes.feather"
TRAINING_FILE = "training.json"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Pretrained:
    """A model directory, read. `tensors` has every weight under `<module>.<name>`, on the CPU.

    `directory` is only for sentences.
    """

    config: dict[str, Any]
    genes: Vocabulary
    training: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    directory: Path

    def expect(self, kind: str) -> "Pretrained":
        """The model itself when it is of this kind; any other is refused."""
        if self.config.get("kind") != kind:
            raise UserMistake(
                f"{self.directory} is a model of kind '{self.config.get('kind')}'; give one that "
                f"`velocorpus finetune {kind}` has written."
            )
        return self

    def expect_genes(self, genes: Vocabulary) -> None:
        """Refuse a corpus whose tokens are other genes than the model's: nothing else would notice."""
        if self.genes.digest != genes.digest:
            raise UserMistake(
                f"{self.directory} knows {len(self.genes)} genes, the corpus {len(genes)} by other numbers: give the "
                "corpus that the model was trained on, or a model of this corpus."
            )

    def load_into(self, module: nn.Module, name: str) -> None:
        """Give `module` the weights that were saved under `name`; every weight must be there and fit."""
        prefix = f"{name}."
        state = {key.removeprefix(prefix): t for key, t in self.tensors.items() if key.startswith(prefix)}
        if not state:
            saved = sorted({key.split(".", 1)[0] for key in self.tensors})
            raise UserMistake(f"{self.directory} has no '{name}'; it has {', '.join(saved)}: give another directory.")
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            raise UserMistake(
                f"{self.directory}: the weights of '{name}' do not fit its config.json "
                f"({' '.join(str(error).split())[:300]})."
            ) from None

    def encoder(self) -> Zorro:
        """The encoder with its weights, in evaluation mode."""
        config = parse(ModelConfig, self.config.get("encoder"), f"{self.directory / CONFIG_FILE}: encoder")
        # Kernels belong to a run, not to a model: one that was trained on a GPU is read anywhere.
        model = Zorro(config.model_copy(update={"attention": "auto"}), len(self.genes))
        self.load_into(model, "encoder")
        return model.eval()


def save_pretrained(
    directory: Path | str,
    modules: Mapping[str, nn.Module],
    config: Mapping[str, Any],
    genes: Vocabulary,
    training: Mapping[str, Any],
) -> None:
    """Write a model directory, whole or not at all; one that stands there is replaced.

    `modules` maps the prefix of the weights to the module: `{"encoder": zorro}`, with decoders also theirs. `config`
    is JSON-able and has `kind` and `encoder` (a `ModelConfig` as a dict). `training` is JSON-able and names the data
    (`corpus_digest`), the code's version, the resolved configuration, seeds and last metrics; never a path or a time.
    The digest of the weights is added to it.
    """
    tensors = {
        f"{name}.{key}": tensor.detach().cpu().contiguous()
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    with replacing(directory) as aside:
        aside.mkdir()
        save_file(tensors, aside / WEIGHTS_FILE)
        genes.write(aside / GENES_FILE)
        write_json(aside / CONFIG_FILE, {"schema_version": SCHEMA_VERSION, **config})
        weights = {"weights_sha256": sha256(aside / WEIGHTS_FILE)}
        write_json(aside / TRAINING_FILE, {**training, **weights})


def load_pretrained(where: Path | str, *, revision: str | None = None) -> Pretrained:
    """Read a model directory, or a model of the Hugging Face hub by its id `owner/name`.

    `revision` is a commit, tag or branch on the hub. A missing, damaged or altered file is refused by name.
    """
    directory = _directory(where, revision)
    config = read_json(existing(directory / CONFIG_FILE, "model's configuration"))
    if config.get("schema_version") != SCHEMA_VERSION:
        raise UserMistake(
            f"{directory / CONFIG_FILE} has schema {config.get('schema_version')}, this version reads {SCHEMA_VERSION}."
        )
    training = read_json(existing(directory / TRAINING_FILE, "model's training record"))
    weights = existing(directory / WEIGHTS_FILE, "file of weights")
    try:
        tensors = load_file(weights)
    except SafetensorError as error:
        raise UserMistake(f"{weights} cannot be read ({error}); restore or train again.") from None
    if training.get("weights_sha256") != sha256(weights):
        raise UserMistake(f"{weights} is not the file that {TRAINING_FILE} names: restore it, or train again.")
    genes = Vocabulary.read(existing(directory / GENES_FILE, "model's gene table"))
    return Pretrained(config, genes, training, tensors, directory)


def _directory(where: Path | str, revision: str | None) -> Path:
    """A directory that is here, or one of the hub in its cache. A `Path` is never taken for an id."""
    if Path(where).exists() or isinstance(where, Path) or not _HUB_ID.fullmatch(where):
        if revision is not None:
            raise UserMistake(f"Revision '{revision}' is for models of the hub, and {where} is no id of one; leave it.")
        return existing(where, "model directory")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UserMistake(
            f"The model directory {where} does not exist; if it is a model of the Hugging Face hub, "
            "`pip install huggingface_hub` first."
        ) from None
    files = [CONFIG_FILE, WEIGHTS_FILE, GENES_FILE, TRAINING_FILE]
    try:
        return Path(snapshot_download(where, revision=revision, allow_patterns=files))
    except (OSError, ValueError) as error:  # all that the hub's client raises
        reason = " ".join(str(error).split())[:200]
        raise UserMistake(
            f"The model directory {where} does not exist, and as a model of the Hugging Face hub it cannot be had "
            f"({reason}); check the path or the id."
        ) from None
