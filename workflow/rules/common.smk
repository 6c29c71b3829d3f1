"""Loads and validates the configuration and the tables, and answers what rules ask of them; it has no rule.

A mistake in them ends the run with one sentence before any job starts.
"""

import os
import re
import sys

from velocorpus.errors import UserMistake
from velocorpus.names import SPLITS
from velocorpus.project import SIMULATED, load_project

try:
    # Relative, so that a checkout may move without its results being made again.
    PROJECT = load_project(os.path.relpath(workflow.configfiles[-1]))
    if workflow.config_settings.config:
        raise UserMistake(
            f"--config changes nothing here: write {', '.join(workflow.config_settings.config)} into "
            f"{PROJECT.path}, or into a copy of it that --configfile names."
        )
except UserMistake as mistake:
    # Not a WorkflowError: Snakemake would put lines of ours around the sentence, and exit with 1.
    print(f"velocorpus: {mistake}", file=sys.stderr)
    sys.exit(2)

CONFIG = PROJECT.config
TABLES = PROJECT.tables
SAMPLES_TABLE = str(PROJECT.path.parent / CONFIG.samples)
GROUPS = PROJECT.groups
TAUGHT_STUDIES = [study for study in TABLES.studies if study not in PROJECT.splits.test]
DECODERS = ("expression", "velocity", "trajectory")


wildcard_constraints:
    sample=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    unit=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    study=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    reference=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    group=r"g\d{5}",
    decoder="|".join(DECODERS),


def repeated(option, values):
    """`option` before each value, as a list that `:q` quotes: the command line takes lists as repeated options."""
    return [text for value in values for text in (option, str(value))]


def either(names):
    """A wildcard's pattern: one of these names; nothing where there is none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def with_the_same_reads(name, *columns):
    """The sample of which this one is a second count, where they agree in these columns; else the sample itself."""
    sample, first = TABLES.samples[name], TABLES.samples.get(TABLES.samples[name].same_reads_as)
    agree = first is not None and all(getattr(sample, c) == getattr(first, c) for c in columns)
    return first.sample if agree else name


def outcomes_of(samples):
    """What became of each sample: the file that a sample's job always writes."""
    return [f"results/counts/{sample}/outcome.json" for sample in samples]


def simulated_as(ending):
    """Pattern of the samples whose files the simulator writes in one form, told by the path of a unit."""
    return either(
        name
        for name, units in TABLES.units.items()
        if any(
            path.startswith(f"{SIMULATED}/{name}/") and path.endswith(ending)
            for unit in units
            for path in (unit.read1, unit.path)
        )
    )


# The counts that the corpus is made of: those with doublet scores where they are asked for.
CORPUS_COUNTS = "doublets" if CONFIG.cells.score_doublets else "counts"
CUTS = repeated("--cut", [f"{name}={bound}" for name, bound in CONFIG.cells.cuts if bound is not None])


def group_outcomes(wildcards):
    return [f"results/{CORPUS_COUNTS}/{sample}/outcome.json" for sample in GROUPS[wildcards.group]]


def group_rows(wildcards):
    """What the table says of a group's samples: a shard is made again when this changes, not when others' rows do."""
    return [str(TABLES.samples[sample]) for sample in GROUPS[wildcards.group]]


def held_out(studies):
    """The options that name the held-out ones of some studies, whether a name or a rule holds them out."""
    return [
        *repeated("--validation-study", [study for study in PROJECT.splits.validation if study in studies]),
        *repeated("--test-study", [study for study in PROJECT.splits.test if study in studies]),
    ]


def group_held_out(wildcards):
    return held_out({TABLES.samples[sample].study for sample in GROUPS[wildcards.group]})


def study_counts(wildcards):
    return outcomes_of(TABLES.samples_of(wildcards.study))


def study_truths(wildcards):
    return PROJECT.truths(wildcards.study)


def studies_taught_by(truth):
    """Pattern of the studies whose teacher is the truth, or is not."""
    return either(s for s in TABLES.studies if (PROJECT.teacher(s) == "truth") == truth)


