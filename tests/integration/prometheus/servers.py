# SPDX-License-Identifier: Apache-2.0
"""Real Prometheus servers: Debian's, and where it can be had the newer one of Debian's next release."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

from tests.ports import free_port
from tests.waiting import LIMIT_S, until

NEWER_HOME = Path(__file__).parents[3] / ".venvs" / "prometheus-sid"
_BIRTH = re.compile(r"_(total|sum|count|bucket\{.*\})$")
ZERO_INJECTION = "created-timestamp-zero-ingestion"


def newer_prometheus() -> Path | None:
    """Return Prometheus 3 from Debian's pool, fetched once by apt; None where it cannot be had."""
    program = NEWER_HOME / "root" / "usr" / "bin" / "prometheus"
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if program.exists():
        return program
    if shutil.which("apt-get") is None or not keyring.exists() or os.geteuid() != 0:
        return None
    for folder in ("lists/partial", "cache/archives/partial"):
        (NEWER_HOME / folder).mkdir(parents=True, exist_ok=True)
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    mirror = next(line.split()[1] for line in sources.read_text().splitlines() if line.startswith("URIs:"))
    (NEWER_HOME / "sid.list").write_text(f"deb [signed-by={keyring}] {mirror} sid main\n")
    options = {
        "Dir::Etc::sourcelist": NEWER_HOME / "sid.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": NEWER_HOME / "lists",
        "Dir::Cache": NEWER_HOME / "cache",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    try:
        for arguments in (["update"], ["download", "prometheus"]):
            subprocess.run([*apt, *arguments], cwd=NEWER_HOME, check=True, capture_output=True, timeout=300)
        (package,) = NEWER_HOME.glob("prometheus_*.deb")
        unpack = ["dpkg-deb", "-x", str(package), str(NEWER_HOME / "root")]
        subprocess.run(unpack, check=True, capture_output=True, timeout=120)
        package.unlink()
        shutil.rmtree(NEWER_HOME / "lists")
    except (subprocess.SubprocessError, ValueError):
        return None
    return program


class Prometheus:
    """
    A server that scrapes some ports of this machine.

    Args:
        program: Which Prometheus.
        home: An empty folder.
        targets: Ports to scrape.
        interval: Seconds between two scrapes.
        token: What it shows to be let in.
        features: Feature flags.
    """

    def __init__(
        self,
        program: Path | str,
        home: Path,
        targets: list[int],
        interval: float,
        token: str,
        features: tuple[str, ...] = (),
    ):
        self.port = free_port()
        home.mkdir()
        config = home / "prometheus.yml"
        every = f"{round(interval * 1000)}ms"
        config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": every, "scrape_timeout": every},
                    "scrape_configs": [
                        {
                            "job_name": "app",
                            "authorization": {"credentials": token},
                            "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in targets]}],
                        }
                    ],
                }
            )
        )
        command = [
            str(program),
            f"--config.file={config}",
            f"--storage.tsdb.path={home / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=" + ",".join(["exemplar-storage", *features]),
        ]
        with (home / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.log = home / "log"
        self.until = 0.0
        """Up to when raw samples are read."""

    def wait_ready(self) -> None:
        """Wait until it answers."""

        def is_ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=LIMIT_S).close()
            return True

        until(is_ready)

    def ask(self, path: str, **parameters: str | float):
        """Return the data of an answer of its API."""
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}"
        with urllib.request.urlopen(url, timeout=LIMIT_S) as response:
            return json.load(response)["data"]

    def value(self, query: str, at: float | None = None) -> float:
        """Return the only value of a query; 0 where there is none."""
        moment = {} if at is None else {"time": at}
        result = self.ask("query", query=query, **moment)["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def first_values(self, name: str) -> list[float]:
        """Return the first sample of every series of a name."""
        return [samples[0][1] for _, samples in self._raw(name)]

    def counted(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Return every series of a name with what it counted, by all its raw samples."""
        births = {_key(metric): dict(samples) for metric, samples in self._raw(_BIRTH.sub("_created", name))}
        return [
            (metric, _counted(samples, births.get(_key(metric), {}))) for metric, samples in self._raw(name)
        ]

    def _raw(self, name: str) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        # All of one moment, so that a scrape between two questions is in none of the answers.
        result = self.ask("query", query=f"{name}[1h]", time=self.until)["result"]
        return [(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in result]

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(LIMIT_S)


def _counted(samples: list[tuple[float, float]], births: dict[float, float]) -> float:
    """
    Return what a counter counted: it begins at zero, and anew where it fell or was born again.

    A server that takes created timestamps as zeros has no series of births: the zeros stand among the
    samples. One that does not has them, and needs them: a counter that has passed its old value before
    it is scraped again does not fall.
    """
    total, before, born = 0.0, 0.0, None
    for at, value in samples:
        anew = value < before or births.get(at) != born
        total += value if anew else value - before
        before, born = value, births.get(at)
    return total


def _key(metric: dict[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((label, value) for label, value in metric.items() if label not in ("__name__", "le"))
