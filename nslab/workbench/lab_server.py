"""The process of ``nslab lab``: JupyterLab or Voilà, which ends with whoever started it.

It gets its token in its environment, and passes it on where no other user of the machine can read
it, and nothing lies about afterwards: neither in a file nor on a command line of a process. An
option has the last word, whatever configuration files say.
"""

import os
import signal
import sys
import tempfile
import webbrowser
from pathlib import Path

from nslab.execution.local import follow_parent, hangs_up
from nslab.workbench.kernels import use_safe_kernel
from nslab.workbench.lab_settings import default_settings, write_settings

TOKEN, NOTEBOOKS, PAGE = "NSLAB_LAB_TOKEN", "NSLAB_LAB_NOTEBOOKS", "NSLAB_LAB_PAGE"


def main(app: str, words: list[str]) -> None:
    """Serve, ``app`` being ``lab`` or ``voila``, until somebody asks for the end.

    Its kernels are ended then, and what the server has noted of itself is removed.
    """
    follow_parent(ask_to_end)
    if hangs_up():
        signal.signal(signal.SIGHUP, lambda *_: ask_to_end())
    token = os.environ.pop(TOKEN)  # not for kernels
    notebooks, page = Path(os.environ.pop(NOTEBOOKS)), os.environ.pop(PAGE)
    with tempfile.TemporaryDirectory(prefix="nslab-kernel-") as folder:
        use_safe_kernel(Path(folder), here=True)  # `import mine` finds what lies beside a notebook
        if app == "voila":
            from voila.app import Voila

            class Explorer(Voila):  # type: ignore[misc]
                """Its own ``launch_browser`` opens the list of notebooks, without the token."""

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
    """Ask this process itself: Jupyter then tidies up."""
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
