"""Every spelling that two modules share, spelled once."""

# Layers of counts: the three classes of molecules that velocyto tells apart.
SPLICED = "spliced"
UNSPLICED = "unspliced"
AMBIGUOUS = "ambiguous"
LAYERS = (SPLICED, UNSPLICED, AMBIGUOUS)

# A layer of velocities in captured molecules per hour (simulated truth) or in the teacher's own units (scVelo).
VELOCITY = "velocity"
VELOCITY_UNSPLICED = "velocity_unspliced"

# The key in `AnnData.uns` under which every h5ad of ours says what it was made from.
UNS = "velocorpus"

# Columns of `obs` and of the shards.
BARCODE = "barcode"
SAMPLE = "sample"
STUDY = "study"
ORGANISM = "organism"
CELL_TYPE = "cell_type"
PSEUDOTIME = "pseudotime"
BRANCH = "branch"
DOUBLET_SCORE = "doublet_score"

# Columns of `var` and of the vocabulary; the index of `var` is the Ensembl gene id without its version.
GENE_ID = "gene_id"
SYMBOL = "symbol"
VERSION = "version"

# Columns of samples.tsv (or of the counts' own `source`) that follow a sample into the corpus.
SAMPLE_FIELDS = (
    STUDY,
    ORGANISM,
    "tissue",
    "donor",
    "chemistry",
    "suspension_type",
    "disease",
    "experiment",
    "run",
    "biosample",
    "quantifier",
    "quantifier_version",
    "reference",
    "reference_digest",
    "intron_mode",
)

ORGANISMS = ("human", "mouse")
SPLITS = ("train", "validation", "test")
QUANTIFIERS = ("kb", "starsolo", "cellranger", "bam", "import")
COUNT_ENGINES = ("native", "velocyto")
SUSPENSION_TYPES = ("cell", "nucleus")
# 10x chemistries: version, and `5p` where the reads come from the 5' end of the molecule.
CHEMISTRIES = ("10xv1", "10xv2", "10xv3", "10xv4", "10xv2_5p", "10xv3_5p", "10xmultiome")
# Of their reads the UMIs are in a third file, for which units.tsv has no column: counts and BAMs of them are taken.
UMI_APART = ("10xv1",)
# 10x's list of barcodes by its name in Cell Ranger, where kb-python does not bring it along: each sample must give it.
LIST_NOT_CARRIED = {"10xv3_5p": "3M-5pgex-jan-2023.txt.gz"}

# The encoder's outputs that are not of one modality.
FUSION = "fusion"
GLOBAL = "global"


def cell_id(sample: str, barcode: str) -> str:
    """The name of a cell in the whole corpus: `{sample}:{barcode}`."""
    return f"{sample}:{barcode}"


def total_of(layer: str) -> str:
    """The column with a cell's (or a gene's) total count in one layer, e.g. `n_spliced`."""
    return f"n_{layer}"


def genes_of(layer: str) -> str:
    """The column with the number of genes that a cell expresses in one layer, e.g. `n_genes_spliced`."""
    return f"n_genes_{layer}"


def cells_with(layer: str) -> str:
    """The column with the number of cells that express a gene in one layer, e.g. `n_cells_spliced`."""
    return f"n_cells_{layer}"
