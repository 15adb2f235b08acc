"""Time of work on one core: process CPU time, medians, and the tie to the core itself.

Import this before any of the packages that are measured: they look at the environment and at the cores they may use when
they are loaded.
"""

import gc
import os
import statistics
import subprocess
import time

# OpenMP, OpenBLAS and Mesa's llvmpipe (0: draw in the calling thread).
SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TBB_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}


def tie_to_core(core):
    """All threads of this process and its children on one core; what they use counts in CPU time anyway."""
    os.environ.update(SINGLE_THREADED)
    os.sched_setaffinity(0, {core})


class Timer:
    """A piece of work that is timed again and again; its first run warms up."""

    def __init__(self, work, patience_s):
        self.work = work
        start = time.process_time()
        self.result = work()
        # What takes longer than the patience is not run again: the first run stands.
        first = time.process_time() - start
        self.is_slow = first > patience_s
        self.samples = [first] if self.is_slow else []
        self.burst = max(1, min(5, int(0.05 / max(first, 1e-6))))

    def round(self):
        """Some more samples; the result of a run is let go before the next is timed."""
        if self.is_slow:
            return
        for _ in range(self.burst):
            self.result = None
            gc.collect(0)
            start = time.process_time()
            result = self.work()
            self.samples.append(time.process_time() - start)
            self.result = result

    @property
    def median_s(self):
        return statistics.median(self.samples)


def child_cpu_s(command, **options):
    """User and system seconds of a child, and what it printed."""
    before = os.times()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options)
    after = os.times()
    seconds = after.children_user - before.children_user + after.children_system - before.children_system
    return seconds, done.stdout
