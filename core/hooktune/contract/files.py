"""Files of logs, wherever they lie and however they are compressed."""

import bz2
import glob
import gzip
import io
import lzma
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa

from hooktune.errors import DataError, RequestError, within_sentence

_PATTERN: Final = frozenset("*?[")
_SNAPPY_START: Final = b"\xff\x06\x00\x00sNaPpY"
_SNAPPY_MOST: Final = 1 << 17


def _zstandard(file: IO[bytes]) -> IO[bytes]:
    return io.BufferedReader(pa.CompressedInputStream(file, "zstd"))


def _snappy(file: IO[bytes]) -> IO[bytes]:
    return io.BufferedReader(_SnappyFrames(file))


_BY_ENDING: Final[dict[str, Callable[[Any], Any]]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _zstandard,
    ".sz": _snappy,
    ".snappy": _snappy,
}
COMPRESSED: Final = tuple(_BY_ENDING)
"""The endings of compressed files that are understood."""


def plain_name(address: str | Path) -> str:
    """Return a file's address without the ending that says how it is compressed."""
    name = str(address)
    ending = next((each for each in COMPRESSED if name.lower().endswith(each)), "")
    return name[: len(name) - len(ending)]


def find_files(addresses: list[str]) -> tuple[str, ...]:
    """Return the files that some paths, patterns and addresses stand for, in order.

    Raises:
        RequestError: A pattern fits no file, or an address cannot be asked.
    """
    found: list[str] = []
    for address in addresses:
        if not _PATTERN & set(address) or Path(address).exists():
            found.append(address)
            continue
        if "://" in address:
            files = _remote_files(address)
        else:
            files = sorted(glob.glob(address, recursive=True))  # noqa: PTH207 - takes absolute ones
        if not files:
            raise RequestError(f"No file fits the pattern {address!r}.")
        found += files
    return tuple(found)


def _remote_files(address: str) -> list[str]:
    import fsspec

    try:
        system, _, paths = fsspec.get_fs_token_paths(address)
        return sorted(system.unstrip_protocol(path) for path in paths)
    except Exception as error:
        raise _unreadable(address, error) from error


@contextmanager
def open_file(address: str | Path) -> Iterator[IO[bytes]]:
    """Open a file to be read, and decompress it by its ending.

    Args:
        address: A path, or an address that fsspec opens, such as `s3://bucket/log.jsonl.gz`.

    Raises:
        DataError: The file is not there, is a folder or a pipe, or cannot be read to its end.
    """
    name = str(address)
    ending = name[len(plain_name(name)) :].lower()
    try:
        with _opened(name) as file:
            yield _BY_ENDING[ending](file) if ending else file
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such file.") from None
    except IsADirectoryError:
        raise DataError(f"{name} is a folder. Name the file in it.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _unreadable(name, error) from error
    except OSError as error:
        raise _unreadable(name, error.strerror or error) from error


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    if "://" not in name:
        check_is_no_pipe(name)
        with Path(name).open("rb") as file:
            yield file
        return
    import fsspec

    try:
        opened = fsspec.open(name, "rb").open()
    except (OSError, DataError):
        raise
    except Exception as error:
        # A missing package of the protocol, credentials, a bad address: any library's own error.
        raise _unreadable(name, error) from error
    with opened as file:
        yield file


def check_is_no_pipe(name: str | Path) -> None:
    """Refuse a pipe, which may never end or begin, and of which a second look finds the rest.

    Raises:
        DataError: It is a pipe, a socket or a device.
        OSError: It is not there, or may not be looked at.
    """
    if "\0" in str(name):
        raise FileNotFoundError
    kind = Path(name).stat().st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise DataError(
            f"{name} is a pipe or a device, and files are read more than once. "
            "Save what it gives as a file."
        )


def _unreadable(name: str, why: object) -> DataError:
    return DataError(f"{name} cannot be read: {within_sentence(str(why))}.")


class _SnappyFrames(io.RawIOBase):
    """Reads what is compressed in Snappy's framing format, a frame at a time.

    The format: https://github.com/google/snappy/blob/main/framing_format.txt
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = memoryview(b"")
        if file.read(len(_SNAPPY_START)) != _SNAPPY_START:
            raise OSError("it is not in Snappy's framing format")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            header = self._file.read(4)
            if not header:
                return 0
            data = self._file.read(int.from_bytes(header[1:], "little"))
            self._left = memoryview(self._frame(header[0], data))
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def _frame(self, kind: int, data: bytes) -> bytes:
        if kind == 1:
            return data[4:]
        if kind != 0:
            if 2 <= kind <= 0x7F:
                raise OSError(f"a Snappy frame is of the unknown kind {kind}")
            return b""
        size = 0
        for place, byte in enumerate(data[4:9]):
            size |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                break
        if size > _SNAPPY_MOST:
            raise OSError(f"a Snappy frame stands for {size} bytes, and none may for so many")
        try:
            return pa.decompress(data[4:], size, codec="snappy", asbytes=True)  # type: ignore[no-any-return]
        except pa.ArrowException as error:
            raise OSError(str(error)) from error
