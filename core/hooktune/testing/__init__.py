"""Prove a plugin: the checks of a method and of an extension, and what tests of plugins start from.

    from hooktune.testing import check_method

    def test_my_method_keeps_the_contract():
        check_method("My Method")

Each check runs the plugin for real, on a model of a few thousand weights and on made-up sessions,
without any tracking store. pytest finds the fixtures of `hooktune.pytest_plugin` by itself.
"""

from hooktune.testing.checks import check_extension, check_method
from hooktune.testing.made_up import made_up_log, made_up_sessions, tiny_model
from hooktune.testing.report import CheckResult, ContractError, Report

__all__ = [
    "CheckResult",
    "ContractError",
    "Report",
    "check_extension",
    "check_method",
    "made_up_log",
    "made_up_sessions",
    "tiny_model",
]
