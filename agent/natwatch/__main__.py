import sys

from natwatch.cli import main

sys.exit(main())
