"""schemathesis against the served OpenAPI document of a gateway that is started for it:  python -m tests.fuzz.api

Looks for answers that are no answer: a 5xx, a status, a media type or a body that the document does not have.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.gateway import ADMIN_TOKEN
from tests.wire._bifrost import Installation

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "use_after_free",
)
"""Not those that guess credentials, which the gateway answers by locking, nor those that take the document for all rules."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=100, help="for each operation (default: %(default)s)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        sections = {"admin_token": ADMIN_TOKEN, "server": {"log_level": "error"}}
        installation = Installation(place, f"sqlite:///{place / 'bifrost.db'}", sections)
        with installation.running():
            command = [
                str(Path(sys.executable).with_name("schemathesis")),
                "run",
                f"{installation.origin}/api/openapi.json",
            ]
            options = [
                "--max-examples",
                str(chosen.examples),
                "--checks",
                ",".join(CHECKS),
                "--suppress-health-check",
                "all",
            ]
            credential = ["--header", f"Authorization: Bearer {ADMIN_TOKEN}"]
            ended = subprocess.run([*command, *options, *credential], cwd=directory, check=False)
        print(installation.log.read_text()[-4_000:])
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
