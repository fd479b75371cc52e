"""JupyterLab and Voilà listen on this machine alone and ask for a token, whatever configuration
says."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nslab.cli import app
from nslab.workbench import lab, lab_settings


@pytest.mark.parametrize(
    ("ip", "address"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1"), ("127.1.2.3",) * 2],
)
def test_loopback_is_allowed(ip: str, address: str) -> None:
    """In every form."""
    assert lab.checked(ip, expose=False) == address


@pytest.mark.parametrize("ip", ["0.0.0.0", "::", "192.168.1.5", "8.8.8.8"])
def test_other_addresses_must_be_asked_for(ip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the refusal says what it means, and what to do instead."""
    monkeypatch.setattr(subprocess, "call", lambda *_, **__: pytest.fail("it was started"))
    done = CliRunner().invoke(app, ["lab", "--ip", ip])
    assert done.exit_code == 2
    for words in ("can run any code as you", "ssh -L", "--expose"):
        assert words in done.output
    assert lab.checked(ip, expose=True) == ip


def test_root_must_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a link is printed."""
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("it was started"))
    done = CliRunner().invoke(app, ["lab"])
    assert done.exit_code == 2
    assert "--allow-root" in done.output
    assert "http" not in done.output


@pytest.mark.parametrize("ip", ["", "*", "example.org", "127.0.0.1; ls"])
def test_what_is_no_address(ip: str) -> None:
    """Is refused, exposed or not."""
    for expose in (False, True):
        with pytest.raises(ValueError, match="is no address"):
            lab.checked(ip, expose)


@pytest.mark.parametrize(
    "option", ["--ServerApp.token=", "--no-token", "--IdentityProvider.token="]
)
def test_nothing_is_passed_through(option: str) -> None:
    """No way around it by Jupyter's own options."""
    assert CliRunner().invoke(app, ["lab", option]).exit_code == 2


