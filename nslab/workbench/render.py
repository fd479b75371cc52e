"""Execute notebooks headless, each in a process of its own, and report how they ended.

papermill calls a notebook completed even if its kernel died, so success is judged here: the child
process writes ``<name>.status.json`` last, and only that file together with exit status 0 counts.
The child holds a lock, so that one process at a time writes the files of a notebook.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from nslab.execution.local import Ended, Engine, Job, no_result, run_local, run_with_retries
from nslab.execution.monitor import Monitor
from nslab.execution.stopping import PARENT, follow_parent, stoppable
from nslab.execution.warm_server import keep_copy
from nslab.system.files import stamp, write_text
from nslab.system.locks import is_locked, locked
from nslab.system.paths import cache_dir, home
from nslab.system.plurals import counted
from nslab.system.progress import FILE
from nslab.system.renamed import renamed_keywords
from nslab.system.safe_python import python_command
from nslab.workbench.kernels import fork_kernels, use_safe_kernel
from nslab.workbench.notebooks import Planned, another, completed

# Settings of a kernel. Without them it warns that it uses TCP without encryption, on loopback; it
# searches its folder before installed modules; and it watches its parent in a way that fails while
# the kernel starts, and where orphans are not adopted by process 1.
KERNEL = """
from nslab.execution.stopping import follow_parent

c.IPKernelApp.log_level = 40
c.InteractiveShellApp.ignore_cwd = True
follow_parent()
"""


@renamed_keywords(board="monitor")
def render(
    planned: Sequence[Planned],
    max_parallel: int = 2,
    echo: Callable[[str], object] = print,
    *,
    devices: Sequence[str] = (),
    retries: int = 0,
    monitor: Monitor | None = None,
    engine: Engine = run_local,
) -> list[Ended]:
    """Execute notebooks, ``max_parallel`` at a time: the longest first, so that the others do not
    wait for it at the end, and last those that look up all runs. One that fails does not stop the
    others, and is tried ``retries`` more times.

    Executed copies are kept in any case. A notebook that failed has an exit status other than 0 in
    what is returned, even if its process had 0. ``monitor`` shows progress, by default a new one.
    """
    max_parallel = min(max_parallel, max(1, len(planned)))
    by_name = {p.name: p for p in sorted(planned, key=lambda p: -p.seconds())}

    def verified(end: Ended) -> Ended:
        return end if by_name[end.job.name].status.exists() else no_result(end)

    def tell(end: Ended) -> None:
        output = by_name[end.job.name].output
        if end.status == 0:
            echo(f"{end.job.name}: done in {end.seconds:.0f} s -> {output}")
        else:
            echo(f"{end.job.name}: FAILED after {end.seconds:.0f} s, {end.why()}")
            echo(f"  partly executed copy: {output}\n  log: {end.job.log}")
        shown.end(end)

    with nullcontext(monitor) if monitor else Monitor(max_parallel, show=False) as shown:
        shown.expect(dict.fromkeys(by_name, "notebook"))
        echo(f"rendering {counted(len(by_name), 'notebook')}, {max_parallel} at a time")
        for one in by_name.values():
            if is_locked(one.lock):
                echo(f"{one.name}: another process is executing it, this one will wait")
        ended: list[Ended] = []
        for last in (False, True):
            ended += run_with_retries(
                [render_job(p) for p in by_name.values() if p.looks_up_all == last],
                max_parallel,
                devices=devices,
                retries=retries,
                verify=verified,
                on_start=shown.start,
                on_end=tell,
                engine=engine,
            )
        return ended


def render_job(planned: Planned) -> Job:
    """The process that executes a notebook."""
    output = planned.output
    env = {
        "NSLAB_HEADLESS": "1",
        "NSLAB_FIGURES": str(planned.figures),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        FILE: str(output.with_suffix(".progress.json")),
    }
    if planned.is_users_own:  # its kernel works in another folder
        env["NSLAB_HOME"] = str(home())
        env |= {"NSLAB_DATA": str(cache_dir())} if "NSLAB_DATA" in os.environ else {}
    command = python_command("nslab.workbench.render", str(output))
    command.append(json.dumps(planned.task))
    return Job(planned.name, command, output.with_suffix(".log"), env)


def execute(output: Path, task: dict[str, Any]) -> None:
    """In the child process: execute one task, then write its status. Does nothing if another
    process did the very same while this one waited for its lock."""
    status, source = output.with_suffix(".status.json"), Path(task["source"])
    before = stamp(status)
    with locked(output.with_suffix(".lock"), f"another process is executing {output}"):
        if stamp(status) != before and task.items() <= completed(status).items():
            print(f"{output} was made meanwhile, by the same task", flush=True)
            return
        if "cwd" in task and (other := another(output, source)):
            raise ValueError(
                f"{output} belongs to {other} by now: the same command writes to another place"
            )
        write_text(status, json.dumps({"status": "running"} | task))
        output.with_suffix(".progress.json").unlink(missing_ok=True)
        write_text(output.with_suffix(".task.json"), json.dumps(task))
        started = time.monotonic()
        try:
            execute_cells(output, task)
        except BaseException:
            status.unlink(missing_ok=True)
            raise
        output.with_suffix(".progress.json").unlink(missing_ok=True)
        done = {"status": "done", "seconds": time.monotonic() - started} | task
        write_text(status, json.dumps(done, indent=1))


def execute_cells(output: Path, task: dict[str, Any]) -> None:
    """Execute a notebook with papermill; ``RuntimeError`` if its kernel died."""
    import nbformat
    import papermill

    os.environ[PARENT] = str(os.getpid())  # for the kernel
    with tempfile.TemporaryDirectory() as quiet:
        profile = Path(quiet) / "profile_default"
        profile.mkdir()
        write_text(profile / "ipython_kernel_config.py", KERNEL)
        os.environ["IPYTHONDIR"] = quiet
        use_safe_kernel(
            Path(quiet), here="cwd" in task
        )  # a user's notebook may import files beside it
        fork_kernels()
        papermill.execute_notebook(
            *(name.replace("{", "{{").replace("}", "}}") for name in (task["source"], str(output))),
            parameters=task["parameters"],
            kernel_name="python3",
            language="python",
            progress_bar=False,
            autosave_cell_every=10,
            cwd=task.get("cwd"),
        )
    cells = nbformat.read(output, as_version=4).cells
    silent = [
        i
        for i, cell in enumerate(cells)
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None
    ]
    if silent:
        raise RuntimeError(f"the kernel died: cells {silent} were never executed")


if __name__ == "__main__":
    keep_copy("ipykernel_launcher")  # first, while this process has no threads
    follow_parent()
    os.environ.setdefault("NSLAB_HEADLESS", "1")
    with stoppable():  # papermill then ends the kernel too
        execute(Path(sys.argv[1]), json.loads(sys.argv[2]))
