"""Files of the Hugging Face hub, by its own client."""

import re
from pathlib import Path

from lec7.errors import InputError

DEFAULTS = ("model.safetensors", "pytorch_model.bin")
"""The files that are looked for where none is named, in this order."""

_ADDRESS = re.compile(r"(?P<repository>[^/@:]+/[^/@:]+)(@(?P<revision>[^:]+))?(:(?P<file>.+))?")


def fetch(address: str) -> Path:
    """A file of the hub in the cache of `huggingface_hub`, fetched where it is not in there yet.

    What is cached needs no network and is not asked for again, be it of a branch that has moved on since. A revision
    should be a commit hash, so that the same address means the same weights everywhere and forever.

    Args:
        address: `owner/name[@revision][:filename]`.

    Raises:
        InputError: the address makes no sense, the client is not installed, or there is no such file, neither in the
            cache nor on the hub.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(
            f"'hf:{address}' is no address on the Hugging Face hub; expected hf:owner/name, "
            "hf:owner/name@revision or hf:owner/name@revision:filename"
        )
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError as error:
        raise InputError(f"hf:{address} needs the hub's client: pip install 'lec7[hub]'") from error
    repository, revision, file = match["repository"], match["revision"], match["file"]
    names = (file,) if file else DEFAULTS
    reason: Exception | None = None
    for cached in (True, False):
        for name in names:
            try:
                return Path(hf_hub_download(repository, name, revision=revision, local_files_only=cached))
            except LocalEntryNotFoundError as error:  # It is not in the cache; or the hub can't be reached.
                reason = error
            except EntryNotFoundError as error:  # The hub has no such file: perhaps the next.
                reason = error
            except Exception as error:  # HTTP, names that the hub refuses, disks that are full.
                raise InputError(_said(address, names, error)) from error
    assert reason is not None  # Each name was asked for.
    raise InputError(_said(address, names, reason)) from reason


def _said(address: str, names: tuple[str, ...], error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    cause = f"; {type(error.__cause__).__name__}: {error.__cause__}" if error.__cause__ else ""
    return f"hf:{address} can't be fetched ({' or '.join(names)}): {lines[0]}{cause}"
