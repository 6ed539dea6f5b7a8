"""The report in a browser: nothing on the console, every figure is drawn, nothing sticks out on a phone or a desk."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from commands import digits_net

from deploy import samples as sources
from deploy.chip import board
from deploy.chip.plan import plan
from deploy.report import page, parts
from deploy.report.asked import Asked
from deploy.report.sweep import sweep
from deploy.run import run
from deploy.verify import verify
from sim import netx

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

# Tells the page around what the test asks: put behind the page's own script.
PROBE = """<script>
addEventListener("load", () => {
  const drawn = (canvas) => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(new Uint32Array(pixels.buffer)).size;
  };
  const before = document.getElementById("raster").toDataURL();
  const layer = document.getElementById("trace-layer");
  layer.value = layer.options.length - 2;
  layer.dispatchEvent(new Event("change"));
  const said = {
    width: document.documentElement.scrollWidth, window: innerWidth,
    canvases: [...document.querySelectorAll("canvas")].map(drawn),
    cut: [...document.querySelectorAll(".scroll")].filter((box) => box.scrollWidth > box.clientWidth).length,
    charts: [...document.querySelectorAll("svg")].map((svg) => svg.getBoundingClientRect().width),
    changed: before !== document.getElementById("raster").toDataURL(),
    background: getComputedStyle(document.body).backgroundColor,
  };
  parent.postMessage(JSON.stringify(said), "*");
});
</script>"""
# A window of Chromium is no narrower than 500 pixels; a frame can be.
FRAME = """<!doctype html><pre id="said"></pre><script>
addEventListener("message", (event) => { document.getElementById("said").textContent = event.data; });
</script><iframe src="PAGE" width="WIDTH" height="900" style="border:0"></iframe>"""


def browse(place, width, *options):
    """(what the probe says, lines that the page wrote on the console)."""
    frame = place.with_name("frame.html")
    frame.write_text(FRAME.replace("PAGE", place.name).replace("WIDTH", str(width)))
    fixed = "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1400,1000"
    noting = "--enable-logging=stderr", "--v=0", "--virtual-time-budget=4000", "--dump-dom"
    profile = f"--user-data-dir={place.parent / 'profile'}"
    command = [CHROMIUM, *fixed, profile, *noting, *options, frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="said">(.*?)</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(found[1]), [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    names = tuple(f"a class with a long name, number {i}" for i in range(10))
    net, net_file = digits_net(), folder / "a-rather-long-name-of-a-net-that-somebody-has-chosen.net"
    netx.write(net, net_file)
    taken = sources.from_dataset(net, None, "test", None, 30)
    net = replace(net, classes=names)
    report = parts.of_run(parts.start(net_file, net), net, taken, run(net, taken).to_json())
    report = parts.of_verify(report, verify(net_file, executors=("engine",)))
    planned = plan(net, board.load("oheo-gulch"), x=taken.streams(0, 2), data="2 samples")
    curves = (sweep(digits_net(), taken, Asked()),)
    report = replace(report, plan=planned, beside=replace(report.beside, curves=curves))
    (folder / "page.html").write_text(page(report).replace("</body>", PROBE + "</body>"))
    return folder / "page.html"


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(place, width):
    said, console = browse(place, width)
    assert console == []
    assert said["window"] == width >= said["width"], "something is wider than the window"
    assert len(said["canvases"]) == 2 and min(said["canvases"]) > 3 and said["changed"]
    assert len(said["charts"]) > 20 and min(said["charts"]) > 40


@needs_chromium
def test_dark_and_light(place):
    light, dark = (browse(place, 800, f"--blink-settings=preferredColorScheme={k}")[0] for k in (1, 0))
    assert light["background"] == "rgb(255, 255, 255)" != dark["background"]


@needs_chromium
def test_on_paper(place):
    """A4 with Chromium's margins is 718 pixels wide: tables that a screen would scroll fit it."""
    screen, paper = place.read_text(), place.with_name("paper.html")
    assert screen.count("@media print {") == 1
    paper.write_text(screen.replace("@media print {", "@media all {"))
    said, console = browse(paper, 718)
    assert console == [] and said["width"] <= said["window"] == 718 and said["cut"] == 0
    assert browse(place, 718)[0]["cut"] > 0


@needs_chromium
def test_the_probe_sees_what_is_wrong(place):
    """A page that complains, and one that is too wide."""
    bad = place.with_name("bad.html")
    wide = (
        "<div style='width:2000px'>x</div><script>console.error('oh'); fetch('https://example.org/x')</script></main>"
    )
    bad.write_text(place.read_text().replace("</main>", wide))
    said, console = browse(bad, 390)
    assert said["width"] > 390 and any("oh" in line for line in console)
    assert any("Content Security Policy" in line for line in console)  # and what is asked for is not fetched
