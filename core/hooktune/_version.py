"""The version of hooktune, apart from the package that everything else imports."""

from typing import Final

__version__: Final = "0.1.0"
