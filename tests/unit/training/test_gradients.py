"""A batch in pieces has the gradients of the batch in one piece, on one process and on two."""

from dataclasses import dataclass, field

import pytest
import torch
from corpus_makers import HUMAN, make_corpus, make_counts, random_layers
from objectives import cells, chunks, gradients_in, joined, objective

from velocorpus.corpus.plan import Splits
from velocorpus.errors import UserMistake
from velocorpus.training.chunks import Chunks, GlobalBatches, chunk_size
from velocorpus.training.gradients import Gradients
from velocorpus.training.loop import step_rng
from velocorpus.training.ranks import World

WEIGHTS = [
    {},
    {"masked_weight": 0.0},
    {"contrastive_weight": 0.0},
    {"contrastive_weight": 0.3, "masked_weight": 2.0},
    {"contrastive_weight_end": 0.2, "masked_weight": 0.0, "masked_weight_end": 2.0, "weight_steps": 10},
]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_chunks_give_the_loss_and_the_gradients_of_the_whole_batch(weights):
    net = objective(**weights)
    whole = chunks()
    corrupted = [net.corrupted(part, step_rng(1, 7 * 4 + i)) for i, part in enumerate(whole.parts)]
    hidden = {m: torch.cat([hidden[m] for _, hidden in corrupted]) for m in corrupted[0][1]}
    batch = joined([part for part, _ in corrupted])
    views, sums = net(batch, hidden)
    contrast = net.contrast(views, batch.rows_B) if views else {}
    expected = net.combine(contrast, sums, {m: float(h.sum()) for m, h in hidden.items()}, 7)
    expected["loss"].backward()
    at_once = gradients_in(net)
    net.zero_grad()
    values = Gradients(net, seed=1, world=World())(whole, 7)
    assert values.keys() == expected.keys()
    for name, value in values.items():
        assert torch.allclose(value, expected[name], rtol=1e-4, atol=1e-6), name
    in_pieces = gradients_in(net)
    assert in_pieces.keys() == at_once.keys()
    # Some gradients are 0 but for rounding: the contrast sees no shift of all cells.
    largest = max(float(gradient.abs().max()) for gradient in at_once.values())
    for name, gradient in in_pieces.items():
        assert torch.allclose(gradient, at_once[name], rtol=1e-3, atol=1e-5 * largest), name


