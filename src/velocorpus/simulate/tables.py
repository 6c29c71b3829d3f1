"""The workflow's three tables for a preset: what it makes, where, and how each sample is to be counted."""

from dataclasses import fields

from velocorpus import tables
from velocorpus.simulate.presets import BAM, COUNTS, FASTQ, LOOM, Preset, SamplePlan

REFERENCE = "sim"
QUANTIFIER = {FASTQ: "kb", BAM: "bam", LOOM: "import", COUNTS: "import"}
LANES = (1, 2)


def render(preset: Preset, folder: str) -> dict[str, str]:
    """The text of `samples.tsv`, `units.tsv` and `references.tsv` for a simulation written to `folder`.

    The columns are those of `velocorpus.tables`; a column that no row fills is left out unless it is
    required.
    """
    root = folder.rstrip("/")
    samples = [_sample(plan, root) for plan in preset.samples]
    units = [unit for plan in preset.samples for unit in _units(plan, f"{root}/{plan.name}")]
    rows: dict[str, tuple[type, list[dict[str, str]]]] = {
        "samples.tsv": (tables.Sample, samples),
        "units.tsv": (tables.Unit, units),
    }
    references = []
    if preset.has_reads:
        fasta, gtf = f"{root}/reference/genome.fa.gz", f"{root}/reference/genes.gtf.gz"
        references = [{"reference": REFERENCE, "organism": "human", "fasta": fasta, "gtf": gtf}]
    rows["references.tsv"] = (tables.Reference, references)
    return {name: _table(kind, values) for name, (kind, values) in rows.items()}


def _sample(plan: SamplePlan, root: str) -> dict[str, str]:
    row = {
        "sample": plan.name,
        "study": plan.study,
        "organism": "human",
        "quantifier": QUANTIFIER[plan.product],
        "truth": f"{root}/{plan.name}/truth.h5ad",
        "tissue": plan.tissue,
        "donor": plan.donor,
        "suspension_type": "cell",
        "disease": "normal",
    }
    if plan.product in (FASTQ, BAM):
        row |= {"reference": REFERENCE, "chemistry": "10xv3"}
    if plan.product == FASTQ:
        row["whitelist"] = f"{root}/whitelist.txt"
    if plan.product == BAM:
        row["barcodes"] = f"{root}/{plan.name}/bam/barcodes.tsv"
    if plan.product in (LOOM, COUNTS):
        row["cell_type"] = "cell_type"
    return row


def _units(plan: SamplePlan, here: str) -> list[dict[str, str]]:
    if plan.product == FASTQ:
        return [
            {"sample": plan.name, "unit": f"L{lane:03d}"}
            | {f"read{r}": f"{here}/fastq/{plan.name}_S1_L{lane:03d}_R{r}_001.fastq.gz" for r in (1, 2)}
            for lane in LANES
        ]
    unit, file = {
        BAM: ("bam", "bam/possorted_genome_bam.bam"),
        LOOM: ("loom", f"{plan.name}.loom"),
        COUNTS: ("counts", "counts.h5ad"),
    }[plan.product]
    return [{"sample": plan.name, "unit": unit, "path": f"{here}/{file}"}]


def _table(kind: type, rows: list[dict[str, str]]) -> str:
    columns = [f.name for f in fields(kind) if f.metadata["required"] or any(row.get(f.name) for row in rows)]
    lines = [columns, *([row.get(column, "") for column in columns] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)
