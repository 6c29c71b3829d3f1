"""`velocorpus doublets`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("doublets")
def doublets(
    counts: Annotated[Path, typer.Argument(help="counts.h5ad of one sample, with its called cells.")],
    out: Annotated[Path, typer.Option(help="The counts.h5ad to write; may be the same.")],
    seed: Annotated[int, typer.Option(help="Draws the pairs of cells that are added up.")] = 0,
) -> None:
    """Score each cell by how much it looks like two (Scrublet): the column `doublet_score` of `obs`."""
    from velocorpus import names
    from velocorpus.cells.doublets import score_doublets, scored_by
    from velocorpus.counting.counts_file import read_counts, write_counts

    adata = read_counts(counts)
    meta = adata.uns[names.UNS]
    scores, why = score_doublets(sum(adata.layers[layer] for layer in names.LAYERS), seed)
    write_counts(
        out,
        layers={
            layer: adata.layers[layer]
            for layer in names.LAYERS
            if layer != names.AMBIGUOUS or meta["ambiguous_present"]
        },
        sample=meta["sample"],
        barcodes=adata.obs[names.BARCODE].astype(str).tolist(),
        genes=adata.var,
        source=meta["source"] | {"doublets": scored_by(seed) | ({"none_because": why} if why else {})},
        obs=adata.obs.drop(columns=[names.BARCODE, names.SAMPLE]).assign(**{names.DOUBLET_SCORE: scores}),
    )
    found = f"no doublet scores: {why}" if why else f"{int((scores == scores).sum())} of {len(scores)} cells are scored"
    print(f"{meta['sample']}: {found}", file=sys.stderr)
