"""Tables as files and databases hold them, some thousands of rows at a time."""

import codecs
import csv
import io
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from hooktune.contract.files import open_file, plain_name
from hooktune.contract.log_source import Findings
from hooktune.errors import DataError

if TYPE_CHECKING:
    import sqlalchemy

_ROWS: Final = 1 << 16
_BLOCK_BYTES: Final = 1 << 23
_LONGEST_HEADER: Final = 1 << 20
_MOST_IN_MEMORY: Final = 1 << 30
_SEPARATORS: Final = {".csv": ",", ".tsv": "\t"}
_PARQUET: Final = (".parquet", ".pq")
_ARROW: Final = (".arrow", ".feather", ".ipc")
_DUCKDB: Final = (".duckdb", ".ddb")
_SQLITE: Final = (".sqlite", ".sqlite3", ".db")
_LOOKING: Final = frozenset(
    {sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
"""What SQLite may do for a query."""
_SHUT_IN: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": False,
    "lock_configuration": True,
}
"""DuckDB looks at no other file, makes none, and takes up no extension, whatever it is asked."""
TABLE_ENDINGS: Final = (*_SEPARATORS, *_PARQUET, *_ARROW, *_DUCKDB, *_SQLITE)
"""The endings of the names of tables, before that of a compression."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a table."""

    source: str
    """The file, and the table in it where it may hold several."""
    table: pa.Table
    first: int
    """The number of the first row."""
    unit: str = "row"
    """What is counted: rows from 1, or a file's lines, of which the first names the columns."""


def ending_of(address: str) -> str:
    """Return the ending of a file's name, before that of a compression."""
    return Path(plain_name(address)).suffix.lower()


def read_rows(address: str, sql: str | None, findings: Findings) -> Iterator[Rows]:
    """Read a table, or each table of a database.

    Args:
        address: A file, or with `sql` also the address of a database that SQLAlchemy opens.
        sql: The query to be asked of a database.
        findings: Takes the rows that are set aside because their number of columns is another one.

    Raises:
        DataError: It cannot be read, or is no table.
    """
    ending = ending_of(address)
    try:
        if ending in _DUCKDB:
            yield from _duckdb_rows(address, sql)
        elif ending in _SQLITE or (sql is not None and "://" in address):
            yield from _sql_rows(address, sql)
        elif sql is not None:
            raise DataError(f"{address} is no database, so that no --sql can be asked of it.")
        elif ending in _SEPARATORS:
            yield from _text_rows(address, _SEPARATORS[ending], findings)
        else:
            with open_file(address) as file:
                whole = file if file.seekable() and plain_name(address) == address else None
                yield from _arrow_rows(address, ending, whole or _unpacked(address, file))
    except (pa.ArrowException, duckdb.Error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{address} cannot be read: {str(error).splitlines()[0]}") from error


def _unpacked(address: str, file: IO[bytes]) -> IO[bytes]:
    """Return in memory what must be read out of order, unless it is too much for that."""
    content = file.read(_MOST_IN_MEMORY + 1)
    if len(content) > _MOST_IN_MEMORY:
        raise DataError(
            f"{address} holds more than {_MOST_IN_MEMORY >> 20:,} MiB. Unpack it, and name "
            "the file that comes of it."
        )
    return io.BytesIO(content)


def _arrow_rows(address: str, ending: str, file: IO[bytes]) -> Iterator[Rows]:
    first = 1
    if ending in _PARQUET:
        batches = pq.ParquetFile(file).iter_batches(_ROWS)
    else:
        try:
            reader = pa.ipc.open_file(file)
            batches = (reader.get_batch(place) for place in range(reader.num_record_batches))
        except pa.ArrowInvalid:
            file.seek(0)
            batches = pa.ipc.open_stream(file)
    for batch in batches:
        yield Rows(address, pa.Table.from_batches([batch]), first)
        first += len(batch)


def _text_rows(address: str, separator: str, findings: Findings) -> Iterator[Rows]:
    odd: list[Any] = []

    def pass_over(row: Any) -> str:
        odd.append(row)
        return "skip"

    with open_file(address) as file:
        header = file.readline(_LONGEST_HEADER).decode("utf-8-sig").strip("\r\n")
        if not header.strip():
            raise DataError(f"{address} is empty. Its first line should name the columns.")
        names = next(csv.reader([header], delimiter=separator))
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise DataError(f"{address}, line 1: two columns are called {repeated!r}. Rename one.")
        try:
            reader = pa_csv.open_csv(
                _Utf8(address, file),
                pa_csv.ReadOptions(
                    column_names=names, use_threads=False, block_size=_BLOCK_BYTES
                ),
                pa_csv.ParseOptions(
                    delimiter=separator, newlines_in_values=True, invalid_row_handler=pass_over
                ),
                pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    strings_can_be_null=True, null_values=[""],
                ),
            )  # fmt: skip
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                raise DataError(
                    f"{address} has no row but the one that names the columns."
                ) from None
            raise
        first = 2
        for batch in reader:
            _set_aside(address, separator, odd, findings)
            yield Rows(address, pa.Table.from_batches([batch]), first, "line")
            first += len(batch) + len(odd)
            odd.clear()
        _set_aside(address, separator, odd, findings)


class _Utf8(io.RawIOBase):
    """Reads the lines of a file after its first, and refuses what is not UTF-8, with its line.

    Arrow tells nobody where it stands, and fails in its own handler where such a line has too many
    fields besides.
    """

    def __init__(self, address: str, file: IO[bytes]) -> None:
        self._address = address
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._line = 2

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        try:
            self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            line = self._line + error.object[: error.start].count(b"\n")
            raise DataError(
                f"{self._address}, line {line}: not UTF-8: the byte "
                f"0x{error.object[error.start]:02x}. Save the file in UTF-8."
            ) from None
        self._line += data.count(b"\n")
        return data


def _set_aside(address: str, separator: str, odd: list[Any], findings: Findings) -> None:
    """Pass over lines that have more or fewer fields than columns, if that is tolerated."""
    for row in odd:
        findings.lines += 1
        where = "" if row.number is None else f", line {row.number + 1}"
        problem = (
            f"{address}{where}: {row.actual_columns} fields, and the first line names "
            f"{row.expected_columns} columns. Mend the line, or quote a field that holds "
            f"{separator!r}."
        )
        findings.set_aside(DataError(problem))


def _duckdb_rows(address: str, sql: str | None) -> Iterator[Rows]:
    if not Path(address).is_file():
        raise DataError(f"{address}: there is no such file.")
    with duckdb.connect(address, read_only=True, config=_SHUT_IN) as database:
        names = [row[0] for row in database.execute("SHOW TABLES").fetchall()]
        quoted = {name: name.replace('"', '""') for name in names}
        queries = {name: f'SELECT * FROM "{quoted[name]}"' for name in names}
        queries = queries if sql is None else {"": sql}
        for name, query in queries.items():
            relation = database.sql(query)
            if relation is not None:
                first = 1
                for batch in relation.to_arrow_reader(_ROWS):
                    source = f"{address}, table {name}" if name else address
                    yield Rows(source, pa.Table.from_batches([batch]), first)
                    first += len(batch)


def _sql_rows(address: str, sql: str | None) -> Iterator[Rows]:
    import sqlalchemy

    if "://" in address:
        url = address
    elif Path(address).is_file():
        url = f"sqlite:///file:{Path(address).resolve()}?mode=ro&uri=true"
    else:
        raise DataError(f"{address}: there is no such file.")
    try:
        engine = sqlalchemy.create_engine(url)
        try:
            quote = engine.dialect.identifier_preparer.quote
            names = sqlalchemy.inspect(engine).get_table_names() if sql is None else []
            queries = {name: f"SELECT * FROM {quote(name)}" for name in names}
            for name, query in (queries if sql is None else {"": sql}).items():
                with engine.connect().execution_options(stream_results=True) as connection:
                    _let_look_only(connection)
                    first, found = 1, connection.execute(sqlalchemy.text(query))
                    columns = list(found.keys())
                    for rows in found.partitions(_ROWS):
                        values = list(zip(*rows, strict=True))
                        table = pa.table([pa.array(each) for each in values], names=columns)
                        yield Rows(f"{address}, table {name}" if name else address, table, first)
                        first += len(table)
        finally:
            engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        message = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise DataError(f"{plain_database(address)} cannot be read: {message}.") from error


def _let_look_only(connection: "sqlalchemy.Connection") -> None:
    """Keep a query from changing a database, where it is SQLite from making other files too."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.dbapi_connection
        driver.set_authorizer(
            lambda deed, *_: sqlite3.SQLITE_OK if deed in _LOOKING else sqlite3.SQLITE_DENY
        )
    elif connection.dialect.name == "postgresql":
        connection.execution_options(postgresql_readonly=True)


def plain_database(address: str) -> str:
    """Return the address of a database without what stands before its host, which is secret."""
    kind, separator, rest = address.partition("://")
    return f"{kind}{separator}{rest.rpartition('@')[2]}" if separator else address
