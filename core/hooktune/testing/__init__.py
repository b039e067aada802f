"""Prove a plugin: the checks of a method and of an extension, and what tests of plugins start from.

    from hooktune.testing import check_method

    def test_my_method_keeps_the_contract():
        check_method("My Method")

Each check runs the plugin for real, on a model of a few thousand weights and on made-up sessions,
without any tracking store. pytest finds the fixtures of `hooktune.testing.pytest_plugin` by itself.
"""

from typing import TYPE_CHECKING, Final

from hooktune._lazy import lazy_names

if TYPE_CHECKING:
    from hooktune.testing.checks import check_extension as check_extension
    from hooktune.testing.checks import check_method as check_method
    from hooktune.testing.made_up import made_up_log as made_up_log
    from hooktune.testing.made_up import made_up_sessions as made_up_sessions
    from hooktune.testing.made_up import tiny_model as tiny_model
    from hooktune.testing.readable import sessions_of as sessions_of
    from hooktune.testing.report import CheckResult as CheckResult
    from hooktune.testing.report import ContractError as ContractError
    from hooktune.testing.report import Report as Report

_HOME: Final = {
    "CheckResult": "report",
    "ContractError": "report",
    "Report": "report",
    "check_extension": "checks",
    "check_method": "checks",
    "made_up_log": "made_up",
    "made_up_sessions": "made_up",
    "sessions_of": "readable",
    "tiny_model": "made_up",
}

__all__ = [*sorted(_HOME)]

# pytest imports the plugin in this package at every start.
__getattr__ = lazy_names(__name__, _HOME)
