"""The examples for clusters and containers do what docs/clusters.md says they do."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader

ROOT = Path(__file__).resolve().parents[1]
SLURM, CONTAINER = ROOT / "examples" / "slurm", ROOT / "examples" / "container"

KEDRO = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
import joblib
from kedro.config import OmegaConfigLoader

seen = {{"arguments": sys.argv[1:], "cores": joblib.cpu_count()}}
if "--env" in sys.argv:
    env = sys.argv[sys.argv.index("--env") + 1]
    values = OmegaConfigLoader("conf", env=env, base_env="base", default_run_env="local")["globals"]
    from distributed import Client
    with Client(values["scheduler"]) as client:
        client.wait_for_workers(2, timeout=60)
        workers = client.scheduler_info()["workers"].values()
        seen |= {{"globals": dict(values), "threads": [worker["nthreads"] for worker in workers]}}
Path("seen.json").write_text(json.dumps(seen))
sys.exit(int(os.environ.get("FAILS", "0")))
"""
SRUN = """#!/usr/bin/env bash
"$@" & one=$!
"$@" & two=$!
trap 'kill -9 $one $two' TERM
wait
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with stand-ins for SLURM's ``srun`` and for ``kedro``."""
    (tmp_path / "conf" / "local").mkdir(parents=True)
    shutil.copytree(ROOT / "conf" / "base", tmp_path / "conf" / "base")
    (tmp_path / "conf" / "local" / "globals.yml").write_text("data: /mnt/lvo")
    for name, content in (("kedro", KEDRO), ("srun", SRUN)):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(content)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def submit(project: Path, script: str, *options: str, **more: str) -> int:
    """Run a job's script, as SLURM does on the first node."""
    own = {"SLURM_SUBMIT_DIR": str(project), "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1"}
    own |= {"KEDRO": str(project / "bin" / "kedro"), "PYTHON": sys.executable}
    own["PATH"] = f"{project / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", str(SLURM / script), *options]
    return subprocess.run(  # noqa: S603 - our own script
        command, env=os.environ | own | more, check=False, stdin=subprocess.DEVNULL, timeout=100
    ).returncode


def test_a_job_on_one_node_takes_its_own_cores(project):
    assert submit(project, "one_node.sh", "--pipelines", "priors") == 0
    seen = json.loads((project / "seen.json").read_text())
    assert seen == {"arguments": ["run", "--pipelines", "priors"], "cores": 1}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("fails", ["0", "3"])
def test_a_job_on_several_nodes_tells_the_run_its_scheduler(project, fails):
    pytest.importorskip("distributed")
    assert submit(project, "cluster.sh", "--pipelines", "priors", FAILS=fails) == int(fails)
    seen = json.loads((project / "seen.json").read_text())
    assert seen["arguments"] == ["run", "--env", "slurm_7", "--pipelines", "priors"]
    assert seen["globals"]["data"] == "/mnt/lvo"
    assert seen["globals"]["scheduler"].startswith("tcp://")
    assert seen["globals"]["network_workers"] == 1  # of conf/base
    assert seen["threads"] == [1, 1]
    left = {path.name for path in project.iterdir()}
    assert left == {"conf", "bin", "seen.json"}
    assert sorted(path.name for path in (project / "conf").iterdir()) == ["base", "local"]


def test_a_scheduler_that_is_named_already_is_not_written_over(project):
    own = project / "conf" / "local" / "globals.yml"
    own.write_text("scheduler: tcp://host:8786\n")
    assert submit(project, "cluster.sh") == 1
    assert own.read_text() == "scheduler: tcp://host:8786\n"
    assert not (project / "seen.json").exists()


def steps(file: str) -> list[tuple[str, list[str]]]:
    """Return the instructions of a Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (CONTAINER / file).read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], shlex.split(line.split(" ", 1)[1])) for line in lines]


def test_the_image_is_made_without_a_network_and_runs_without_root():
    found = steps("Dockerfile")
    assert [words for step, words in found if step == "USER"] == [["lvo"]]
    last = [step for step, _ in found]
    assert last.index("USER") > max(n for n, step in enumerate(last) if step in ("RUN", "COPY"))
    (install,) = (w for step, w in found if step == "RUN" and "install" in w and "--no-index" in w)
    assert "/wheelhouse" in install and "/constraints.txt" in install
    assert not [w for _, w in found if {"apt-get", "curl", "wget"} & set(w)]


def copied() -> set[str]:
    return {
        source
        for step, words in steps("Dockerfile")
        if step == "COPY" and not words[0].startswith("--from")
        for source in words[:-1]
    }


def test_nothing_of_a_users_is_copied_into_an_image():
    made = {"wheelhouse"}
    assert all((ROOT / source).exists() for source in copied() - made)
    allowed = (CONTAINER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert "*" in allowed
    assert {line[1:] for line in allowed if line.startswith("!")} == copied()
    assert not [source for source in copied() if "local" in source or "data" in source]
    text = (CONTAINER / "lvo-kedro.def").read_text("utf-8")
    files = re.search(r"%files\n(.*?)\n\n", text, re.S).group(1)
    assert {line.split()[0] for line in files.splitlines()} == copied()


def test_the_configuration_in_an_image_is_whole(tmp_path):
    """What is copied is a project: Kedro reads it, and its data lie in the volume."""
    for source in (source for source in copied() if source.startswith("conf/")):
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / source, tmp_path / source)
    (written,) = re.findall(r"printf '(.*)\\n' > (\S+)", (CONTAINER / "Dockerfile").read_text())
    (tmp_path / written[1]).parent.mkdir()
    (tmp_path / written[1]).write_text(f"{written[0]}\n")
    loader = OmegaConfigLoader(str(tmp_path / "conf"), base_env="base", default_run_env="local")
    assert loader["globals"]["data"] == "/data"
    assert loader["catalog"]["cases"]["filepath"] == "/data/01_raw/cases.csv"
