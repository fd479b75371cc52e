"""The process of ``nslab lab``: JupyterLab or Voilà, which ends with the process that started it.

It gets its token in its environment and passes it to Jupyter as an option inside the process. Thus
other users of the machine cannot read it on a command line or in a file, nothing is left behind,
and the option overrules configuration files.
"""

import os
import signal
import sys
import tempfile
import webbrowser
from pathlib import Path

from nslab.execution.stopping import follow_parent, hangs_up
from nslab.workbench.kernels import use_safe_kernel
from nslab.workbench.lab_settings import default_settings, write_settings

TOKEN, NOTEBOOKS, PAGE = "NSLAB_LAB_TOKEN", "NSLAB_LAB_NOTEBOOKS", "NSLAB_LAB_PAGE"


def main(app: str, words: list[str]) -> None:
    """Serve JupyterLab (``app`` is ``lab``) or Voilà (``voila``) until it is asked to end.

    Its kernels are then ended, and its temporary files removed.
    """
    follow_parent(ask_to_end)
    if hangs_up():
        signal.signal(signal.SIGHUP, lambda *_: ask_to_end())
    token = os.environ.pop(TOKEN)  # kernels must not inherit it
    notebooks, page = Path(os.environ.pop(NOTEBOOKS)), os.environ.pop(PAGE)
    with tempfile.TemporaryDirectory(prefix="nslab-kernel-") as folder:
        use_safe_kernel(Path(folder), here=True)  # `import mine` finds mine.py beside a notebook
        if app == "voila":
            from voila.app import Voila

            class Explorer(Voila):  # type: ignore[misc]
                """Voilà that opens the explorer with the token, and not the list of notebooks."""

                def launch_browser(self) -> None:
                    address = f"{self.connection_url}{page}?token={token}"
                    file = Path(folder, "open.html")  # not on the browser's command line
                    file.write_text(f'<meta http-equiv="refresh" content="0; url={address}">')
                    webbrowser.open(file.as_uri())

            Explorer.launch_instance([*words, f"--Voila.token={token}"])
        else:
            from jupyterlab.commands import get_app_dir
            from jupyterlab.labapp import LabApp

            settings = default_settings(notebooks.parent, notebooks)
            known = Path(get_app_dir()) / "settings"
            written = write_settings(Path(folder) / "settings", known, settings)
            words = [*words, f"--LabApp.app_settings_dir={written}"]
            LabApp.launch_instance([*words, f"--IdentityProvider.token={token}"])


def ask_to_end() -> None:
    """Send SIGTERM to this process, at which Jupyter cleans up and ends."""
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
