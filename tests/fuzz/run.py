"""Look for bytes that break a target:  python -m tests.fuzz.run [TARGET ...] [--seconds 60]

Needs atheris (`make fuzz` installs it in an environment of its own). What covers something new is kept in
`corpus/TARGET`, which the tests try again; a breach is written beside it as `breach-…` and printed.
"""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
TARGETS = sorted(directory.name for directory in CORPUS.iterdir())
MAX_BYTES = 4_096


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: %(default)s)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if unknown := set(chosen.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if chosen.here:
        _fuzz(chosen.targets[0], chosen.seconds)
    names = chosen.targets or list(TARGETS)
    return max(_in_a_process(name, chosen.seconds) for name in names)


def _in_a_process(name: str, seconds: int) -> int:
    """Each by itself: the fuzzer ends its process."""
    print(f"{name}: {seconds} seconds", flush=True)
    command = [sys.executable, "-m", "tests.fuzz.run", name, "--seconds", str(seconds), "--here"]
    return subprocess.run(command, check=False).returncode


def _fuzz(name: str, seconds: int) -> None:
    atheris = importlib.import_module("atheris")
    directory = CORPUS / name
    with atheris.instrument_imports(include=["bifrost"]):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    options = [f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", "-verbosity=0", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={directory}/breach-", str(directory)], targets[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
