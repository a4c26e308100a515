"""Downloading Omniglot through torchvision, from a small archive served on this machine."""

import errno
import hashlib
import http.server
import io
import os
import shutil
import socket
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from omniglot_pictures import CHARACTERS, drawing
from PIL import Image
from refusal import refusal

from anml import data
from anml.drawings import data_fetch, packed, torchvision_import

# What the server does with a request for the evaluation zip; None: answer as it should.
Fault = Callable[[http.server.BaseHTTPRequestHandler, bytes], None]


def zipped(root: Path, split: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((root / f"images_{split}").rglob("*"), reverse=True):
            archive.write(path, path.relative_to(root))
    return buffer.getvalue()


class Server:
    """A web server on 127.0.0.1 that holds the two zip files and can be told to fail."""

    def __init__(self, zips: dict[str, bytes]) -> None:
        self.fault: Fault | None = None
        self.requests: list[str] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                body = zips[self.path.strip("/")]
                if server.fault and "evaluation" in self.path:
                    server.fault(self, body)
                else:
                    answer(self, body)

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


def answer(request: http.server.BaseHTTPRequestHandler, body: bytes, size: int = -1) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(body) if size < 0 else size))
    request.end_headers()
    request.wfile.write(body)


@pytest.fixture(autouse=True)
def _only_here(own_data: None, few_classes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small data set, a cache of the test's own, and no host but this machine."""
    monkeypatch.setenv("no_proxy", "*")
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: tuple[str, int]) -> None:
        assert address[0] == "127.0.0.1", f"asked {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)