@dataclass(frozen=True)
class Heard(World):
    """A rank in this process: what each rank says is kept in `said` by rank and turn, and heard in the next round."""

    said: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)
    turns: list[int] = field(default_factory=list)

    def all_say(self, x: torch.Tensor) -> list[torch.Tensor]:
        turn = len(self.turns)
        self.turns.append(turn)
        heard = [self.said.get((rank, turn), x) for rank in range(self.size)]
        self.said[self.rank, turn] = x.detach().clone()
        return [x.detach() if rank == self.rank else heard[rank] for rank in range(self.size)]

    def gathered(self, x_B: torch.Tensor) -> torch.Tensor:
        return torch.cat(self.all_say(x_B))

    def summed(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack(self.all_say(x)).sum(0)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_gradients_of_two_ranks_add_up_to_those_of_one_process(weights):
    net = objective(**weights)
    expected = Gradients(net, seed=1, world=World())(chunks(), 3)
    alone = gradients_in(net)
    said: dict[tuple[int, int], torch.Tensor] = {}
    # What a rank says does not depend on what it hears, so in the second round both have heard all.
    for _ in range(2):
        added: dict[str, torch.Tensor] = {}
        for rank in range(2):
            net.zero_grad()
            values = Gradients(net, seed=1, world=Heard(rank, 2, said=said))(chunks(rank, 2), 3)
            for name, gradient in gradients_in(net).items():
                added[name] = added[name] + gradient if name in added else gradient
    for name, value in values.items():
        assert torch.allclose(value, expected[name], rtol=1e-4, atol=1e-6), name
    assert added.keys() == alone.keys()
    largest = max(float(gradient.abs().max()) for gradient in alone.values())
    for name, gradient in added.items():
        assert torch.allclose(gradient, alone[name], rtol=1e-3, atol=1e-5 * largest), name


def test_weights_go_straight_from_start_to_end_and_stay_there():
    net = objective(contrastive_weight_end=0.5, masked_weight=0.0, masked_weight_end=2.0, weight_steps=10)
    assert [net.weights(step) for step in (0, 5, 10, 99, None)] == [(1.0, 0.0), (0.75, 1.0), *[(0.5, 2.0)] * 3]
    assert net.contrasts
    assert net.masks
    assert objective(masked_weight=0.0).weights(7) == (1.0, 0.0)
    assert not objective(masked_weight=0.0).masks


def test_dropout_falls_the_same_in_both_passes():
    net = objective(dropout=0.5)
    gradients = Gradients(net, seed=1, world=World())
    seen: dict[int, list[torch.Tensor]] = {}
    encode = gradients._encode

    def noted(batch, hidden, seed):
        views, sums = encode(batch, hidden, seed)
        seen.setdefault(seed, []).append(views.projected["fusion"].detach())
        return views, sums

    gradients._encode = noted
    gradients(chunks(), 0)
    assert [len(passes) for passes in seen.values()] == [2] * 4
    assert all(torch.equal(first, second) for first, second in seen.values())


def test_a_batch_of_one_chunk_is_encoded_once(monkeypatch):
    net = objective()
    calls = []
    monkeypatch.setattr(net.encoder, "forward", lambda *a, f=net.encoder.forward: calls.append(1) or f(*a))
    Gradients(net, seed=1, world=World())(Chunks([cells(0, 6)], [0], 1), 0)
    assert len(calls) == 1


def test_bfloat16_gives_about_the_same_loss_in_float32():
    exact, rounded = (
        Gradients(objective(), seed=1, world=World(), bfloat16=on)(chunks(), 0)["loss"] for on in (False, True)
    )
    assert rounded.dtype == torch.float32
    assert 0 < abs(float(exact - rounded)) < 0.5


def test_what_does_not_divide_into_chunks_for_every_rank_is_refused():
    assert chunk_size(64, None, World(0, 4)) == 16
    assert chunk_size(64, 8, World(0, 4)) == 8
    with pytest.raises(UserMistake, match="batch_cells 64 is no multiple of chunk_cells 24 times 1 processes"):
        chunk_size(64, 24, World())
    with pytest.raises(UserMistake, match="batch_cells 64 is no multiple of chunk_cells 32 times 4 processes"):
        chunk_size(64, 32, World(0, 4))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Study a has unspliced counts in every other cell only."""
    folder = tmp_path_factory.mktemp("ranks")
    layers = random_layers(0, 30, 60)
    layers["unspliced"] = layers["unspliced"].multiply(torch.arange(30)[:, None].numpy() % 2).tocsr()
    inputs = [
        make_counts(folder, "a", layers=layers, genes=HUMAN[:60]),
        make_counts(folder, "b", seed=1, n_cells=30, genes=HUMAN[:60]),
        make_counts(folder, "v", seed=2, n_cells=20, genes=HUMAN[:60]),
    ]
    return make_corpus(folder / "corpus", inputs, splits=Splits(("study_v",)))


@pytest.mark.parametrize("of_one_study", [True, False])
def test_two_ranks_draw_the_chunks_of_one_also_after_a_resume_with_another_number_of_ranks(corpus, of_one_study):
    from velocorpus.corpus import Corpus

    def stream(world):
        return GlobalBatches(
            Corpus(corpus),
            "train",
            of_one_study=of_one_study,
            batch_cells=12,
            chunk_cells=3,
            seed=4,
            world=world,
            modalities=("spliced", "unspliced"),
            max_genes=5,
            truncation="sample",
        )

    alone, *ranks = (stream(World(r, n)) for r, n in ((0, 1), (0, 2), (1, 2)))
    for step in range(7):
        if step == 4:
            state = ranks[1].state_dict()
            assert state == ranks[0].state_dict() == alone.state_dict()
            alone.load_state_dict(state)
            ranks = [stream(World(r, 4)) for r in range(4)]
            for rank in ranks:
                rank.load_state_dict(state)
        whole, parts = next(alone), [next(rank) for rank in ranks]
        for part in parts:
            for number, batch in zip(part.numbers, part.parts, strict=True):
                assert torch.equal(batch.rows_B, whole.parts[number].rows_B)
                for layer, tokens in batch.layers.items():
                    assert torch.equal(tokens.genes_T, whole.parts[number].layers[layer].genes_T)
