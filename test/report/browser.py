"""A headless Chromium, spoken to through a pipe: what a page asked the network for, what it complained of, what it holds."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SOFTWARE_WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")


def program() -> str | None:
    """The browser on this machine, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page. It can reach nothing but this machine: every other name is unknown to it.

    complaints: errors and warnings of the page's console, and its exceptions. requested: every address that it asked for.
    """

    def __init__(self, folder: Path, *flags: str, width: int = 1200, height: int = 900) -> None:
        found = program()
        assert found is not None
        (to_browser, self._to), (self._from, from_browser) = os.pipe(), os.pipe()
        command = [
            found, "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
            f"--user-data-dir={folder / 'browser'}", f"--window-size={width},{height}", "--remote-debugging-pipe",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost", *flags, "about:blank",
        ]  # fmt: skip

        def as_3_and_4() -> None:
            # Through numbers that are free: one of the two may be 3 or 4 already.
            ends = os.dup2(to_browser, 60), os.dup2(from_browser, 61)
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self._process = subprocess.Popen(
            command, preexec_fn=as_3_and_4, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self._rest, self._last = b"", 0
        self._session = ""
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._events: list[dict[str, Any]] = []
        try:
            pages: list[str] = []
            while not pages:  # it answers before it has opened one
                pages = [each["targetId"] for each in self.ask("Target.getTargets")["targetInfos"] if each["type"] == "page"]
            self._session = self.ask("Target.attachToTarget", targetId=pages[0], flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.ask(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def open(self, address: str, *, seconds: float = 60.0) -> Browser:
        """Goes there and waits until it has loaded; what was complained of and requested before is forgotten."""
        for told in (self._events, self.complaints, self.requested):
            told.clear()
        self.ask("Page.navigate", url=address)
        self.until(lambda: any(event["method"] == "Page.loadEventFired" for event in self._events), f"{address} to load", seconds)
        return self

    def prefer(self, scheme: str) -> None:
        """As a reader whose system is light or dark."""
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def sized(self, width: int, height: int) -> None:
        """As on a screen of this size."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is on the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self, file: Path, *, whole: bool = False) -> None:
        """What it looks like, as PNG; whole: the page to its end."""
        answer = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(answer["data"]))

    def until(self, condition: Any, what: str, seconds: float = 60.0) -> None:
        """Listens until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
            self._take(0.1)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command of the DevTools protocol."""
        self._last += 1
        number = self._last
        asked = {"id": number, "method": method, "params": parameters} | ({"sessionId": self._session} if self._session else {})
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        answers: list[dict[str, Any]] = []
        end = time.monotonic() + 90
        while not answers:
            assert time.monotonic() < end and self._process.poll() is None, f"the browser does not answer {method}"
            answers = [answer for answer in self._take(0.1) if answer.get("id") == number]
        assert "error" not in answers[0], (method, answers[0]["error"])
        return answers[0]["result"]

    def close(self) -> None:
        """Ends it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def _take(self, seconds: float) -> list[dict[str, Any]]:
        """What has come; events are sorted into what they tell."""
        if select.select([self._from], [], [], seconds)[0]:
            self._rest += os.read(self._from, 1 << 20)
        *whole, self._rest = self._rest.split(b"\0")
        messages = [json.loads(each) for each in whole]
        for event in (message for message in messages if "method" in message):
            self._events.append(event)
            told = event["params"]
            if event["method"] == "Network.requestWillBeSent":
                self.requested.append(told["request"]["url"])
            elif event["method"] == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                self.complaints.append(told["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
                self.complaints.append(" ".join(str(each.get("value", each.get("description"))) for each in told["args"]))
            elif event["method"] == "Runtime.exceptionThrown":
                thrown = told["exceptionDetails"]
                self.complaints.append(str(thrown.get("exception", {}).get("description", thrown["text"])))
        return messages
