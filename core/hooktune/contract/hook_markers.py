"""What marks a function as a hook's specification, or as a plugin's implementation of one."""

from typing import Final

import pluggy

PROJECT_NAME: Final = "hooktune"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
