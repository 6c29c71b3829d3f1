"""An outcome as a picture: JSON under the name of a figure that could not be made is a broken image in a report."""

from pathlib import Path
from textwrap import fill

from velocorpus.files import replacing
from velocorpus.outcomes.outcome import Outcome


def draw_outcome(outcome: Outcome, path: Path) -> None:
    """Write the outcome's sentence as a PNG; the same outcome gives the same bytes."""
    from matplotlib.figure import Figure

    said = f"Not drawn: sample {outcome.sample}, {outcome.state} at {outcome.stage}. {outcome.reason}"
    figure = Figure(figsize=(8, 1.6))
    figure.text(0.02, 0.9, fill(said, 100), va="top", parse_math=False)
    with replacing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
