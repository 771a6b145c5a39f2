"""Runs the Python of a page, in order, as a reader would who types it into one session; writes what each block printed.

    python tests/run_page.py PAGE OUTPUT.json

Beside the tests, and not in their process: a reader has one device, and no mind for what another page imported.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from fences import blocks


def main(page: Path, output: Path) -> None:
    """Blocks share their names; a traceback has the page's lines."""
    names, said = {"__name__": "__main__"}, {}
    for block in blocks(page):
        if block.language == "python" and not block.remark:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile("\n" * block.line + block.text, page, "exec"), names)
            said[block.line] = printed.getvalue()
    output.write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
