"""`python -m cli`, as `ray job submit` runs it."""

import sys

from cli.run import main

sys.exit(main())
