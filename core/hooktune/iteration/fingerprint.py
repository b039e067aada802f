"""What tells one model from another."""

import hashlib
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from hooktune.iteration.messages import packed_model
from hooktune.tracking.models.loading import quiet_loading

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_TOKENIZER: Final = "tokenizer.json"
_TOKENIZER_CONFIG: Final = "tokenizer_config.json"
_OF_LAST_USE: Final = ("padding", "truncation", "max_length")
"""What a tokenizer's files say of the texts that it has read last."""
_USUAL: Final = {
    "pad_token_type_id": 0,
    "padding_side": "right",
    "stride": 0,
    "truncation_side": "right",
    "truncation_strategy": "longest_first",
}
"""What a tokenizer's files say only once it was used."""


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


def model_digest(model: "SentenceTransformer") -> str:
    """Return a digest of all that decides what a model makes of a text, the same in all processes.

    It is that of the model's files, which name the versions of the libraries too, and of the kind
    of device.
    """
    digest = hashlib.sha256(model.device.type.encode())
    with quiet_loading():
        files = packed_model(model)
    for name, content in sorted(files.items()):
        digest.update(f"{name} {hashlib.sha256(_lasting(name, content)).hexdigest()}\n".encode())
    return digest.hexdigest()


def _lasting(name: str, content: bytes) -> bytes:
    """Return a file of a model without what its use alone changes."""
    file = PurePosixPath(name).name
    if file not in (_TOKENIZER, _TOKENIZER_CONFIG):
        return content
    settings = {**(_USUAL if file == _TOKENIZER_CONFIG else {}), **json.loads(content)}
    lasting = {
        key: value
        for key, value in settings.items()
        if key not in _OF_LAST_USE and value is not None
    }
    return json.dumps(lasting, sort_keys=True).encode()
