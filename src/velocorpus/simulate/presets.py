"""Presets: which studies and samples a simulation makes, of how many genes, with which noise, as what."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.simulate.counts import CountParameters
from velocorpus.simulate.kinetics import KineticsParameters
from velocorpus.simulate.programs import TOPOLOGIES

FASTQ, BAM, LOOM, COUNTS = PRODUCTS = ("fastq", "bam", "loom", "counts")


@dataclass(frozen=True)
class SamplePlan:
    """One sample: which study it is of, how many cells it has, and as what it is written."""

    name: str
    study: str
    donor: str
    topology: str
    n_cells: int
    product: str
    tissue: str
    split: str


@dataclass(frozen=True)
class Preset:
    """Everything that, with the seed, fixes a simulation's bytes."""

    name: str
    n_genes: int
    samples: tuple[SamplePlan, ...]
    kinetics: KineticsParameters = field(default_factory=KineticsParameters)
    counts: CountParameters = field(default_factory=CountParameters)
    seed: int = 1
    whitelist_size: int = 6000
    n_empty: int = 1000  # droplets without a cell in a sample with reads

    @property
    def has_reads(self) -> bool:
        """Whether any sample is written as reads or BAM."""
        return any(sample.product in (FASTQ, BAM) for sample in self.samples)

    def sample(self, name: str) -> SamplePlan:
        """The sample of this name; refuses a name that the preset has not."""
        for sample in self.samples:
            if sample.name == name:
                return sample
        raise UserMistake(
            f"Preset '{self.name}' has no sample '{name}'; it has {', '.join(s.name for s in self.samples)}."
        )

    def studies_of(self, split: str) -> tuple[str, ...]:
        """The studies of one split, in order."""
        return tuple(dict.fromkeys(s.study for s in self.samples if s.split == split))

    def digest(self) -> str:
        """SHA-256 of every parameter, defaults included: it changes when the preset does."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()


def preset(name: str) -> Preset:
    """The preset of this name: `tiny`, `demo` or `bench` (`count_bench`, one BAM, is `deep.DeepSample`)."""
    if name not in PRESETS:
        raise UserMistake(f"There is no preset '{name}'; there are {', '.join(PRESETS)} and count_bench.")
    return PRESETS[name]


def _read_samples(n_cells: int) -> tuple[SamplePlan, ...]:
    """One study of two donors by FASTQ, one by BAM, one by loom: every way into the corpus."""
    train = names.SPLITS[0]
    return (
        SamplePlan("sim_a_d1", "sim_a", "sim_a_d1", "linear", n_cells, FASTQ, "blood", train),
        SamplePlan("sim_a_d2", "sim_a", "sim_a_d2", "linear", n_cells, FASTQ, "blood", train),
        SamplePlan("sim_b_d1", "sim_b", "sim_b_d1", "branching", n_cells, BAM, "pancreas", train),
        SamplePlan("sim_c_d1", "sim_c", "sim_c_d1", "cyclic", n_cells, LOOM, "brain", train),
    )


def _count_samples(prefix: str, n_studies: int, n_cells: int, n_validation: int, n_test: int) -> tuple[SamplePlan, ...]:
    """Studies of counts only, topologies by turns; the last are test, those before them validation."""
    tissues = ("blood", "pancreas", "brain", "liver", "lung")
    samples = []
    for i in range(n_studies):
        left = n_studies - i
        split = names.SPLITS[2 if left <= n_test else 1 if left <= n_test + n_validation else 0]
        study = f"{prefix}_{i + 1:02d}"
        topology = TOPOLOGIES[i % len(TOPOLOGIES)]
        tissue = tissues[i % len(tissues)]
        samples.append(SamplePlan(f"{study}_d1", study, f"{study}_d1", topology, n_cells, COUNTS, tissue, split))
    return tuple(samples)


PRESETS = {
    p.name: p
    for p in (
        Preset(
            name="tiny",
            n_genes=120,
            samples=_read_samples(60) + _count_samples("sim", 4, 60, n_validation=1, n_test=1),
            kinetics=KineticsParameters(molecules=(2200.0, 2600.0)),
            whitelist_size=1000,
            n_empty=100,
        ),
        Preset(
            name="demo",
            n_genes=600,
            samples=_read_samples(400) + _count_samples("sim", 15, 300, n_validation=2, n_test=3),
            kinetics=KineticsParameters(molecules=(2400.0, 3000.0)),
        ),
        # The pilot of 2026 (docs/simulator.md): 5,000 to 8,000 molecules per 2,000 genes. Frozen: a test
        # holds its digest, since every table of results names it.
        Preset(
            name="bench",
            n_genes=600,
            samples=_count_samples("bench", 48, 1000, n_validation=3, n_test=9),
            kinetics=KineticsParameters(molecules=(1500.0, 2400.0)),
        ),
    )
}