def taught_targets():
    """Velocities of every study but the test's, each by its teacher."""
    return [f"results/targets/{PROJECT.teacher(study)}/{study}.h5ad" for study in TAUGHT_STUDIES]


# Decoders are judged on studies that they have not seen; without such studies there is nothing to judge.
JUDGED_SPLIT = "test" if PROJECT.splits.test else "validation"
JUDGED_STUDIES = PROJECT.splits.test or PROJECT.splits.validation
JUDGED_BY_TRUTH = [study for study in JUDGED_STUDIES if study in PROJECT.simulated_studies]
# Samples whose counts can be compared: with their truth, or with a second count of the same reads.
RECOUNTS = {
    name: [other for other, row in TABLES.samples.items() if row.same_reads_as == name]
    for name in TABLES.samples
}
COMPARED = [
    name
    for name, sample in TABLES.samples.items()
    if sample.in_corpus and not sample.skip and (RECOUNTS[name] or (sample.truth and sample.reference))
]


def counts_compared(wildcards):
    return outcomes_of([wildcards.sample, *RECOUNTS[wildcards.sample]])


def truth_compared(wildcards):
    truth = TABLES.samples[wildcards.sample].truth
    return [truth] if truth else []


def annotation_compared(wildcards):
    reference = TABLES.samples[wildcards.sample].reference
    return [f"results/reference/{reference}/genes.gtf"] if reference else []


def genome_compared(wildcards):
    """Which genes have each other's sequence is told from the genome, where the reference has one."""
    reference = TABLES.references.get(TABLES.samples[wildcards.sample].reference)
    return [f"results/reference/{reference.reference}/genome.fa"] if reference and reference.fasta else []


def counts_labelled(wildcards):
    """Each count of the same reads by what made it: the quantifier, and the engine where it is not ours."""
    labels = {}
    for name in (wildcards.sample, *RECOUNTS[wildcards.sample]):
        sample = TABLES.samples[name]
        engine = sample.count_engine or CONFIG.quantify.count_engine
        label = (
            sample.quantifier if sample.quantifier in ("kb", "import") else f"{sample.quantifier} {engine}"
        )
        labels[f"{label} ({name})" if label in labels else label] = name
    return repeated(
        "--counts", [f"{label}=results/counts/{name}/outcome.json" for label, name in labels.items()]
    )


def scvelo_judged(wildcards):
    return [
        f"results/targets/{teacher}/{study}.h5ad"
        for teacher in CONFIG.evaluate.scvelo
        for study in JUDGED_BY_TRUTH
    ]


def cell_types_of_study(wildcards):
    """The option that colours a study's cells, where all of its samples know their cell types."""
    known = all(TABLES.samples[sample].cell_type for sample in TABLES.samples_of(wildcards.study))
    return ["--color", "cell_type"] if known else []


def evaluation_tables():
    """The tables of the report, in the order in which they are shown."""
    return [
        "results/evaluate/status.json",
        *(
            f"results/evaluate/{table}/{sample}.json"
            for table in ("counts", "reasons", "genes")
            for sample in COMPARED
        ),
        "results/evaluate/corpus.json",
        *(["results/evaluate/expression.json"] if JUDGED_STUDIES else []),
        *(["results/evaluate/velocity.json", "results/evaluate/trajectory.json"] if JUDGED_BY_TRUTH else []),
    ]


def evaluation_figures():
    """Figures that no table's rule draws beside it, and the velocities of the studies asked for."""
    return [
        "results/figures/curves.png",
        *(f"results/velocities/{study}.h5ad" for study in PROJECT.velocity_studies),
        f"results/trajectories/{PROJECT.trajectory_study}.h5ad",
    ]


def device_of_job(wildcards, resources):
    """Training runs on a GPU where the profile reserves one for it, and on the CPU elsewhere."""
    return "cuda" if resources.gpu else "cpu"
