"""What each of two processes runs for test_ranks.py: a run as it is, and a sharded one that is killed and resumed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from velocorpus.config import ModelConfig, PretrainConfig
from velocorpus.training.objective import Pretraining
from velocorpus.training.pretrain import pretrain
from velocorpus.training.ranks import World, joined

MODEL = ModelConfig(d_model=16, n_layers=1, n_heads=2, n_fusion=2, max_genes=12, truncation="sample", dropout=0.1)
CONFIG = PretrainConfig(
    steps=4, batch_cells=16, chunk_cells=4, warmup_steps=1, checkpoint_steps=2, validate_steps=2, weight_steps=3
).model_copy(update={"masked_weight_end": 0.5})
SHARDED = CONFIG.model_copy(update={"shard": True})


class Killed(Exception):
    pass


@contextmanager
def killed_after_two_steps(world: World) -> Iterator[None]:
    """The run inside leaves the checkpoint of its second step."""
    corrupted, calls = Pretraining.corrupted, iter(range(100))

    def killed(self, batch, rng):
        if self.training and next(calls) == 2 * 4 // world.size:
            raise Killed
        return corrupted(self, batch, rng)

    Pretraining.corrupted = killed
    try:
        yield
    except Killed:
        return
    finally:
        Pretraining.corrupted = corrupted
    raise AssertionError("the run was not killed")


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as world:
        pretrain(folder / "corpus", MODEL, CONFIG, folder / "two", world=world)
        pretrain(folder / "corpus", MODEL, SHARDED, folder / "one_then_two", world=world, resume=True)
        with killed_after_two_steps(world):
            pretrain(folder / "corpus", MODEL, SHARDED, folder / "two_then_one", world=world)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
