"""Real distributions for tests: written as an installer leaves them, most with one fault each."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

GOOD = """
    import hooktune

    @hooktune.hookimpl
    def upload_initial_model(settings): ...

    @hooktune.hookimpl
    def fit_batch(model): return model
"""

METHODS = {
    "raises": "raise RuntimeError('no licence found')",
    "exits": "raise SystemExit(3)",
    "garbled": "def fit_batch(:",
    "lacking": """
        import hooktune

        @hooktune.hookimpl
        def upload_initial_model(settings): ...
    """,
    "misspelt": """
        import hooktune

        @hooktune.hookimpl
        def upload_initial_model(settings): ...

        @hooktune.hookimpl
        def fit_bach(model): ...
    """,
    "unmarked": """
        import hooktune

        @hooktune.hookimpl
        def upload_initial_model(settings): ...

        def fit_batch(model): ...
    """,
    "default": """
        import hooktune

        @hooktune.hookimpl
        def upload_initial_model(settings): ...

        @hooktune.hookimpl
        def fit_batch(model, params=None): ...
    """,
    "argument": """
        import hooktune

        @hooktune.hookimpl
        def upload_initial_model(settings): ...

        @hooktune.hookimpl
        def fit_batch(modle): ...
    """,
    "class": """
        import hooktune

        class Method:
            @hooktune.hookimpl
            def upload_initial_model(self, settings): ...

            @hooktune.hookimpl
            def fit_batch(self, model): ...
    """,
}


class Zoo:
    """A folder of installed distributions, such as `site-packages`."""

    def __init__(self, site: Path) -> None:
        self.site = site
        self.modules: set[str] = set()

    def install(
        self,
        distribution: str,
        source: str = GOOD,
        *,
        method: str | None = None,
        extension: str | None = None,
        log: str | None = None,
        attribute: str = "",
        version: str = "1.0",
        requires: str | None = None,
        metadata: str | None = None,
    ) -> str:
        """Write a module and its distribution's metadata; return the module's name."""
        module = "zoo_" + distribution.lower().replace("-", "_").replace(".", "_")
        self.modules.add(module)
        (self.site / f"{module}.py").write_text(dedent(source))
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requires}"] if requires else []
        target = module + (f":{attribute}" if attribute else "")
        points = [f"[hooktune.methods]\n{method} = {target}\n"] if method is not None else []
        points += [f"[hooktune.extensions]\n{extension} = {target}\n"] if extension else []
        points += [f"[hooktune.logs]\n{log} = {target}\n"] if log is not None else []
        folder = self.site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("\n".join(lines) + "\n" if metadata is None else metadata)
        (folder / "entry_points.txt").write_text("\n".join(points))
        (folder / "RECORD").write_text(f"{module}.py,,\n")
        return module

    def install_faulty_methods(self) -> None:
        """Install each of `METHODS` as a distribution `bad-<fault>` with the method `<fault>`."""
        for fault, source in METHODS.items():
            attribute = "Method" if fault == "class" else ""
            self.install(f"bad-{fault}", source, method=fault, attribute=attribute)


@contextmanager
def opened_zoo(site: Path) -> Iterator[Zoo]:
    """Put an empty folder of distributions on the path, and forget its modules afterwards."""
    site.mkdir()
    sys.path.insert(0, str(site))
    zoo = Zoo(site)
    try:
        yield zoo
    finally:
        sys.path.remove(str(site))
        for module in zoo.modules:
            sys.modules.pop(module, None)
