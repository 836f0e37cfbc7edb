"""Programs that agents reach the network with, inside a sandbox: what is allowed works, what is refused is understood.

They are told of nothing: the proxy is in their environment, and one that ignores it asks the name server.
"""

import json
import subprocess
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest

from support import origins
from support.engine import ROOT
from support.stack import Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

IMAGE, AGENT, AGENT_TYPE = "stockade/test-clients", "programs-1", "coverage-analyzer"
ALLOWED, REFUSED, GREETING = "ok.test", "evil.test", "hello from outside"
CA = "/workspace/ca.pem"
TRUST = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS")
ENVIRONMENT = dict.fromkeys(TRUST, CA) | {
    "PIP_TRUSTED_HOST": f"{ALLOWED} pip.{REFUSED}",  # else it asks for nothing in the clear
    "PIP_RETRIES": "0",
}

PYTHON = {
    "requests": """
        import requests
        answer = requests.get(url)
        print(answer.status_code, answer.text)
    """,
    "httpx": """
        import httpx
        answer = httpx.get(url)
        print(answer.status_code, answer.text)
    """,
    "aiohttp": """
        import asyncio, aiohttp
        async def main():
            async with aiohttp.ClientSession(trust_env=True) as session, session.get(url) as answer:
                print(answer.status, await answer.text())
        asyncio.run(main())
    """,
    "urllib": """
        import urllib.error, urllib.request
        try:
            answer = urllib.request.urlopen(url)
        except urllib.error.HTTPError as error:
            answer = error
        print(answer.status, answer.read().decode())
    """,
}
NODE = """
    fetch(process.argv[1])
      .then(async answer => console.log(answer.status, await answer.text()))
      .catch(error => { console.log(error.cause); process.exit(1) })
"""
PROGRAMS = {
    "curl": ["curl", "--silent", "--show-error", "URL"],
    "wget": ["wget", "--tries=1", "--content-on-error", "--output-document=-", f"--ca-certificate={CA}", "URL"],
    "node": ["node", "-e", NODE, "URL"],
    "git": ["sh", "-c", 'git clone --quiet "$0/repo.git" /tmp/repo.$$ && cat /tmp/repo.$$/README', "URL"],
    "pip": ["sh", "-c", 'python3 -m pip download --no-deps --dest /tmp/tiny.$$ --index-url "$0/simple/" tiny', "URL"],
} | {
    name: ["python3", "-c", f"import sys\nurl = sys.argv[1]\n{textwrap.dedent(program)}", "URL"]
    for name, program in PYTHON.items()
}  # fmt: skip

RUNNER = """
import concurrent.futures, json, subprocess, sys

def run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return {"code": done.returncode, "said": done.stdout + done.stderr}

commands = json.load(sys.stdin)
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(json.dumps(dict(zip(commands, pool.map(run, commands.values())))))
"""


def url(program: str, scheme: str, host: str) -> str:
    """Each program has a name of its own below a refused one, so that the gate can tell whose refusal is whose."""
    return f"{scheme}://{host if host == ALLOWED else f'{program}.{host}'}"


def site(directory: Path) -> Path:
    """What the allowed origin serves: a page, a repository of git, and an index with one package."""
    (directory / "index.html").write_text(GREETING)
    work, bare = directory / "work", directory / "repo.git"
    work.mkdir()
    (work / "README").write_text(GREETING)
    who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com")
    for words in (
        ("-C", work, "init", "--quiet"),
        ("-C", work, "add", "README"),
        ("-C", work, *who, "commit", "--quiet", "-m", "Greet"),
        ("clone", "--quiet", "--bare", work, bare),
        ("-C", bare, "update-server-info"),
    ):
        subprocess.run(["git", *words], check=True)
    index = directory / "simple/tiny"
    index.mkdir(parents=True)
    wheel = "tiny-1.0-py3-none-any.whl"
    (index / "index.html").write_text(f'<!DOCTYPE html><html><body><a href="{wheel}">{wheel}</a></body></html>')
    with zipfile.ZipFile(index / wheel, "w") as archive:
        archive.writestr("tiny.py", f"print({GREETING!r})\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return directory


@pytest.fixture(scope="module")
def told(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each program said, by `program scheme host`; under `explain`, what the gate said of the refusals."""
    subprocess.run([ROOT / "tests/images/clients/build"], check=True, timeout=300)
    commands = {
        f"{name} {scheme} {host}": [word.replace("URL", url(name, scheme, host)) for word in command]
        for name, command in PROGRAMS.items()
        for scheme in ("http", "https")
        for host in (ALLOWED, REFUSED)
    }
    world = stack.outside
    world.zone.names |= {ALLOWED: [world.ok.address], REFUSED: [world.evil.address]}
    kept = world.ok.plain.reply, world.ok.tls.reply
    world.ok.plain.reply = world.ok.tls.reply = origins.files(site(tmp_path_factory.mktemp("site")))
    world.forget()
    environment = [word for name, value in ENVIRONMENT.items() for word in ("--env", f"{name}={value}")]
    with stack.policy(AGENT_TYPE, ALLOWED), stack.sandbox(AGENT, AGENT_TYPE, image=IMAGE) as name:
        assert stack.stockade("sandbox", "cp", str(world.authority.certificate), f"{name}:/workspace").returncode == 0
        runner = ("sandbox", "exec", *environment, name, "--", "python3", "-c", RUNNER)
        done = stack.stockade(*runner, stdin=json.dumps(commands))
        explain = {"explain": ["curl", "--silent", "http://policy.stockade.internal/explain"]}
        explained = stack.stockade(*runner, stdin=json.dumps(explain))
    world.ok.plain.reply, world.ok.tls.reply = kept
    assert done.returncode == 0, done.stderr
    refusals = json.loads(json.loads(explained.stdout)["explain"]["said"])["refusals"]
    result: dict[str, Any] = json.loads(done.stdout)
    return result | {"explain": {f"{each['method']} {each['host']}": each for each in refusals}}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_an_allowed_host_works(told: dict[str, Any], program: str, scheme: str) -> None:
    result = told[f"{program} {scheme} {ALLOWED}"]
    assert result["code"] == 0, result["said"]
    assert ("Successfully downloaded tiny" if program == "pip" else GREETING) in result["said"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_refused_request_is_understood(told: dict[str, Any], program: str) -> None:
    """By its reason, with all that show what was answered; to all the gate explains it."""
    said = told[f"{program} http {REFUSED}"]["said"]
    assert {"git": "403", "pip": "No matching distribution"}.get(program, '"rule":"block_unknown_domains"') in said
    _explained(told, "GET", program)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_refused_tunnel_is_understood(told: dict[str, Any], program: str) -> None:
    """By its status, unless a program knows no proxy and is hung up on, or keeps it to itself."""
    result = told[f"{program} https {REFUSED}"]
    assert result["code"] != 0
    says = {"wget": "Forbidden", "node": "ECONNRESET", "pip": "No matching distribution"}
    assert says.get(program, "403") in result["said"]
    _explained(told, "CONNECT", program)


def _explained(told: dict[str, Any], method: str, program: str) -> None:
    explained = told["explain"][f"{method} {program}.{REFUSED}"]
    assert (explained["verdict"], explained["rule"]) == ("DENY", "block_unknown_domains")


def test_nothing_refused_was_reached(told: dict[str, Any], stack: Stack) -> None:
    assert told
    assert stack.outside.evil.untouched()
    assert not [name for name in stack.zone.queries if name.endswith(REFUSED)]
