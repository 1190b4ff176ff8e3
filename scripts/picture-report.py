"""Make docs/reading-the-report.png: the top of a run's report.html in a headless Chromium, with numbers on it.

    .venv/bin/emu run queue-proxy-oom --out /tmp/run
    .venv/bin/python scripts/picture-report.py /tmp/run docs/reading-the-report.png

docs/reading-the-report.md says what each number stands for.
"""

import json
import struct
import sys
import tempfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser.browser import Browser, chromium  # noqa: E402  the project's root is no package on the path

WIDTH = 1120
MARKS = """(kill, length, ready) => {
  const box = (selector, n = 0) => document.querySelectorAll(selector)[n].getBoundingClientRect();
  const panel = n => box('.panel', n);
  const at = (n, t) => panel(n).left + panel(n).width * t / length;
  const beside = (r, dy) => [18, r.top + dy];
  const first = panel(0);
  const places = [
    beside(box('h1'), 16),
    beside(box('.story'), 12),
    beside(box('header details'), 10),
    beside(box('#tree-when'), 12),
    beside(box('#names'), 14),
    [at(0, ready) + 64, first.top - 45],
    [at(0, kill) - 44, first.bottom - 44],
    [first.right + 96, first.top + 32],
    [at(0, kill) + 124, first.top + 12],
    [at(0, kill) + 22, first.bottom + 26],
    [at(0, kill) + 46, first.bottom - 62],
    [at(1, kill) - 110, panel(1).bottom - 66],
    [at(2, kill) - 110, panel(2).bottom - 44],
    [at(3, kill) - 110, panel(3).bottom - 58],
    [at(4, kill) - 110, panel(4).bottom - 58],
    [at(5, kill) - 110, panel(5).bottom - 78],
    [at(6, kill) - 110, panel(6).bottom - 66],
  ];
  places.forEach(([x, y], number) => {
    const mark = document.createElement('div');
    mark.textContent = number + 1;
    mark.style.cssText = `position:absolute; left:${x + scrollX - 13}px; top:${y + scrollY - 13}px; width:26px;
      height:26px; border-radius:13px; background:#b3261e; color:#fff; border:2px solid #fff; box-sizing:border-box;
      font:bold 13px/22px sans-serif; text-align:center; z-index:9`;
    document.body.append(mark);
  });
  return panel(6).bottom + scrollY + 46;
}"""

PIXELS = """async picture => {
  const image = new Image();
  image.src = 'data:image/png;base64,' + picture;
  await image.decode();
  const pen = new OffscreenCanvas(image.width, image.height).getContext('2d');
  pen.drawImage(image, 0, 0);
  const drawn = pen.getImageData(0, 0, image.width, image.height).data, text = [];
  for (let at = 0; at < drawn.length; at += 4) {
    for (let part = 0; part < 3; part += 1) { text.push(drawn[at + part].toString(16).padStart(2, '0')); }
  }
  return [image.width, text.join('')];
}"""
"""The picture's width, and its pixels in hexadecimal."""


def png(width: int, pixels: str) -> bytes:
    """A PNG that is packed with more care than a browser packs its own."""
    raw, step = bytes.fromhex(pixels), 3 * width
    rows = [raw[at : at + step] for at in range(0, len(raw), step)]
    head = struct.pack(">IIBBBBB", width, len(rows), 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    chunks = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def main(run: Path, picture: Path) -> None:
    """Open, number, cut off below the last panel."""
    summary = json.loads((run / "summary.json").read_text())
    times = (
        summary["oom_kills"][0]["time_s"],
        summary["duration_s"],
        next(iter(summary["phases"].values()))["begin_s"],
    )
    program = chromium()
    assert program is not None, "there is no Chromium here: scripts/install-packages chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(program, Path(folder))
        try:
            browser.open(run / "report.html", WIDTH)
            height = browser.js(f"({MARKS})(...{json.dumps(times)})")
            clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
            said = browser.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
            width, pixels = browser.js(f"({PIXELS})({json.dumps(said['data'])})")
        finally:
            browser.close()
    picture.write_bytes(png(width, pixels))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
