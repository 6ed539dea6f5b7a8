"""The person and the room: random subjects, random scenes, and a pose turned into shapes on the picture.

Everything that is drawn is a rounded cone: two ends, each with a place and a radius in pixels, painted from back to
front. Brightness is the
natural logarithm of luminance, 0 being a usual wall.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .moves import LEFT, RIGHT, Build, Timing, unit

SIZE = 128

# One row a part: constants over time.
_FIELDS = [
    ("tone", np.float32),  # brightness
    ("stripe", np.float32),  # half the brightness step of stripes
    ("per_m", np.float32),  # stripes per metre
    ("across", np.float32),  # direction of the stripes' change: 0 along the part, 1 across
    ("wrinkle", np.float32),  # brightness of an uneven texture
    ("grain", np.float32),  # its cells per metre
    ("shade", np.float32),  # darker towards the rim
    ("light", np.float32),  # brighter on one side
    ("length", np.float32),  # metres, what the texture runs along
    ("width", np.float32),  # metres, from axis to rim
    ("local", np.int32),  # 0: texture goes with the part; 1: with the trunk; 2: with the head
]
PART = np.dtype(_FIELDS)


@dataclass(frozen=True)
class Subject:
    """What stays the same of a person: body, habits, clothes."""

    build: Build
    tempo: float
    size: float
    head: float
    skin: float
    hair: float
    long_hair: float
    shirt: float
    stripe: float
    per_m: float
    across: float
    wrinkle: float
    grain: float
    round: float  # how much darker a limb is towards its rim
    sleeve: float  # how much of the forearm is covered, 0 to 1
    give: float  # how much the trunk gives way


@dataclass(frozen=True)
class Scene:
    """One session in front of the camera: where the person stands, the light, and how this camera's pixels are set."""

    scale: float  # pixels per metre at the shoulders
    distance: float  # metres from camera to shoulders
    centre: tuple  # pixel between the shoulders
    contrast: float  # what is left of brightness differences
    side_light: float
    shadow: float  # depth of the soft shadows on the wall
    shadow_at: tuple  # their offset in pixels
    wall: np.ndarray  # [128, 128]
    threshold: float  # mean brightness step to an event
    spread: float  # its standard deviation over pixels, as a share
    on_off: float  # ON threshold over OFF threshold
    lag: float  # seconds: low pass of the pixel
    refractory: float  # seconds
    shot: float  # deviation of the pixel's own noise, as a share of the threshold
    noise: float  # events per pixel and second that nothing caused
    bounce_off: float  # share of ON events that an OFF event follows soon, from the pixel's reset
    bounce_on: float  # share of OFF events that an ON event follows
    row_noise: float  # stray events per event in the same row
    echo: float  # share of ON events that come twice


def subject(random: np.random.RandomState) -> Subject:
    """A random person."""
    u = random.uniform
    tall = random.normal(1.0, 0.05)
    shirt = u(-1.9, -0.7) if u() < 0.72 else u(0.15, 0.8)
    return Subject(
        build=Build(
            0.185 * tall * u(0.92, 1.08), 0.29 * tall, 0.26 * tall * u(0.94, 1.06), 0.175 * tall, u(0.78, 1.18)
        ),
        tempo=np.exp(random.normal(0, 0.12)),
        size=np.exp(random.normal(0, 0.12)),
        head=0.105 * u(0.92, 1.08),
        skin=u(-0.9, 0.1),
        hair=u(-2.2, -1.0) if u() < 0.75 else u(-1.0, 0.0),
        long_hair=u() if u() < 0.3 else 0.0,
        shirt=shirt,
        stripe=u(0.1, 0.4) if u() < 0.35 else 0.0,
        per_m=u(6, 28),
        across=float(u() < 0.3),
        wrinkle=u(0.1, 0.5),
        grain=np.exp(u(np.log(20), np.log(90))),
        round=u(0.3, 0.9),
        sleeve=1.0 if u() < 0.6 else u(0.0, 0.9),
        give=u(0.15, 1.0),
    )


def scene(random: np.random.RandomState) -> Scene:
    """A random place, light and camera setting."""
    u = random.uniform
    return Scene(
        scale=u(84, 126),
        distance=u(1.5, 2.8),
        centre=(u(51, 77), u(56, 80)),
        contrast=u(0.75, 1.25),
        side_light=u(-0.25, 0.25),
        shadow=u(0, 0.25),
        shadow_at=(u(-24, 24), u(-4, 26)),
        wall=_wall(random),
        threshold=u(0.15, 0.28),
        spread=u(0.1, 0.25),
        on_off=u(1.0, 1.3),
        lag=u(0.001, 0.004),
        refractory=u(0.0005, 0.001),
        shot=u(0.03, 0.12),
        bounce_off=u(0.18, 0.34),
        bounce_on=u(0.06, 0.13),
        noise=np.exp(u(np.log(0.03), np.log(0.12))),
        row_noise=u(0.015, 0.055),
        echo=u(0.18, 0.32),
    )


