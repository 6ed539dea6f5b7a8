"""The page of a live stream: for who has its address only, never in the stream's way, gone with it."""

import http.client
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
from commands import ROOT, digits_net

import events
from deploy.live.player import Classifier, Player
from deploy.live.serve import WATCHERS, Show
from deploy.live.sources import FileSource
from sim import netx
from sim.base.errors import UserError

CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)


@pytest.fixture
def playing():
    """(classifier, a function that plays n frames into a show)."""
    net = digits_net()
    classifier = Classifier(replace(net, classes=("<b>zero</b>", *net.classes[1:])))
    recording = events.load("digits", "test").events[0]

    def play(show, rounds=1, wait=0.0):
        made = []
        for _ in range(rounds):
            for decision in Player(classifier, FileSource("clip", recording, (16, 16)), speed=0):
                show.put(classifier, decision)
                made.append(decision)
                time.sleep(wait)
        return made

    return classifier, play


@pytest.fixture
def show(playing):
    made = Show(playing[0], dict(net="<i>n</i>.net", source="clip"))
    yield made
    made.finish(None)


def fetch(address, host=None):
    """(status, headers, text)."""
    request = urllib.request.Request(address, headers={} if host is None else {"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read().decode()


def messages(response):
    """(kind, value) of server-sent events."""
    for block in response.read().decode().split("\n\n"):
        if block:
            kind, data = block.split("\n")
            yield kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_only_with_the_token(show):
    status, headers, text = fetch(show.address)
    assert status == 200 and text.startswith("<!doctype html>") and "http" not in re.sub(r"[\w-]*http-\w+", "", text)
    assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["Cache-Control"] == "no-store"
    base = f"http://127.0.0.1:{show.port}"
    token = show.address.split("/")[3]
    assert len(token) >= 24
    for path in ("/", "", "/events", f"/{token}", f"/{token[:-1]}x/", f"/{token}x/events", "/../"):
        assert fetch(base + path)[0] == 403, path
    assert fetch(show.address + "more")[0] == 404
    assert fetch(show.address, host="evil.example")[0] == 403  # a name of another site that points here
    assert fetch(f"http://localhost:{show.port}/{token}/")[0] == 200
    connection = http.client.HTTPConnection("127.0.0.1", show.port, timeout=10)
    connection.request("POST", f"/{token}/", b"x")
    assert connection.getresponse().status == 501


def test_not_from_elsewhere(show):
    """It listens on the loopback address alone."""
    assert show._server.server_address[0] == "127.0.0.1"


def test_pictures_arrive_and_end(show, playing):
    """What a browser gets is what the stream decided; the newest frame is among it, and the end."""
    classifier, play = playing
    found = []
    watcher = threading.Thread(target=lambda: found.extend(messages(urllib.request.urlopen(show.address + "events"))))
    watcher.start()
    while not show._watching:
        time.sleep(0.01)
    made = {d.frame: d for d in play(show, wait=0.1)}
    show.finish(dict(frames=len(made), dropped=0))
    watcher.join(10)
    kinds = [kind for kind, _ in found if kind != "wait"]
    assert kinds[0] == "start" and kinds[-1] == "end" and kinds.count("frame") >= 3
    facts = found[0][1]
    assert facts["classes"][0] == "<b>zero</b>" and facts["grid"] == list(classifier.encoder.grid)
    frames = [value for kind, value in found if kind == "frame"]
    assert frames[-1]["frame"] == max(made)
    for f in frames:
        d = made[f["frame"]]
        assert (f["label"], f["scores"], f["kept"], f["dropped"]) == (d.label, d.scores, d.kept, d.dropped)
        assert len(f["sent"]) == round(d.kept * classifier.encoder.tokens)
    import base64

    bits = np.unpackbits(np.frombuffer(base64.b64decode(frames[-1]["pixels"]), np.uint8))
    assert np.array_equal(bits[: classifier.pixels.size].reshape(classifier.pixels.shape), classifier.pixels)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(show.address, timeout=5)  # gone with the stream


def test_a_browser_that_does_not_read_holds_nothing_up(show, playing):
    """Frames go on, pictures are left out, and the end comes."""
    classifier, play = playing
    stalled = http.client.HTTPConnection("127.0.0.1", show.port, timeout=30)
    stalled.request("GET", "/" + show.address.split("/")[3] + "/events")
    while not show._watching:
        time.sleep(0.01)
    made = play(show, rounds=200)
    assert len(made) >= 1000 and show.shown < len(made) / 4
    show.finish({})
    assert not show._thread.is_alive()


def test_the_stream_only_hands_over(show, playing, monkeypatch):
    """What is drawn for a browser is drawn in the browser's own thread, not in the one that runs the net."""
    classifier, play = playing
    drew, draw = set(), show._frame
    monkeypatch.setattr(show, "_frame", lambda picture: drew.add(threading.get_ident()) or draw(picture))
    watcher = threading.Thread(target=lambda: urllib.request.urlopen(show.address + "events").read(), daemon=True)
    watcher.start()
    while not show._watching:
        time.sleep(0.01)
    play(show)
    show.finish({})
    watcher.join()
    assert drew and threading.get_ident() not in drew


def test_room_for_some(show):
    watching = [urllib.request.urlopen(show.address + "events") for _ in range(WATCHERS)]
    assert fetch(show.address + "events")[0] == 503
    watching[0].close()


def test_a_port_that_is_taken(show, playing):
    with pytest.raises(UserError, match=f"--serve {show.port}: cannot listen"):
        Show(playing[0], {}, show.port)


@pytest.fixture
def folder(tmp_path):
    netx.write(digits_net(), tmp_path / "x.net")
    recording = events.load("digits", "test").events[0]
    late = recording.copy()
    late["t"] += 3_000_000
    np.save(tmp_path / "clip.npy", np.concatenate([recording, late]))
    return tmp_path


def test_command(folder):
    """The address is said on standard error; the page works while the clip plays, and the answer stays the same."""
    command = [sys.executable, "-m", "deploy", "stream", "clip.npy", "--net", "x.net", "--json", "--time-unit-us", "1"]
    from os import environ

    env = dict(environ, PYTHONPATH=ROOT)
    run = subprocess.Popen([*command, "--serve"], cwd=folder, env=env, stdout=-1, stderr=-1, text=True)
    address = re.search(r"watch it at (http://127\.0\.0\.1:\d+/[\w-]+/)", run.stderr.readline())[1]
    found = list(messages(urllib.request.urlopen(address + "events", timeout=60)))
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0 and err == ""
    shown = json.loads(out)
    kinds = [kind for kind, _ in found]
    assert kinds[0] == "start" and kinds[-1] == "end" and "frame" in kinds
    assert found[-1][1]["scores"] == shown["scores"] and found[0][1]["source"] == "clip.npy"
    assert "65535" in refused_or_usage(folder, "--serve", "70000")


def refused_or_usage(folder, *more):
    from os import environ

    done = subprocess.run(
        [sys.executable, "-m", "deploy", "stream", "clip.npy", "--net", "x.net", *more],
        cwd=folder,
        env=dict(environ, PYTHONPATH=ROOT),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    return done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_in_a_browser(show, playing, tmp_path):
    """The page shows the stream: class, bars, rate, picture; names stay text; the console stays empty."""
    _, play = playing

    def until_seen():
        begin = time.monotonic()
        while show.shown < 5 and time.monotonic() < begin + 100:
            play(show, wait=0.02)
        show.finish(dict(frames=7, dropped=3))

    threading.Thread(target=until_seen).start()
    fixed = "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"
    noting = "--enable-logging=stderr", "--v=0", "--virtual-time-budget=3000", "--dump-dom"
    done = subprocess.run([CHROMIUM, *fixed, *noting, show.address], capture_output=True, text=True, timeout=120)
    assert [line for line in done.stderr.splitlines() if ":CONSOLE" in line] == []
    assert "ended: 7 frames, 3 dropped" in done.stdout and "&lt;b&gt;zero&lt;/b&gt;" in done.stdout
    assert done.stdout.count('class="row') == 10 and 'class="row best"' in done.stdout
    assert re.search(r'id="rate">[\d,]+<', done.stdout) and re.search(r'id="kept">\d+ % of the tokens', done.stdout)
