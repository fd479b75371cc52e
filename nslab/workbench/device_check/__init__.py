"""Check a device: compare what nslab computes on it with references, and measure what it costs.

``check("cuda")`` compares Natural Selection, all losses, generations of evolvers, fitness, the
search for a loss, batches, mixed precision and compiled networks with plain formulas in float64 on
the CPU, then times them against one another.
"""

from nslab.workbench.device_check.findings import Finding, Ratio, Report
from nslab.workbench.device_check.run import check

__all__ = ["Finding", "Ratio", "Report", "check"]
