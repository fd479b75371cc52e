"""Jobs of a SLURM cluster, submitted through submitit, in place of processes of this machine.

`run_slurm` takes the jobs that `nslab.execution.local.run_local` takes and keeps its promises. Run
folders must lie on a disk that the compute nodes share. How it holds together:

- All jobs of a call are one array. Beside the run folders, in ``data/runs/.slurm``, lies a folder
  per array, named like the array in the queue, with the list of its jobs; so whatever becomes of
  this process, its jobs can be found by name in ``squeue``, and the same command attaches to them
  instead of submitting them again.
- submitit pickles what a job should do into that folder, and the job unpickles it: who can write
  there can run code as you. The folder is therefore yours alone (mode 0700); leave it so.
- Each job ends by writing its exit status there. That file, and ``squeue`` for the jobs that never
  came to write one, say how a job ended. ``sacct``, which submitit would ask, needs an accounting
  data base that a cluster may lack; without it submitit waits forever for a job that was killed.
- A job that SLURM preempts, that runs into its time limit, whose command or whose node dies, is
  queued again and goes on from its last checkpoint (`nslab.execution.slurm.node`).
- Two jobs never compute the same run: besides the queue there is the lock of the run
  (`nslab.runs.folder`), a flock. Linux passes it on to the server on NFS (not where mounted with
  ``nolock`` or ``local_lock``), and GPFS and Lustre keep it across nodes (Lustre not where mounted
  with ``localflock``). On a disk that has no flock at all, filelock falls back to a file that just
  exists, and such a lock has to be removed by hand after a node crashed.
"""

from nslab.execution.slurm.resources import Slurm
from nslab.execution.slurm.submit import run_slurm

__all__ = ["Slurm", "run_slurm"]
