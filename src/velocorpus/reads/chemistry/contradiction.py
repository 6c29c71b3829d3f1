"""What the tables say of a sample, held against its reads."""

from collections.abc import Sequence

from velocorpus.reads.chemistries import list_name
from velocorpus.reads.chemistry.look import MISFIT, Look
from velocorpus.reads.chemistry.verdict import Verdict


def contradiction(
    verdict: Verdict,
    pairs: Sequence[tuple[Look, Look]],
    *,
    chemistry: str,
    organism: str | None,
    min_mapped: float,
) -> str | None:
    """Why a sample that the tables call `chemistry` of `organism` must not be aligned; None while nothing says so.

    `pairs`: each lane's read 1 and read 2 by the tables, the lanes that `verdict` is on. Only what the reads show with
    confidence counts: an unclear verdict contradicts nothing, unless no quantifier could use the files, or the
    declared list does not fit read 1.
    """
    for (read1, read2), lane in zip(pairs, verdict.lanes, strict=True):
        if lane.barcode is read2 and read1 in lane.cdna:
            return (
                f"{read1.name} holds cDNA and {read2.name} the barcodes: read 1 and read 2 are swapped in the table of "
                "units"
            )
        if read1.sample.n_seen != read2.sample.n_seen:
            return (
                f"{read1.name} ends after {read1.sample.n_seen:,} reads and {read2.name} after "
                f"{read2.sample.n_seen:,}: they are no pair, or one of them is cut"
            )
    if verdict.unusable:
        return verdict.reasons[0]
    if verdict.state == "confident" and verdict.chemistry != chemistry:
        found = f"{verdict.chemistry} ({verdict.library})"
        return f"the table says {chemistry}, the reads are {found}: {'; '.join(verdict.reasons)}"
    if verdict.organism and organism and verdict.organism != organism:
        return f"the table says {organism}, but the cDNA is of {verdict.organism}"
    for read1, _ in pairs:
        share = read1.fits.get(list_name(chemistry))
        if share and share.high < MISFIT:
            return (
                f"{read1.name} holds no barcodes of {chemistry} ({share.value:.1%} are on its list): "
                f"{verdict.reasons[0]}"
            )
    mapped = verdict.evidence.get("mapped")
    if mapped and mapped["n"] and mapped["high"] < min_mapped:
        return f"only {mapped['share']:.1%} of the cDNA reads match exons of the references, not {min_mapped:.1%}"
    return None