@pytest.fixture
def server(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    zips = {f"images_{split}.zip": zipped(pictures, split) for split in CHARACTERS}
    server = Server(zips)
    omniglot = torchvision_import.import_torchvision_datasets().Omniglot
    monkeypatch.setattr(omniglot, "download_url_prefix", server.address)
    md5 = {name.removesuffix(".zip"): hashlib.md5(body).hexdigest() for name, body in zips.items()}
    monkeypatch.setattr(omniglot, "zips_md5", md5)
    yield server
    server.http.shutdown()
    server.http.server_close()


def cache_holds() -> list[str]:
    return sorted(os.listdir(data.cache_folder()))


# --- what is made


def expected(number: int, writer: int) -> np.ndarray:
    picture = Image.fromarray(np.where(drawing(number, writer), 0, 255).astype(np.uint8))
    return 255 - np.asarray(picture.resize((28, 28), Image.Resampling.LANCZOS))


def test_fetch_downloads_packs_and_leaves_one_file(server: Server) -> None:
    drawings, path = data_fetch.fetch()
    assert path == data.fetched_path()
    assert cache_holds() == [path.name]
    assert server.requests.count("/images_background.zip") >= 1
    assert drawings.source == "omniglot"
    assert drawings.character_id.tolist() == [1, 2, 3, 4, 5]
    assert drawings.alphabet.tolist() == ["Tifinagh", "Greek", "Greek", "ULOG", "Angelic"]
    assert drawings.character.tolist() == [f"character0{i}" for i in (1, 1, 2, 1, 1)]
    assert drawings.split.tolist() == ["background"] * 3 + ["evaluation"] * 2
    for row, column in np.ndindex(5, 20):
        np.testing.assert_array_equal(drawings.images[row, column], expected(row + 1, column + 1))
    assert data.load("auto").fingerprint == data.load("omniglot").fingerprint
    assert data.load("omniglot").fingerprint == drawings.fingerprint


def test_fetch_keeps_what_is_there_and_intact(server: Server) -> None:
    first, path = data_fetch.fetch()
    asked = len(server.requests)
    again, _ = data_fetch.fetch()
    assert len(server.requests) == asked
    assert again.fingerprint == first.fingerprint
    data_fetch.fetch(force=True)
    assert len(server.requests) > asked

    asked = len(server.requests)
    path.write_bytes(path.read_bytes()[:100])
    repaired, _ = data_fetch.fetch()
    assert len(server.requests) > asked
    assert repaired.fingerprint == first.fingerprint == packed.read_packed(path).fingerprint


def test_fetched_packed_and_unmarked_files_have_one_fingerprint(
    server: Server, pictures: Path, tmp_path: Path
) -> None:
    fetched, _ = data_fetch.fetch(tmp_path / "fetched.npz")
    torchvisions = tmp_path / "root" / "omniglot-py"
    torchvisions.mkdir(parents=True)
    for split in CHARACTERS:
        shutil.copytree(pictures / f"images_{split}", torchvisions / f"images_{split}")
    sources = (pictures, torchvisions, torchvisions.parent)
    marks = {data_fetch.pack(src, tmp_path / "p.npz").fingerprint for src in sources}
    bare = {name: getattr(fetched, name) for name in ("images", "character_id")}
    bare |= {name: getattr(fetched, name) for name in ("alphabet", "character", "split")}
    np.savez(tmp_path / "bare.npz", **bare)
    marks.add(packed.read_packed(tmp_path / "bare.npz").fingerprint)
    assert marks == {fetched.fingerprint}


# --- what goes wrong on the way


def status(code: int) -> Fault:
    return lambda request, _: request.send_error(code)


def half_way(request: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
    """Promise all, send half, hang up."""
    answer(request, body[: len(body) // 2], size=len(body))
    request.close_connection = True


def reset(request: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
    """Send half and reset the connection."""
    answer(request, body[: len(body) // 2], size=len(body))
    request.wfile.flush()
    linger = (1).to_bytes(4, sys.byteorder) + (0).to_bytes(4, sys.byteorder)
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    request.connection.shutdown(socket.SHUT_RD)
    request.connection.close()


def stall(request: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
    """Send half and then nothing for longer than the client waits."""
    answer(request, body[: len(body) // 2], size=len(body))
    request.wfile.flush()
    threading.Event().wait(1.0)
    request.close_connection = True


FAULTS: dict[str, tuple[Fault, str]] = {
    "not found": (status(404), "images_evaluation.zip answered with HTTP status 404"),
    "server error": (status(500), "answered with HTTP status 500"),
    "no content": (status(204), "incomplete or altered"),
    "half-way": (half_way, "incomplete or altered"),
    "reset": (reset, "interrupted"),
    "stalled": (stall, "interrupted"),
    "another file": (lambda request, _: answer(request, b"<html>log in</html>"), "checksum"),
    "hang-up": (lambda request, _: request.connection.close(), "interrupted"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_failed_download_leaves_nothing_and_a_second_try_works(
    server: Server, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(data_fetch, "_PATIENCE", 0.3)
    server.fault, message = FAULTS[case]
    assert message in refusal(data_fetch.fetch)
    assert cache_holds() == []
    assert socket.getdefaulttimeout() is None

    server.fault = None
    data_fetch.fetch()
    assert cache_holds() == [data.fetched_path().name]


def test_no_server_is_one_line(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    omniglot = torchvision_import.import_torchvision_datasets().Omniglot
    monkeypatch.setattr(omniglot, "download_url_prefix", f"http://127.0.0.1:{port}")
    assert "Connection refused" in refusal(data_fetch.fetch)
    assert cache_holds() == []


def test_a_wrong_md5_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    omniglot = torchvision_import.import_torchvision_datasets().Omniglot
    md5 = omniglot.zips_md5 | {"images_background": "0" * 32}
    monkeypatch.setattr(omniglot, "zips_md5", md5)
    assert "images_background.zip is incomplete or altered" in refusal(data_fetch.fetch)
    assert cache_holds() == []


def test_ctrl_c_half_way_leaves_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    omniglot = torchvision_import.import_torchvision_datasets().Omniglot

    def interrupted(self: object) -> None:
        Path(self.root).mkdir(parents=True)
        (Path(self.root) / "images_background.zip").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(omniglot, "download", interrupted)
        with pytest.raises(KeyboardInterrupt):
            data_fetch.fetch()
    assert cache_holds() == []
    data_fetch.fetch()


def test_a_failed_second_fetch_keeps_the_first_file(server: Server) -> None:
    first, path = data_fetch.fetch()
    server.fault = status(503)
    assert "503" in refusal(lambda: data_fetch.fetch(force=True))
    assert packed.read_packed(path).fingerprint == first.fingerprint


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_refuses_the_download_is_one_line(
    server: Server, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extractall", refuse)
        message = refusal(data_fetch.fetch)
    assert "cannot write" in message
    assert os.strerror(code) in message
    assert cache_holds() == []
    data_fetch.fetch()


def test_a_cache_that_cannot_be_made_is_known_before_the_download(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot write" in refusal(lambda: data_fetch.fetch(tmp_path / "file" / "a.npz"))
    assert "is a folder" in refusal(lambda: data_fetch.fetch(tmp_path))
    assert server.requests == []
