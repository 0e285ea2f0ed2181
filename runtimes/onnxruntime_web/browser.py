"""A headless Chromium with one page that does what it is told, fed by a server that listens on this machine only."""

import atexit
import ctypes
import http.server
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psutil

from artifacts.errors import ModelError, StageCrashed, TargetUnavailable
from artifacts.types import Arrays
from runtimes.onnxruntime_web.messages import pack, unpack

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PAGE = Path(__file__).with_name("page.html")
TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html"}
START_SECONDS, ANSWER_SECONDS = 60.0, 600.0

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Without these a page has a clock of 0.1 ms and no threads."""


def chromium() -> Path | None:
    """The browser: what TIGHTSHIP_CHROMIUM names, or the first of the usual names on the path."""
    named = os.environ.get("TIGHTSHIP_CHROMIUM")
    if named:
        return Path(named) if Path(named).is_file() else None
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return Path(found) if found else None


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a browser that is ended breaks its connection off."""


class Browser:
    """One page in a browser of its own; it goes with this object, and with this process however that ends."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        """Serve the folders of `places` (name -> folder) beside the page, and open it."""
        executable = chromium()
        if executable is None:
            raise TargetUnavailable("there is no Chromium: install it, or name it in TIGHTSHIP_CHROMIUM.")
        self._jobs: queue.Queue[bytes] = queue.Queue()
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._server = _Server(("127.0.0.1", 0), _handler(places, self._jobs, self._answers))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._profile = tempfile.TemporaryDirectory(prefix="tightship-web-", ignore_cleanup_errors=True)
        address = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._process = subprocess.Popen(
            [str(executable), *_switches(self._profile.name), address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=sys.stderr,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self._asked = False
        atexit.register(self.close)

    def ask(self, job: Mapping[str, object], arrays: Arrays | None = None) -> tuple[dict[str, Any], Arrays]:
        """One job and its answer.

        Raises:
            ModelError: what the page says went wrong.
            StageCrashed: the browser died or did not answer in time.
        """
        limit = time.monotonic() + (ANSWER_SECONDS if self._asked else START_SECONDS)
        self._jobs.put(pack(job, arrays or {}))
        while True:
            try:
                header, made = unpack(self._answers.get(timeout=0.5))
                break
            except queue.Empty:
                if self._process.poll() is not None:
                    raise StageCrashed(f"Chromium ended with exit code {self._process.returncode}; see the log.") from None
                if time.monotonic() > limit:
                    raise StageCrashed(f"the page did not answer {job['do']!r} in time.") from None
        self._asked = True
        if "error" in header:
            raise ModelError(f"ONNX Runtime Web: {_one_line(header['error'])}")
        return header, made

    def tree(self) -> list[psutil.Process]:
        """The browser's processes."""
        try:
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []

    def close(self) -> None:
        """End the browser and the server."""
        atexit.unregister(self.close)
        processes = self.tree()
        for process in processes:
            try:
                process.kill()
            except psutil.Error:
                continue
        self._process.wait(10)
        self._server.shutdown()
        self._server.server_close()
        self._profile.cleanup()


def _switches(profile: str) -> list[str]:
    switches = [
        "--headless=new", "--disable-gpu", "--no-first-run", "--no-default-browser-check", "--disable-extensions",
        "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--disable-sync",
        "--mute-audio", "--enable-features=SharedArrayBuffer", f"--user-data-dir={profile}",
    ]  # fmt: skip
    # Chromium refuses its sandbox to root, as containers run it; the page and all it loads are our own
    return [*switches, "--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else switches


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().rstrip(".") + "."


def _handler(
    places: Mapping[str, Path], jobs: "queue.Queue[bytes]", answers: "queue.Queue[bytes]"
) -> Callable[..., http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _, _, rest = self.path.partition("/")
            place, _, name = unquote(rest).partition("/")
            path = PAGE if not rest else places[place] / name if place in places and Path(name).name == name else None
            if path is None or not path.is_file():
                self._send(404, b"", "text/plain")
                return
            self._send(200, path.read_bytes(), TYPES.get(path.suffix, "application/octet-stream"))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/next":
                self._send(200, jobs.get(), "application/octet-stream")
            else:
                answers.put(body)
                self._send(200, b"", "text/plain")

        def _send(self, status: int, data: bytes, kind: str) -> None:
            self.send_response(status)
            for key, value in {**ISOLATED, "Content-Type": kind, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: a request is no event."""

    return Handler
