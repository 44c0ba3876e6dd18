"""What a notebook's run doesn't import, and what it leaves importable."""

from __future__ import annotations

import subprocess
import sys


def test_what_has_no_use_stays_out_and_can_be_imported_afterwards() -> None:
    program = (
        "import sys\nfrom hybridnb.app.imports import lean\n"
        "module = lean('papermill.execute')\n"
        "assert module.__name__ == 'papermill.execute'\n"
        "assert not {'rfc3987_syntax', 'pyarrow'} & set(sys.modules)\n"
        "import pyarrow, rfc3987_syntax\n"
        "assert lean('nbformat') is sys.modules['nbformat'] and pyarrow in sys.modules.values()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
