"""`python -m suture`: the command, where its script is not on PATH."""

import sys

from suture.app import main

sys.exit(main())
