"""Checks by name, and the report of what they found."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from hooktune.contract.seeding import seeded
from hooktune.errors import HooktuneError, RequestError, did_you_mean
from hooktune.testing.surroundings import AMBIENT_SEED, watched

T = TypeVar("T", contravariant=True)


class Fault(Exception):  # noqa: N818 - it is what a check finds, not a failure of the check
    """What a check found: what was expected, what is there, and how to mend it."""


@dataclass(frozen=True)
class Check(Generic[T]):
    """A check of a plugin.

    Args:
        name: Its name.
        function: Takes what is checked and raises a `Fault`.
        needs: The checks without which this one says nothing.
    """

    name: str
    function: Callable[[T], None]
    needs: tuple[str, ...] = ()


def check_of(function: Callable[[T], None], *needs: str) -> Check[T]:
    """Return the check that is named as its function."""
    return Check(function.__name__, function, needs)


@dataclass(frozen=True)
class CheckResult:
    """What one check found."""

    name: str
    passed: bool
    message: str = ""
    """Of a failed check: what was expected and how to mend it."""
    error: BaseException | None = field(default=None, compare=False)
    """Of a check that failed because the plugin raised: what it raised."""


@dataclass(frozen=True)
class Report:
    """What the checks of a plugin found; a check that could not say anything is not among them."""

    plugin: str
    results: tuple[CheckResult, ...]

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The failed checks."""
        return tuple(result for result in self.results if not result.passed)

    def __str__(self) -> str:
        if not self.failed:
            return f"{self.plugin} passes all {len(self.results)} checks."
        listed = "".join(f"\n- {result.name}: {result.message}" for result in self.failed)
        return f"{self.plugin} fails {len(self.failed)} of {len(self.results)} checks:{listed}"


class ContractError(AssertionError):
    """A plugin breaks its contract.

    Args:
        report: All that was found.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


def run_checks(
    checks: Iterable[Check[T]], subject: T, skip: Collection[str] = ()
) -> list[CheckResult]:
    """Run checks in their order, leaving out those whose needs failed.

    Whatever a check changes of its surroundings is put back after it.
    """
    results: list[CheckResult] = []
    unknown: set[str] = set()
    for check in checks:
        if check.name in skip:
            continue
        if unknown.intersection(check.needs):
            unknown.add(check.name)
            continue
        result = _run(check, subject)
        results.append(result)
        if not result.passed:
            unknown.add(check.name)
    return results


def refuse_unknown(skip: Collection[str], names: Collection[str]) -> None:
    """Refuse to skip a check that there is not.

    Raises:
        RequestError: One of the names is no check's.
    """
    for name in skip:
        if name not in names:
            raise RequestError(f"There is no check {name!r} to skip. {did_you_mean(name, names)}")


def concluded(report: Report, raise_on_failure: bool) -> Report:
    """Return a report, or raise it where a check failed."""
    if report.failed and raise_on_failure:
        causes = (result.error for result in report.failed if result.error is not None)
        raise ContractError(report) from next(causes, None)
    return report


def _run(check: Check[T], subject: T) -> CheckResult:
    try:
        with seeded(AMBIENT_SEED), watched():
            check.function(subject)
    except Fault as fault:
        return CheckResult(check.name, False, str(fault), fault.__cause__)
    except HooktuneError as error:
        return CheckResult(check.name, False, str(error), error.__cause__ or error)
    except Exception as error:
        return CheckResult(check.name, False, f"{type(error).__name__}: {error}", error)
    return CheckResult(check.name, True)
