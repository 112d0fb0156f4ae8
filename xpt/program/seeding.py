"""Random numbers that depend on a seed and a name, and on nothing that was drawn before."""

import hashlib

import torch


def seeded_generator(seed: int, name: str) -> torch.Generator:
    """A generator that depends on the run's seed and a tensor's name alone, not on what was drawn before."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
