"""Nothing phones home: importing all of it asks for no address and switches telemetry off."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SWITCHES = ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "KEDRO_DISABLE_TELEMETRY")

NOTING = """
import json, os, pkgutil, socket
asked = []
def refuse(*args, **kwargs):
    asked.append(repr(args))
    raise OSError("no network here")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
import lvo_kedro
{then}
print(json.dumps([asked, {{name: os.environ.get(name) for name in {switches}}}]))
"""
ALL = """
for module in pkgutil.walk_packages(lvo_kedro.__path__, "lvo_kedro."):
    __import__(module.name)
"""
ONE = """
try:
    socket.create_connection(("example.org", 80))
except OSError:
    pass
"""


def noted(then: str) -> tuple[list[str], dict[str, str | None]]:
    """Run something in a new process; return who was asked for, and how the switches stand."""
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", NOTING.format(then=then, switches=SWITCHES)],
        env={name: value for name, value in os.environ.items() if name not in SWITCHES},
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.long
def test_importing_all_of_it_asks_for_no_address_and_switches_telemetry_off():
    asked, switches = noted(ALL)
    assert asked == []
    assert switches == dict.fromkeys(SWITCHES, "true")


def test_who_asks_is_noted():
    asked, _ = noted(ONE)
    assert "example.org" in asked[0]
