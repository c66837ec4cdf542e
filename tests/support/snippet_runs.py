"""Runs the snippets of pages, one page after the other, on one Spark: `snippet_runs.py DIRECTORY RESULTS [PAGE ...]`.

`DIRECTORY` is where the commands run. Each page finds there what its text assumes: a registry `models`, labelled images
in `photos`, `flowers` and `digits`, images in `incoming` and `images`, and results in `out`. It is emptied in between.

Four things differ from what a reader types: a stream gets `--available-now`, so that it ends; `predictions` do not
`--follow`; the local broker listens on a free port; and the default recipe trains without augmented images.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from command import run_command
from paths import ROOT
from PIL import Image
from snippets import SAVED, Snippet, pages, snippets_of

from sparkdl.spark.session import spark_session
from streaming.spark_conf import DELTA, KAFKA, stream_conf
from training.data.synthetic.digits import draw_png

ADDRESS = "127.0.0.1:9092"
QUICK = ("max_iter=5", "calibrate=false")


class Runner:
    """Runs snippets in a directory, which the JVM of Spark has as its working directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept = directory.with_name(f"{directory.name}-kept")
        self._broker = ""
        self._variables: dict[str, Any] = {}
        os.chdir(directory)
        os.environ["SPARKDL_KAFKA_DIR"] = str(self._kept / "kafka")
        programs = self._kept / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        for name, command in (("sparkdl", "-m console.main"), ("python", "")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
            program.chmod(0o755)
        os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])

    def prepare(self) -> None:
        """Make what the pages assume, for all of them."""
        self._directory.mkdir(exist_ok=True)
        samples = self._kept / "samples"
        for kind, classes, count in (("photos", "01", 6), ("flowers", "23", 6), ("digits", "01", 6)):
            for name in classes:
                (samples / kind / name).mkdir(parents=True)
                for number in range(count):
                    (samples / kind / name / f"{number}.png").write_bytes(draw_png(int(name), seed=number))
        (samples / "flowers" / "2" / "broken.jpg").write_bytes(b"no image")
        for kind in ("incoming", "images"):
            (samples / kind).mkdir()
            for number in range(3):
                (samples / kind / f"{number}.png").write_bytes(draw_png(number, seed=20 + number))
        with Image.open(io.BytesIO(draw_png(3, seed=1))) as image:
            image.convert("RGB").save(samples / "incoming" / "a.jpg")
        broken = samples / "incoming" / "broken.png"
        broken.write_bytes(b"no image")
        os.utime(broken, (time.time() - 3600,) * 2)  # so that no stream waits for it
        self._start_page(with_results=False)
        conf = stream_conf((KAFKA, DELTA)) | {"spark.master": "local[2]", "spark.sql.shuffle.partitions": "2"}
        spark_session("snippets", conf, [KAFKA.lock, DELTA.lock])
        settings = [word for setting in QUICK for word in ("--set", setting)]
        self._sparkdl(["train", "--data", "samples:8", *settings])
        shutil.copytree("models", samples / "models")
        self._sparkdl(
            ["stream", "--source", "incoming", "--sink", "parquet:out", "--checkpoint", "p", "--available-now"]
        )
        shutil.copytree("out", samples / "out-parquet")
        shutil.rmtree("out")
        self._sparkdl(["stream", "--source", "incoming", "--sink", "delta:out", "--checkpoint", "d", "--available-now"])
        shutil.copytree("out", samples / "out-delta")

    def _start_page(self, *, with_results: bool = True, sink: str = "parquet") -> None:
        """Empty the directory and fill it."""
        for path in self._directory.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        samples = self._kept / "samples"
        for path in samples.iterdir():
            if not path.name.startswith("out-"):
                shutil.copytree(path, self._directory / path.name)
        if with_results:
            shutil.copytree(samples / f"out-{sink}", self._directory / "out")
        self._variables = {"__name__": "__main__"}

    def run_page(self, page: str) -> list[dict[str, str]]:
        """Run the snippets of a page; return its failures."""
        found = snippets_of(page)
        if not any(snippet.is_run for snippet in found):
            return []
        # A page that writes results begins without; one that only reads them finds some.
        writes = any("sparkdl stream" in command for snippet in found for command in snippet.commands)
        reads_delta = any("deltalake" in snippet.text for snippet in found)
        self._start_page(with_results=not writes, sink="delta" if reads_delta else "parquet")
        failures = []
        for snippet in found:
            begun = time.monotonic()
            if snippet.is_run and (problem := self._run(snippet)):
                failures.append({"line": str(snippet.line), "snippet": snippet.text, "problem": problem})
            if (seconds := time.monotonic() - begun) > 5:
                sys.stderr.write(f"{page}:{snippet.line}: {seconds:.1f} s\n")
        return failures

    def _run(self, snippet: Snippet) -> str:
        """Run a snippet; return what went wrong, or nothing."""
        if snippet.language in SAVED:
            Path(SAVED[snippet.language]).write_text(snippet.text)
            Path(SAVED[snippet.language]).chmod(0o600)
            return ""
        try:
            if snippet.language == "python":
                code = compile(self._addressed(snippet.text), f"{snippet.page}:{snippet.line}", "exec")
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(code, self._variables)
            else:
                for command in snippet.commands:
                    self._shell(self._addressed(command))
        except SystemExit as error:
            return f"ended with {error.code}"
        except Exception:  # noqa: BLE001 - whatever a snippet raises is what the page's test reports
            return traceback.format_exc(limit=-4)
        return ""

    def _addressed(self, text: str) -> str:
        """The text with the address of the local broker, which is started at the first need."""
        if ADDRESS not in text:
            return text
        if not self._broker:
            self._sparkdl(["kafka", "start"])
        return text.replace(ADDRESS, self._broker)

    def _shell(self, command: str) -> None:
        command = command.replace("NUMTADB_HOME", os.environ.get("NUMTADB_HOME", "NUMTADB_HOME"))
        if command.startswith("sparkdl ") and not re.search(r"[|<>]", command):
            self._sparkdl(shlex.split(command)[1:])
            return
        done = subprocess.run(["bash", "-ec", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: exit code {done.returncode}: {done.stderr}"

    def _sparkdl(self, arguments: list[str]) -> None:
        if arguments[0] == "stream" and "--available-now" not in arguments:
            arguments = [*arguments, "--available-now"]
        if arguments[0] == "predictions":
            arguments = [argument for argument in arguments if argument != "--follow"]
        if arguments[:2] == ["kafka", "start"] and "--port" not in arguments:
            arguments = [*arguments, "--port", "0"]
        if arguments[0] == "train" and "--recipe" not in arguments:
            arguments = [*arguments, "--set", "augmentations=0"]
        done = run_command(*arguments)
        if arguments[:2] == ["kafka", "start"]:
            self._broker = done.out.strip().splitlines()[-1] if done.code == 0 else ""
        if arguments[:2] == ["kafka", "stop"]:
            self._broker = ""
        if arguments[:2] == ["kafka", "status"] and not self._broker:
            return  # its exit code says that there is none
        assert done.code == 0, f"sparkdl {shlex.join(arguments)}: exit code {done.code}: {done.err}"

    def close(self) -> None:
        run_command("kafka", "stop")


def main() -> None:
    directory, results, *chosen = sys.argv[1:]
    target = Path(results).absolute()
    runner = Runner(Path(directory).resolve())
    failures: dict[str, list[dict[str, str]]] = {}
    try:
        runner.prepare()
        for page in chosen or pages():
            failures[page] = runner.run_page(page)
            target.write_text(json.dumps(failures))
    finally:
        runner.close()


if __name__ == "__main__":
    main()
