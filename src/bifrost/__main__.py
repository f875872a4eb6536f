"""`python -m bifrost` is the command `bifrost`."""

import sys

from bifrost.cli.main import main

sys.exit(main())
