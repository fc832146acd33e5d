"""`python -m pixelproof.cli`, where the command itself is not on the path."""

import sys

from pixelproof.cli.main import main

sys.exit(main())
