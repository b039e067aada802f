"""What tells one model from another."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def fingerprint(model: "SentenceTransformer") -> bytes:
    """Return a digest of all that decides a model's embeddings: weights, modules, how it reads."""
    import torch

    digest = hashlib.blake2b(digest_size=16)
    settings = [model.prompts, model.default_prompt_name, model.max_seq_length, model.truncate_dim]
    digest.update(repr(settings).encode())
    for path, module in model.named_modules():
        # What torch prints of a module tells its kind and sizes; what it is made of follows.
        own = "" if any(module.children()) else module.extra_repr()
        read = {
            key: value
            for key, value in vars(module).items()
            if not key.startswith("_")
            and key not in ("training", "name_or_path")
            and isinstance(value, str | int | float | bool | None)
        }
        digest.update(f"{path} {type(module).__qualname__} {own} {read}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.digest()
