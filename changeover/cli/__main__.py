"""`python -m changeover.cli`."""

import sys

from changeover.cli.main import main

sys.exit(main())
