"""What must come of a line of a log that cannot be used, whichever reader meets it."""

from pathlib import Path

import pytest

from hooktune import DataError, Findings, LogPart, LogSource


def assert_refused(reader, log: Path, line: int, message: str) -> None:
    """The line is named, with what is wrong."""
    with pytest.raises(DataError) as raised:
        list(reader.read_log(LogSource((str(log),))))
    assert f"{log.name}, line {line}: " in str(raised.value)
    assert message in str(raised.value)


def read_tolerantly(reader, log: Path, tolerated: float) -> tuple[list[LogPart], Findings]:
    """Reads a log some lines of which may be set aside."""
    findings = Findings(tolerated=tolerated)
    return list(reader.read_log(LogSource((str(log),), findings=findings))), findings
