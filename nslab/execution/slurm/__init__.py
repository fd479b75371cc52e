"""Jobs of a SLURM cluster, submitted through submitit, in place of processes of this machine.

`run_slurm` takes the same jobs as `nslab.execution.local.run_local` and behaves alike. Run folders
must lie on a disk that the compute nodes share. How it works:

- All jobs of a call are one array. In ``data/runs/.slurm``, beside the run folders, each array has
  a folder of the same name as in the queue, with the list of its jobs. Whatever happens to this
  process, its jobs can be found by name in ``squeue``, and the same command attaches to them
  instead of submitting them again.
- submitit pickles what a job should do into that folder, and the job unpickles it: anybody who can
  write there can run code as you. The folder is therefore private (mode 0700); leave it so.
- Each job ends by writing its exit status there. How a job ended is read from that file, or from
  ``squeue`` for a job that did not get to write it. ``sacct``, which submitit would ask, needs an
  accounting database that a cluster may lack; without it submitit waits forever for a job that was
  killed.
- A job is queued again and continues from its last checkpoint if SLURM preempts it, if it reaches
  its time limit, or if its command or its node dies (`nslab.execution.slurm.node`).
- Two jobs never compute the same run: besides the queue there is the lock of the run
  (`nslab.runs.folder`), a flock. On NFS, Linux passes it on to the server (unless mounted with
  ``nolock`` or ``local_lock``); GPFS and Lustre keep it across nodes (Lustre not if mounted with
  ``localflock``). On a disk without flock, filelock falls back to a file that merely exists; such a
  lock has to be removed by hand after a node has crashed.
"""

from nslab.execution.slurm.resources import Slurm
from nslab.execution.slurm.submit import run_slurm

__all__ = ["Slurm", "run_slurm"]
