"""The barcodes' list is known: is the other read cDNA, of which strand and species?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from velocorpus.reads.chemistries import CHEMISTRIES, list_name
from velocorpus.reads.chemistry.barcode_lists import BarcodeList, listed
from velocorpus.reads.chemistry.look import OWN_SPECIES, Look, Share, pooled, strand_shares
from velocorpus.reads.chemistry.roles import Lane
from velocorpus.reads.chemistry.verdict import NOT_10X, Verdict, unclear

SENSE, ANTISENSE = 0.7, 0.3
PANEL, NO_PANEL = 0.6, 0.4
# After the UMI of a 5' bead: its template switch oligo.
TSO_5P = np.array([3, 3, 3, 1, 3, 3, 0, 3, 0, 3, 2, 2, 2], np.uint8)


def cdna_verdict(lanes: Sequence[Lane], barcodes: Look, best: BarcodeList, evidence: dict[str, Any]) -> Verdict:
    """The list is known: is the other read cDNA, of which strand and species?"""
    cdna = pooled([lane.cdna[0] for lane in lanes])
    organism, mapped, sense = _organism(cdna)
    evidence |= {"panel": cdna.panel.as_json(), "mapped": mapped.as_json(), "sense": sense.as_json()}
    strand = "forward" if sense.low >= SENSE else "reverse" if sense.high <= ANTISENSE else None
    found = listed(barcodes.sample, best, barcodes.places[best.name])
    listing = f"{found.mean():.0%} of the barcodes are on the list of {best.name}"
    if cdna.panel.high >= NO_PANEL and not (cdna.references and mapped.low > NO_PANEL):
        if cdna.panel.low >= PANEL and (not cdna.references or mapped.high < 0.05):
            reason = f"{cdna.panel.value:.0%} of the other reads hold one of few sequences at one place: tags or guides"
            library = f"antibody or CRISPR feature library of {best.name}"
            return Verdict("confident", NOT_10X, library, (listing, reason), evidence=evidence)
        return unclear(
            f"{listing}, but {cdna.panel.value:.0%} of the other reads repeat few sequences: cDNA or features?",
            candidates=(best.name, NOT_10X),
            evidence=evidence,
        )
    options = [name for name in CHEMISTRIES if list_name(name) == best.name]
    reasons, end = [listing], _end_by_read1(barcodes, best)
    evidence |= {"umi_and_tail": end}
    if strand:
        fitting = [name for name in options if CHEMISTRIES[name].strand == strand]
        reasons.append(f"{sense.value:.0%} of {sense.n} matching cDNA reads are in sense")
    else:
        fitting = [name for name in options if len(options) == 1 or end["strand"] in (None, CHEMISTRIES[name].strand)]
        if len(options) > 1 and end["strand"]:
            reasons.append(f"read 1 goes on with {'a tract of T' if end['strand'] == 'forward' else '10x 5p TSO'}")
    contradicts = strand and end["strand"] and strand != end["strand"]
    if end["shifted"]:
        return unclear(
            f"{listing}, but {end['poly_t_start']} bases of read 1 stand before its tract of T: another UMI length?",
            candidates=tuple(options),
            evidence=evidence,
        )
    if len(fitting) != 1 or contradicts:
        missing = "give --reference to tell the strand" if not cdna.references else "too few reads tell the strand"
        said = "strand and barcode list contradict each other" if not fitting or contradicts else missing
        return unclear(f"{listing}; {said}", candidates=tuple(fitting or options), evidence=evidence)
    return Verdict(
        "confident",
        fitting[0],
        "10x gene expression",
        tuple(reasons),
        organism=organism,
        strand=strand or CHEMISTRIES[fitting[0]].strand,
        evidence=evidence,
    )


def _end_by_read1(barcodes: Look, best: BarcodeList) -> dict[str, Any]:
    """What follows the UMI in read 1, where the read is long enough: a tract of T (3') or the oligo (5')."""
    start = barcodes.poly_t_start
    found: dict[str, Any] = {"poly_t_start": start, "shifted": False, "tso": None, "strand": None}
    if CHEMISTRIES[best.name].umi_apart:
        return found
    end = CHEMISTRIES[best.name].barcode_read_len
    found["shifted"] = start is not None and abs(start - end) > 1
    after = barcodes.sample.codes[:, end : end + len(TSO_5P)]
    if after.shape[1] < len(TSO_5P):
        return found
    tso = Share(int(((after == TSO_5P).sum(axis=1) >= len(TSO_5P) - 2).sum()), len(after))
    found["tso"] = tso.as_json()
    if tso.low >= 0.3:
        found["strand"] = "reverse"
    elif start is not None and not found["shifted"] and tso.high < 0.1:
        found["strand"] = "forward"
    return found


def _organism(cdna: Look) -> tuple[str | None, Share, Share]:
    """The species with confidence or None; then of its best reference the share that matches, and that in sense."""
    shares: Mapping[str, tuple[Share, Share]] = strand_shares(cdna)
    if not shares:
        return None, Share(0, 0), Share(0, 0)
    organism_of = {reference.name: reference.organism for reference in cdna.references}
    name = max(shares, key=lambda one: shares[one][0].hits)
    mapped, sense = shares[name]
    rivals = [shares[one][0].hits for one in shares if organism_of[one] != organism_of[name]]
    if rivals:
        # Exons of related species agree in part, so the reads of one match the other too, but far fewer.
        sure = Share(mapped.hits, mapped.hits + max(rivals)).low >= SENSE
    else:
        sure = mapped.low >= OWN_SPECIES
    return organism_of[name] if sure else None, mapped, sense