def test_ports_that_are_taken_are_skipped() -> None:
    """The next free one is taken, else an error says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert lab.free_port("127.0.0.1", port) > port
    with pytest.raises(ValueError, match="no port from 65536 on is free"):
        lab.free_port("127.0.0.1", 65536)


def answer(url: str) -> tuple[int, bytes]:
    """Status and body of a page."""
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return page.status, page.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[int, str]]:
    """Port and token of a server started by a user whose configuration switches the token off and
    listens everywhere."""
    config = folder / "config"
    config.mkdir()
    careless = {"ip": "0.0.0.0", "token": "", "allow_origin": "*", "disable_check_xsrf": True}
    careless |= {"allow_remote_access": True, "allow_unauthenticated_access": True}
    every = {"ServerApp": careless, "IdentityProvider": {"token": ""}}
    every["Voila"] = {"ip": "0.0.0.0", "token": "", "auto_token": False}
    for name in ("jupyter_server_config", "jupyter_lab_config", "jupyter_config", "voila"):
        (config / f"{name}.json").write_text(json.dumps(every))
    env = os.environ | {"JUPYTER_CONFIG_DIR": str(config), "JUPYTER_TOKEN": ""}
    env |= {"JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "HOME": str(folder)}
    env["GIT_DIR"] = str(folder / "no.git")  # the checkout's configuration stays as it is
    command = [sys.executable, "-m", "nslab.cli", "lab", "--no-browser", *options]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", "18765"], stdout=log, stderr=log, env=env, start_new_session=True
        )
    try:
        end, link = time.monotonic() + 90, None
        while time.monotonic() < end and server.poll() is None:
            address = r"http://127\.0\.0\.1:(\d+)/[\w/.]*\?token=(\w+)"
            link = re.search(address, read(folder / "log"))
            if link and listens("127.0.0.1", int(link[1])):
                break
            time.sleep(0.2)
        assert link, read(folder / "log")
        port, token = int(link[1]), link[2]
        assert len(token) == 48
        # the whole of 127.0.0.0/8 is this machine: a server that listens everywhere answers here
        assert not listens("127.0.0.2", port)
        told = [Path(f"/proc/{p}/cmdline").read_bytes() for p in group(server.pid)]
        assert told
        assert not any(token.encode() in line for line in told)  # others could read it there
        yield port, token
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_jupyterlab_asks_for_its_token(tmp_path: Path) -> None:
    """Nothing is served without it."""
    with serving(tmp_path, "--allow-root") as (port, token):
        base = f"http://127.0.0.1:{port}/api/contents"
        assert answer(base)[0] == 403
        assert answer(f"{base}?token=wrong")[0] == 403
        status, body = answer(f"{base}?token={token}")
        assert status == 200
        # README and figures are there, too
        assert {"README.md", "notebooks"} <= {item["name"] for item in json.loads(body)["content"]}
        assert answer(f"{base}/notebooks/ns_method.ipynb?token={token}&content=0")[0] == 200
        settings = answer(f"http://127.0.0.1:{port}/lab/api/settings?token={token}")[1].decode()
        assert "Markdown Preview" in settings
        assert "notebooks/explorer.ipynb" in settings
        # git is told of notebooks that were only run
        assert "nslab.workbench.unrun | extension was successfully loaded" in read(tmp_path / "log")


def test_settings_of_the_machine_go_first(tmp_path: Path) -> None:
    """Ours are defaults beside them, and what is there stays as it was."""
    known = tmp_path / "known"
    known.mkdir()
    news = {lab_settings.NOTIFICATIONS: {"fetchNews": "true"}, "other": {"a": 1}}
    (known / "overrides.json").write_text(json.dumps(news))
    (known / "page_config.json").write_text("{}")
    settings = lab_settings.default_settings(tmp_path, tmp_path / "notebooks")
    folder = lab_settings.write_settings(tmp_path / "ours", known, settings)
    written = json.loads((folder / "overrides.json").read_text())
    assert written[lab_settings.NOTIFICATIONS] == {"fetchNews": "true", "checkForUpdates": False}
    assert written["other"] == {"a": 1}
    assert len(written[lab_settings.TOP_BAR]["toolbar"]) == len(lab_settings.BUTTONS)
    assert (folder / "page_config.json").exists()
    assert json.loads((known / "overrides.json").read_text()) == news


def test_voila_asks_for_its_token(tmp_path: Path) -> None:
    """Nothing is executed without it."""
    pytest.importorskip("voila", reason="the extra is missing: pip install -e '.[voila]'")
    with serving(tmp_path, "--voila") as (port, token):
        base = f"http://127.0.0.1:{port}/voila/render"
        for refused in (f"{base}/explorer.ipynb", f"{base}/explorer.ipynb?token=wrong"):
            with urllib.request.urlopen(refused, timeout=30) as page:
                assert "/login?" in page.url
        for name in ("explorer", "claims"):  # what it links to is there, too
            with urllib.request.urlopen(f"{base}/{name}.ipynb?token={token}", timeout=30) as page:
                assert page.url.startswith(f"{base}/{name}.ipynb?")
                assert f"<title>{name}</title>".encode() in page.read(500)


def test_voila_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Says what to install."""
    monkeypatch.setattr(lab, "find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["lab", "--voila"])
    assert done.exit_code == 2
    assert "pip install" in done.output


def read(file: Path) -> str:
    """What a log says so far."""
    return file.read_text(errors="replace")


def listens(address: str, port: int) -> bool:
    """Whether something answers there."""
    try:
        with socket.create_connection((address, port), timeout=5):
            return True
    except OSError:
        return False


def group(leader: int) -> list[int]:
    """The processes of a group."""
    pids = [int(p.name) for p in Path("/proc").glob("[0-9]*")]
    found = []
    for pid in pids:
        try:
            if os.getpgid(pid) == leader:
                found.append(pid)
        except ProcessLookupError:
            continue
    return found
