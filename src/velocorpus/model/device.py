"""The device that a user names."""

import torch

from velocorpus.errors import UserMistake


def device_of(name: str) -> torch.device:
    """`cpu`, `cuda` or `cuda:<n>` as a device; refuses other names and a GPU that this machine does not have."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserMistake(f"--device {name} is no device; allowed are cpu, cuda and cuda:<n>.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserMistake(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; use another, or --device cpu."
        )
    return device
