"""Checkpoints and the folder that they stand in until a run is finished.

While a run trains towards `OUT` it works in `OUT.partial`: `run.json` (what is trained on what), `metrics.jsonl`, and
`checkpoints/step_<n>.safetensors`, each written aside and renamed. Only the finished model takes the name `OUT`, by one
rename, so whoever finds `OUT` finds all of it. Tensors are safetensors, the rest JSON in its header: no pickle. The
header also holds a digest of the tensors and one of the run: a checkpoint that was damaged, or is of another run, is
refused by name, never skipped for an older one.
"""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from velocorpus.errors import UserMistake
from velocorpus.files import read_json, replacing, sha256, write_json
from velocorpus.training.records import METRICS_FILE, SPEED_FILE
from velocorpus.training.sharding import share, whole

RUN_FILE = "run.json"


def partial_of(out: Path | str) -> Path:
    """The folder in which a run towards `out` works."""
    out = Path(out)
    return out.with_name(f"{out.name}.partial")


def open_work(out: Path | str, run: dict[str, Any], *, resume: bool) -> Path | None:
    """The folder to work in, or None when `resume` finds `out` finished by this very run.

    `run` says what is trained on what (resolved configuration, digests; JSON-able). Without `resume` what an
    earlier run left is removed. With it, a folder of another run is refused: the sentence names what differs.
    """
    out, folder = Path(out), partial_of(out)
    run = json.loads(json.dumps(run))
    if resume and (out / RUN_FILE).exists():
        _same_run(out, run)
        shutil.rmtree(folder, ignore_errors=True)
        return None
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    if (folder / RUN_FILE).exists():
        _same_run(folder, run)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(folder / RUN_FILE, run)
    return folder


def finish(folder: Path, out: Path | str) -> None:
    """Give the finished model in `folder/model` the name `out`, with its metrics and `run.json`; remove the rest.

    `speed.jsonl`, which has times in it, becomes `OUT.speed.jsonl`, beside what is reproducible.
    """
    model, out = folder / "model", Path(out)
    for name in (METRICS_FILE, RUN_FILE):
        shutil.copyfile(folder / name, model / name)
    if out.exists():
        out.rename(folder / "replaced")
    model.rename(out)
    if (folder / SPEED_FILE).exists():
        (folder / SPEED_FILE).replace(out.with_name(f"{out.name}.{SPEED_FILE}"))
    shutil.rmtree(folder)


def save_checkpoint(
    folder: Path | None,
    step: int,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: dict[str, Any],
    *,
    keep: int = 2,
) -> None:
    """Write everything that the next step depends on, and remove all but the last `keep` checkpoints.

    `batches` is the loader's JSON-able state. A rank that has a part of a sharded module gives it, and with a `folder`
    of None writes nothing.
    """
    tensors = {f"model.{name}": t for name, t in module.state_dict().items()}
    order = _order(module, optimizer)
    for i, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{slot}.{order[i]}": t for slot, t in slots.items()}
    tensors = whole(tensors, keep=folder is not None)
    if folder is None:
        return
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    state = {"step": step, "batches": batches, "run": _run_digest(folder), "tensors": _digest(tensors)}
    with replacing(_path(folder, step)) as aside:
        save_file(tensors, aside, metadata={"state": json.dumps(state, sort_keys=True)})
    for old in checkpoints(folder)[:-keep]:
        old.unlink()


def load_checkpoint(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, dict[str, Any]] | None:
    """Restore the last checkpoint: (steps done, the loader's state), or None when there is none yet."""
    found = checkpoints(folder)
    if not found:
        return None
    try:
        with safe_open(found[-1], framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        step, batches, run, digest = (state[key] for key in ("step", "batches", "run", "tensors"))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise _refused(found, f"cannot be read ({' '.join(str(error).split())[:200]})") from None
    if digest != _digest(tensors):
        raise _refused(found, "was damaged after it was written (its tensors do not have the digest in its header)")
    if run != _run_digest(folder) or found[-1] != _path(folder, step):
        raise _refused(found, f"is of another run or step than its name and {folder / RUN_FILE} say")
    try:
        held = module.state_dict()
        weights = {n[6:]: t for n, t in tensors.items() if n.startswith("model.")}
        module.load_state_dict({n: share(t, held.get(n, t)) for n, t in weights.items()})
    except RuntimeError as error:
        raise _refused(found, f"is of another model ({' '.join(str(error).split())[:200]})") from None
    order = _order(module, optimizer)
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, slot, name = key.split(".", 2)
            if name not in order:
                raise _refused(found, f"is of another model or version (it has moments of {name})")
            slots.setdefault(order.index(name), {})[slot] = share(tensor, held[name])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    return step, batches


def _order(module: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """The names of the optimiser's parameters, which it knows by number only."""
    names = {id(p): name for name, p in module.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def _refused(found: list[Path], why: str) -> UserMistake:
    mend = f"go on from {found[-2].name}" if len(found) > 1 else "start over"
    return UserMistake(f"The checkpoint {found[-1]} {why}; remove it to {mend}.")


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 over names, kinds, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _run_digest(folder: Path) -> str:
    """What says that two checkpoints are of one run; empty where no run is told."""
    return sha256(folder / RUN_FILE) if (folder / RUN_FILE).exists() else ""


def _path(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step_{step:08d}.safetensors"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints that a working folder holds, the oldest first."""
    return sorted((folder / "checkpoints").glob("step_*.safetensors"))


def _same_run(folder: Path, run: dict[str, Any]) -> None:
    before = _flat(read_json(folder / RUN_FILE))
    now = _flat(run)
    differing = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if differing:
        key = differing[0]
        raise UserMistake(
            f"{folder} is of another run: {key} was {before.get(key)!r} and is now {now.get(key)!r}"
            f"{f' ({len(differing)} differ)' if len(differing) > 1 else ''}; "
            "remove that folder, or leave out --resume, to start over."
        )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{prefix}.{key}".strip(".")).items()}


def say(line: str) -> None:
    """A line of progress, for a terminal or a log; of several ranks the first speaks."""
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stderr, flush=True)
