"""Make icons.svg: one sprite with only the icons that the pages use.

    npm pack @tabler/icons@3.51.0 && tar xzf tabler-icons-3.51.0.tgz
    python static/vendor/make_icons.py package/icons/outline

Add a name to NAMES and run it again; the tests hold that every icon named in a template or a badge is here.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

NAMES = """
adjustments alert-circle alert-triangle archive arrow-back-up arrow-down arrow-right arrow-up at ban bell bolt braces
calendar chart-bar check checks chevron-down chevron-left chevron-right circle-check circle-dashed click clock
clock-pause code columns contrast copy credit-card database devices dots download edit eye file-text file-upload
file-x filter flask forms hash help history hourglass inbox info-circle key layout-dashboard link list lock login
logout mail mail-forward mail-opened mail-x mailbox menu-2 minus moon pencil percentage photo player-pause player-play
player-stop plus pointer progress refresh repeat robot rotate search send server settings shield shield-check shield-x
sun table tag template test-pipe trash upload user users webhook world x
"""


def main(source: Path) -> None:
    symbols = []
    for name in sorted(NAMES.split()):
        text = (source / f"{name}.svg").read_text()
        shapes = re.findall(r"<(?:path|circle|rect|line|polyline)\b[^>]*?/>", text)
        shapes = [" ".join(shape.split()) for shape in shapes if 'stroke="none"' not in shape]
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{"".join(shapes)}</symbol>')
    licence = "<!-- Tabler Icons 3.51.0, MIT licence: see icons.LICENSE -->"
    body = "\n".join(symbols)
    Path(__file__).with_name("icons.svg").write_text(
        f'{licence}\n<svg xmlns="http://www.w3.org/2000/svg">\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
