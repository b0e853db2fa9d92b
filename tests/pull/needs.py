"""What a run needs from the machine, and the report if something is missing, as `tests/common/needs.rs` gives it."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from system import Failed, run

ROOT = Path(__file__).parents[2]

# The programs that every run takes.
PROGRAMS = ["ip", "ss", "nginx", "docker-registry", "unbound", "skopeo", "pgrep"]


def skip(reason: str) -> None:
    """Counts what this machine cannot try."""
    print(f"skipped: {reason}")
    if path := os.environ.get("PHAROS_SKIPPED"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{Path(sys.argv[0]).name}: pulls by real clients\t{reason}\n")


def missing(reason: str) -> None:
    """Counts what lacks a program; in CI it is a failure."""
    if os.environ.get("CI") == "true":
        sys.exit(f"missing in CI: {reason}")
    skip(reason)


def is_ready(*programs: str) -> bool:
    """Whether this machine allows a run at all. The reason against it is counted."""
    os.environ["PATH"] = f"{ROOT}/target/tools/bin:{os.environ['PATH']}:/usr/sbin:/sbin"
    if os.geteuid() != 0:
        skip("namespaces take root")
        return False
    absent = [program for program in [*PROGRAMS, *programs] if not shutil.which(program)]
    if absent:
        missing(f"pulls lack {', '.join(absent)}")
        return False
    name = f"pharos-{os.getpid()}-try"
    try:
        run(["ip", "netns", "add", name])
        run(["ip", "-n", name, "link", "add", "one", "type", "veth", "peer", "name", "other"])
        run(["ip", "-n", name, "addr", "add", "2001:db8::1/128", "dev", "lo"])
        run(["ip", "netns", "exec", name, "true"])
    except Failed as error:
        skip(f"no namespaces with IPv6 can be made here: {error}")
        return False
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return True


def end_by_signals():
    """A signal ends the run as an exception does, so that the namespaces are removed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))


def binary(path: str | None) -> Path:
    """The binary to try: the one that was given, or one that is built now."""
    if path:
        return Path(path).resolve()
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--bin", "pharos"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return (ROOT / target / "debug" / "pharos").resolve()


def words(description: str) -> argparse.ArgumentParser:
    """The arguments of every run."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--pharos", help="the binary; without it, it is built")
    some = {"type": lambda text: text.split(",")}
    parser.add_argument("--networks", help="only these", **some)
    parser.add_argument("--clients", help="only these", **some)
    return parser


def close(system) -> None:
    """Removes what a run has made; no signal interrupts it."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    system.close()
