"""Which process this is among those that a launcher (torchrun, Slurm) started together."""

import os
import threading
import time
from pathlib import Path

RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
JOB_VARIABLES = ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "MASTER_PORT")
BEAT_SECONDS = 1.0
PATIENCE_SECONDS = 60.0  # without a sign of life


class FollowerError(RuntimeError):
    """A process other than the first has done its share and has nothing to keep."""


def is_launched() -> bool:
    """Tell whether a launcher started this process, perhaps with others."""
    return any(name in os.environ for name in RANK_VARIABLES)


def process_rank() -> int:
    """Give this process's place; 0 for the first, and for one that is alone."""
    return next((int(os.environ[name]) for name in RANK_VARIABLES if name in os.environ), 0)


class FirstProcess:
    """The first process's signs of life: a file in the data folder that it touches.

    Parameters
    ----------
    folder
        A folder that all processes of the job share.
    """

    def __init__(self, folder: Path):
        job = "-".join(os.environ[name] for name in JOB_VARIABLES if name in os.environ) or "job"
        self.file = folder / f".first_process.{job}"
        self._stop = threading.Event()
        self._seen: tuple[float, float] = (time.monotonic(), -1.0)

    def start(self) -> None:
        """Give signs of life until `stop` or the end of the process."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.touch()
        threading.Thread(target=self._beat, daemon=True).start()

    def stop(self) -> None:
        """Give no more signs of life."""
        self._stop.set()
        self.file.unlink(missing_ok=True)

    def is_alive(self) -> bool:
        """Tell whether the first process gave a sign of life of late; asked by the others."""
        try:
            beat = self.file.stat().st_mtime
        except FileNotFoundError:
            beat = -1.0
        now = time.monotonic()  # clocks of several machines need not agree
        if beat != self._seen[1]:
            self._seen = (now, beat)
        return now - self._seen[0] < PATIENCE_SECONDS

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            self.file.touch()


_first = FirstProcess(Path())


def first_process() -> FirstProcess:
    """Give the first process of this job."""
    return _first


def share_folder(folder: Path) -> FirstProcess:
    """Say which folder the processes of this job share."""
    global _first  # noqa: PLW0603
    _first = FirstProcess(folder)
    return _first
