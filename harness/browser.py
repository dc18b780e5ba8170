"""Debian's Chromium without a window, driven by playwright: views of the relay's page, and their faults."""

import importlib.util
import os
from contextlib import ExitStack
from typing import Any, Self
from urllib.parse import urlsplit

from harness.processes import find_program

PROGRAM = find_program("chromium")
#: Milliseconds that an action or a wait in a view may take: more than a busy machine needs, and bounded.
PATIENCE_MS = 60_000
DESKTOP, PHONE = (1440, 900), (390, 844)


def lacks(*modules: str) -> str | None:
    """Return why no browser can be started here, or None if one can; `modules` are needed too."""
    if PROGRAM is None:
        return "chromium is missing: install chromium and fonts-dejavu-core"
    missing = [name for name in ("playwright", *modules) if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)} missing: pip install -e '.[browser]'" if missing else None


class Browser:
    """One Chromium. Use as a context manager: leaving ends it with all its views.

    Errors of scripts, violations of the Content-Security-Policy, failed loads, and requests to other hosts than
    127.0.0.1 are collected in `troubles`.
    """

    def __init__(self) -> None:
        self.troubles: list[str] = []
        self._stack = ExitStack()
        self._chromium: Any = None

    def __enter__(self) -> Self:
        from playwright.sync_api import sync_playwright

        playwright = self._stack.enter_context(sync_playwright())
        # Chromium has no sandbox for root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        self._chromium = playwright.chromium.launch(
            executable_path=PROGRAM, args=[*arguments, "--disable-gpu"], timeout=PATIENCE_MS
        )
        self._stack.callback(self._chromium.close)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def view(
        self,
        size: tuple[int, int] = DESKTOP,
        *,
        dark: bool = False,
        script: bool = True,
        zone: str = "Europe/Berlin",
        credentials: tuple[str, str] | None = None,
    ) -> Any:
        """Return an empty page of playwright, with cookies of its own."""
        context = self._chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            locale="en-GB",
            timezone_id=zone,
            reduced_motion="reduce",
            ignore_https_errors=True,
            http_credentials={"username": credentials[0], "password": credentials[1]} if credentials else None,
        )
        context.set_default_timeout(PATIENCE_MS)
        context.on("request", self._saw_request)
        page = context.new_page()
        page.on("console", self._saw_line)
        page.on("pageerror", lambda error: self.troubles.append(f"script: {error}"))
        return page

    def _saw_request(self, request: Any) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob", "about") and url.hostname not in ("127.0.0.1", "localhost", "::1"):
            self.troubles.append(f"request to another host: {request.url}")

    def _saw_line(self, line: Any) -> None:
        if line.type in ("error", "warning"):
            self.troubles.append(f"{line.type}: {line.text}")


def serious(page: Any) -> list[str]:
    """Return the faults of a view that axe calls serious or critical, each with the places of the view."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    return [
        f"{found['id']}: {found['help']}: {'; '.join(node['html'][:120] for node in found['nodes'][:5])}"
        for found in violations
        if found["impact"] in ("serious", "critical")
    ]
