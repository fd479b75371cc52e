"""A SLURM cluster of one node on this machine, in a folder of its own, for as long as it is needed.

    python tests/slurm/cluster.py

starts munged, slurmctld and slurmd (Debian: packages slurm-wlm and munge) on free ports with a key
of their own, prints how to use them, and on Ctrl-C stops the three again: those it started, and
nothing else. There is no accounting, as on many small clusters, and two GPUs are pretended.
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
NODE = socket.gethostname().partition(".")[0]
# Delays are cut short so that tests need not wait: KillWait and cred_expire are 30 and 120 seconds
# by default. A node set down by hand comes back when told to: by itself, it would be given a job
# again whose old processes it has not finished killing, and SLURM would hold that job.
CONFIG = """
ClusterName=tiny
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=bf_interval=2,sched_interval=5
SlurmdParameters=config_overrides
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=1
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 Gres=gpu:2
PartitionName=tiny Nodes={host} Default=YES MaxTime=1:00:00 DefMemPerCPU=1000 State=UP GraceTime=2
PartitionName=urgent Nodes={host} PriorityTier=9 DefMemPerCPU=1000 State=UP
"""


def missing() -> list[str]:
    """The programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=PLACES) is None]


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def start(name: str, *options: str, log: Path) -> subprocess.Popen:
    """A daemon, in the foreground of a process of ours."""
    program = shutil.which(name, path=PLACES)
    assert program is not None, f"{name} is not installed"
    with log.open("ab") as out:
        return subprocess.Popen(
            [program, *options], stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )


def said(*command: str) -> str:
    """What a command prints; nothing if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def wait_for(what: str, came: Callable[[], bool], log: Path, seconds: float = 30) -> None:
    """Until it came, or an error with the end of a log."""
    deadline = time.monotonic() + seconds
    while not came():
        if time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{what} did not come in {seconds:.0f} s:\n{tail}")
        time.sleep(0.2)


@contextmanager
def cluster() -> Iterator[Path]:
    """A running cluster: the folder of its logs; ``SLURM_CONF`` names it to all SLURM commands."""
    before = os.environ.get("SLURM_CONF")
    daemons: list[subprocess.Popen] = []
    with tempfile.TemporaryDirectory(prefix="nslab-slurm-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # munged wants its socket within reach
        for inner in ("state", "spool"):
            (folder / inner).mkdir()
        config, key = folder / "slurm.conf", folder / "munge.key"
        config.write_text(
            CONFIG.format(host=NODE, folder=folder, ports=free_ports(2), user=getpass.getuser())
        )
        for number in (0, 1):
            (folder / f"gpu{number}").touch()
        (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1]\n")
        os.environ["SLURM_CONF"] = str(config)
        try:
            mungekey = shutil.which("mungekey", path=PLACES)
            assert mungekey is not None
            subprocess.run([mungekey, "--create", f"--keyfile={key}"], check=True)
            files = [
                f"--{what}-file={folder}/munge.{what}" for what in ("key", "pid", "log", "seed")
            ]
            socket_option = f"--socket={folder}/munge.socket"
            log = folder / "munged.out"
            daemons.append(start("munged", "--foreground", *files, socket_option, log=log))
            wait_for("munged", lambda: "MUNGE:" in said("munge", "-n", socket_option), log)
            for daemon in ("slurmctld", "slurmd"):
                options = ["-D", "-f", str(config)]
                daemons.append(start(daemon, *options, log=folder / f"{daemon}.out"))
            wait_for("a node", lambda: "idle" in said("sinfo", "-ho%T"), folder / "slurmd.log")
            yield folder
            said("scancel", "--user", getpass.getuser())
            wait_for("the end of all jobs", lambda: not said("squeue", "-h"), folder / "slurmd.log")
        finally:
            for process in reversed(daemons):
                process.terminate()
            for process in daemons:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if before is None:
                os.environ.pop("SLURM_CONF")
            else:
                os.environ["SLURM_CONF"] = before


if __name__ == "__main__":
    if missing():
        sys.exit(f"not installed: {', '.join(missing())}")
    with cluster() as logs:
        print(f"export SLURM_CONF={logs}/slurm.conf\npartition tiny; Ctrl-C stops it", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("stopping")
