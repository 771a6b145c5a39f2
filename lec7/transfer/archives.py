"""Zip archives, looked at before anything in them is read: both NumPy's and PyTorch's files are such."""

import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from lec7.errors import InputError
from lec7.transfer.limits import check_size
from lec7.transfer.names import quote

_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}


@contextmanager
def open_archive(path: Path) -> Generator[zipfile.ZipFile]:
    """A zip archive whose directory makes sense; its members' checksums are compared as they are read.

    Raises:
        InputError: it is cut off, encrypted or compressed in an unusual way; names lead out of it or are there twice;
            or it claims more than it can hold.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise InputError(f"it is a zip archive that is cut off or damaged ({error}); fetch it again") from error
    with archive:
        members = archive.infolist()
        seen: set[str] = set()
        for member in members:
            name = member.filename
            if name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts:
                raise InputError(f"its member {quote(name)} leads out of the archive: it is malicious")
            if name in seen:
                raise InputError(f"its member {quote(name)} is there twice: it is damaged or malicious")
            if member.flag_bits & 1 or member.compress_type not in _METHODS:
                raise InputError(f"its member {quote(name)} is encrypted or compressed in an unusual way")
            if is_stored(member) and member.file_size != member.compress_size:
                raise InputError(
                    f"its member {quote(name)} claims {member.file_size:,} bytes of {member.compress_size:,}"
                )
            seen.add(name)
        weight = path.stat().st_size
        check_size(sum(member.file_size for member in members), weight, "it")
        if sum(member.compress_size for member in members) > weight:
            raise InputError("its members together are larger than itself: it is damaged or malicious")
        yield archive


def is_stored(member: zipfile.ZipInfo) -> bool:
    """Whether a member lies in the archive as it is, not compressed."""
    return member.compress_type == zipfile.ZIP_STORED
