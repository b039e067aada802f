"""The decorators that mark hook specifications and their implementations."""

from typing import Final

import pluggy

PROJECT_NAME: Final = "hooktune"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