def _wall(random):
    """[128, 128]: brightness of the room without the person: a slope of light, furniture, unevenness."""
    u = random.uniform
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    wall = u(-0.25, 0.25) * x + u(-0.3, 0.2) * y + u(-0.1, 0.1)
    for _ in range(random.randint(0, 6)):
        left, right = np.sort(u(-0.6, 0.6, 2))
        top, bottom = np.sort(u(-0.6, 0.6, 2))
        soft = u(60, 200)
        box = 1 / (
            1
            + np.exp(
                -np.clip(soft * np.minimum(np.minimum(x - left, right - x), np.minimum(y - top, bottom - y)), -50, 50)
            )
        )
        wall = wall + u(-0.5, 0.3) * box
    return wall + np.kron(random.normal(0, u(0.0, 0.06), (16, 16)), np.ones((8, 8)))


def shapes(
    who: Subject, where: Scene, move: Callable, random: np.random.RandomState, t: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A gesture as shapes.

    Args:
        who: Subject.
        where: Scene.
        move: entry of `gesture_moves.MOVES`.
        random: numpy RandomState, drawn from.
        t: [n] seconds, evenly spaced.

    Returns:
        parts: PART [k].
        cones: float32 [n, k, 6]: x, y, radius of one end, then of the other, in pixels.
        order: int16 [n, k], parts from back to front.
        anchors: float32 [n, 3, 2], the pixel that trunk and head textures go with (entry 0 is not used).
        shadows: float32 [n, 6, 2], centres of soft shadows.
    """
    k = Timing(random, t, who.tempo, who.size)
    pose = move(k, who.build)
    trunk, lean = _sway(k, who, pose)
    bones = []  # (part, start [n, 3], end [n, 3], radii in metres)
    _trunk(bones, who, where, trunk, lean)
    head = _head(bones, k, who, where, trunk, lean)
    count = len(bones)
    shadows = []
    for side, arm in ((RIGHT, pose.right), (LEFT, pose.left)):
        shadows += _arm(bones, who, where, side, arm, trunk, lean)
    parts = np.array([tuple(part[name] for name, _ in _FIELDS) for part, *_ in bones], PART)
    cones = np.stack(
        [np.concatenate([_project(where, a, ra), _project(where, b, rb)], 1) for _, a, b, (ra, rb) in bones], 1
    )
    depth = np.stack([(a + b)[:, 2] / 2 for _, a, b, _ in bones], 1)
    depth[:, :count] = np.arange(count) - 100.0  # trunk and head behind the arms, in the order of drawing
    anchors = np.stack([_project(where, place, 0)[:, :2] for place in (trunk, trunk, head)], 1)
    offset = np.array(where.shadow_at)
    return (
        parts,
        cones.astype(np.float32),
        np.argsort(depth, axis=1, kind="stable").astype(np.int16),
        anchors.astype(np.float32),
        np.stack([_project(where, s, 0)[:, :2] + offset for s in shadows], 1).astype(np.float32),
    )


def _project(where, place, radius):
    """[n, 3]: pixel x and y and the radius in pixels of a ball."""
    near = where.scale * where.distance / np.maximum(where.distance - place[:, 2], 0.4)
    return np.stack([where.centre[0] + near * place[:, 0], where.centre[1] + near * place[:, 1], near * radius], 1)


def _sway(k, who, pose):
    """Trunk displacement [n, 3] and lean in radians [n]: it gives way to the hands, and wanders."""
    give = who.give * sum(arm.wrist - arm.wrist.mean(0) for arm in (pose.right, pose.left))
    trunk = (
        pose.bob
        + give * k.vector((-0.01, 0.05), (0, 0.03), (0, 0.03))
        + who.give * np.stack([k.slow(0.005), k.slow(0.002), k.slow(0.006)], 1)
    )
    return trunk, k.between(-0.06, 0.06) + who.give * k.slow(0.006) + 0.1 * give[:, 0] * k.between(-0.5, 1)


def _part(where, tone, length, width, **more):
    """One row of PART, as a dict."""
    values = (
        {name: 0 for name, _ in _FIELDS}
        | {"shade": 0.35, "light": where.side_light, "length": length, "width": width, "grain": 30}
        | more
    )
    return values | {
        name: value * where.contrast
        for name, value in (("tone", tone), ("stripe", values["stripe"]), ("wrinkle", values["wrinkle"]))
    }


def _shirt(who):
    return {
        "stripe": who.stripe,
        "per_m": who.per_m,
        "across": who.across,
        "wrinkle": who.wrinkle,
        "grain": who.grain,
        "shade": who.round,
    }


def _leant(trunk, lean, x, y, z):
    """[n, 3]: a point of the trunk, turned by `lean` about the hips."""
    up = y - 0.5
    return trunk + np.stack([x - up * np.sin(lean), y + 0 * lean, np.full(len(lean), z)], 1)


def _trunk(bones, who, where, trunk, lean):
    wide, thick = who.build.shoulder, 0.085 * who.build.girth
    shirt = _shirt(who) | {"across": 1 - who.across, "local": 1, "shade": 0.1}
    for x in (-0.6, 0.6, 0):
        bones.append(
            (
                _part(where, who.shirt, 0.6, thick, **shirt),
                _leant(trunk, lean, x * wide, 0.1, -0.03),
                _leant(trunk, lean, x * wide * 0.9, 0.75, -0.03),
                (thick * 1.1, thick * 1.15),
            )
        )
    for side in (RIGHT, LEFT):
        bones.append(
            (
                _part(where, who.shirt, wide, 0.06, **shirt),
                _leant(trunk, lean, side * 0.03, 0.0, -0.02),
                _leant(trunk, lean, side * wide * 0.92, 0.04, -0.02),
                (0.045 * who.build.girth, 0.055 * who.build.girth),
            )
        )
    bones.append(
        (
            _part(where, who.skin - 0.2, 0.1, 0.05),
            _leant(trunk, lean, 0, -0.1, 0),
            _leant(trunk, lean, 0, 0.01, 0),
            (0.052, 0.06),
        )
    )


def _head(bones, k, who, where, trunk, lean):
    nod = who.give * np.stack([k.slow(0.004), k.slow(0.003), k.slow(0.003)], 1)
    r = who.head * 0.78
    place = _leant(trunk, lean, 0, -0.1 - who.head * 1.25, 0.02) + nod
    face = _part(where, who.skin, 2 * r, r, wrinkle=0.35, grain=22, local=2)
    hair = _part(where, who.hair, 2 * r, r, wrinkle=0.15, grain=40, local=2)
    if who.long_hair:
        bones.append((hair, place - (0, 0.02, 0), place + (0, 0.06 + 0.14 * who.long_hair, 0), (r * 1.18, r * 1.25)))
    bones.append((hair, place - (0, 0.5 * r, 0), place - (0, 0.1 * r, 0), (r * 1.08, r * 1.08)))
    bones.append((face, place - (0, 0.15 * r, 0), place + (0, 0.62 * r, 0), (r * 0.95, r * 0.72)))
    return place


def _arm(bones, who, where, side, arm, trunk, lean):
    """Adds the bones of one arm; returns the places that throw shadows."""
    build = who.build
    shoulder = _leant(trunk, lean, *build.at(side))
    elbow, wrist = _bend(shoulder, arm.wrist + 0.3 * trunk, arm.pole, build.upper, build.fore)
    hand = unit(wrist - elbow) if arm.hand is None else unit(arm.hand + 0.25 * unit(wrist - elbow))
    thick, shirt = build.girth, _shirt(who)
    bare = {"wrinkle": 0.25, "grain": 40, "shade": who.round}
    bones.append(
        (_part(where, who.shirt, build.upper, 0.05 * thick, **shirt), shoulder, elbow, (0.058 * thick, 0.046 * thick))
    )
    cuff = elbow + who.sleeve * (wrist - elbow)
    if who.sleeve < 1:
        bones.append(
            (_part(where, who.skin, build.fore, 0.035 * thick, **bare), elbow, wrist, (0.042 * thick, 0.03 * thick))
        )
    if who.sleeve > 0:
        narrow = 0.046 + who.sleeve * (0.037 - 0.046)
        bones.append(
            (
                _part(where, who.shirt, build.fore * who.sleeve, 0.04 * thick, **shirt),
                elbow,
                cuff,
                (0.046 * thick, narrow * thick),
            )
        )
    knuckles = wrist + 0.5 * build.hand * hand
    bones.append((_part(where, who.skin, 0.09, 0.04, **bare), wrist + 0.015 * hand, knuckles, (0.03, 0.038)))
    beside = unit(np.stack([hand[:, 1], -hand[:, 0], np.zeros(len(hand))], 1) + (1e-6, 0, 0))
    length = build.hand * (0.15 if arm.fist else 0.5)
    for place in (-1.5, -0.5, 0.5, 1.5):
        start = knuckles + 0.02 * place * beside
        way = np.cos(arm.spread * place) * hand + np.sin(arm.spread * place) * beside
        bones.append(
            (
                _part(where, who.skin, 0.08, 0.01, shade=0.5),
                start,
                start + length * (1 - 0.06 * abs(place)) * way,
                (0.012, 0.009),
            )
        )
    return [elbow, (elbow + wrist) / 2, knuckles]


def _bend(shoulder, wrist, pole, upper, fore):
    """Elbow and reachable wrist [n, 3] of a two-bone arm, the elbow on the side of `pole`."""
    line = wrist - shoulder
    far = np.linalg.norm(line, axis=1, keepdims=True)
    along = line / np.maximum(far, 1e-6)
    far = np.clip(far, 0.25 * (upper + fore), 0.998 * (upper + fore))
    foot = (upper**2 - fore**2 + far**2) / (2 * far)
    side = pole - along * np.sum(pole * along, axis=1, keepdims=True)
    elbow = shoulder + foot * along + np.sqrt(np.maximum(upper**2 - foot**2, 0)) * unit(side)
    return elbow, shoulder + far * along
