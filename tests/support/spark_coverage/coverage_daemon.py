"""PySpark's daemon, whose workers save what coverage has measured after each task: they end by a signal.

`make coverage` has Spark start it: see `spark-defaults.conf` beside it.
"""

from __future__ import annotations

import socket

from coverage import Coverage
from pyspark import daemon

_work = daemon.worker


def work_and_save(sock: socket.socket, authenticated: bool) -> int:
    try:
        return _work(sock, authenticated)
    finally:
        if measured := Coverage.current():
            measured.save()


daemon.worker = work_and_save

if __name__ == "__main__":
    daemon.manager()
