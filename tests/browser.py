"""Debian's chromium without a screen, driven by the WebDriver protocol, for tests of pages."""

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ports import free_port

DRIVER = shutil.which("chromedriver")
CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--window-size=1600,1000",
)


def wait_until(what: Callable[[], Any], why: str, seconds: float = 90) -> Any:
    """Asks until the answer is true; returns it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := what():
            return answer
        time.sleep(0.3)
    raise AssertionError(f"waited {seconds} seconds in vain: {why}")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


class Browser:
    """One window."""

    def __init__(self, driver: str, profile: Path) -> None:
        self._address = f"{driver}/session"
        options = {"binary": CHROMIUM, "args": [*OPTIONS, f"--user-data-dir={profile}"]}
        asked = {"browserName": "chrome", "goog:chromeOptions": options}
        made = self._call("POST", "", {"capabilities": {"alwaysMatch": asked}})
        self._address += f"/{made['sessionId']}"

    def open(self, url: str) -> None:
        # A page that differs only behind the # is not loaded anew otherwise.
        self._call("POST", "/url", {"url": "about:blank"})
        self._call("POST", "/url", {"url": url})
        # On a busy machine the call may return before all of the page is there.
        wait_until(lambda: self.run("return document.readyState") == "complete", url)

    def run(self, script: str, *arguments: object) -> Any:
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self) -> str:
        return self.run("return document.body ? document.body.innerText : ''")

    def wait_for(self, *texts: str) -> None:
        """Waits until a page shows some texts."""
        try:
            wait_until(lambda: all(text in self.text() for text in texts), str(texts))
        except AssertionError as error:
            raise AssertionError(f"{error}\nThe page says:\n{self.text()[:3000]}") from None

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def run_in_new_pages(self, script: str) -> None:
        """Runs a script in each page that is opened from now on, before the page's own ones."""
        command = "Page.addScriptToEvaluateOnNewDocument"
        self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": {"source": script}})

    def print(self) -> bytes:
        """The page on paper, as a PDF."""
        return base64.b64decode(self._call("POST", "/print", {}))

    def close(self) -> None:
        self._call("DELETE", "")

    def _call(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            self._address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=180) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(json.load(error)["value"]["message"]) from None


@contextmanager
def started(command: list[str], url: str, log: Path, seconds: float = 90) -> Iterator[None]:
    """Runs a server until the block ends, which begins when it answers."""
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        try:
            wait_until(lambda: process.poll() is not None or answers(url), url, seconds)
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            yield
        finally:
            # Servers start processes of their own, which outlive them by seconds.
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """Opens a browser with an empty profile."""
    assert DRIVER
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with started([DRIVER, f"--port={port}"], f"{address}/status", folder / "driver.log"):
        browser = Browser(address, folder / "profile")
        try:
            yield browser
        finally:
            browser.close()
