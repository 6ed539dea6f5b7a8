"""How arms move in the eleven DVS128 gestures: paths of wrists, hands and elbows, in metres.

Coordinates as a camera in front sees them: x to the right of the picture, y down, z towards the camera; the origin lies
between the shoulders. The
subject faces the camera, so the right arm is at negative x. `side` is -1 for the right arm, 1 for the left, and `side *
x` points away from the body on both."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RIGHT, LEFT = -1, 1
UP = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True)
class Build:
    """Measures of a body, in metres.

    Attributes:
        shoulder: half the distance of the shoulders.
        upper, fore, hand: lengths of upper arm, forearm and hand (with fingers).
        girth: 1 is a usual thickness of limbs and trunk.
    """

    shoulder: float
    upper: float
    fore: float
    hand: float
    girth: float

    @property
    def reach(self) -> float:
        return self.upper + self.fore

    def at(self, side: int) -> np.ndarray:
        """Place of a shoulder, [3]."""
        return np.array([side * self.shoulder, 0.03, 0.0])


@dataclass(frozen=True)
class Arm:
    """One arm over n moments.

    Attributes:
        wrist: [n, 3], where the wrist wants to be; the body brings it as near as the arm's length lets it.
        pole: [n, 3] or [3], the side of the line from shoulder to wrist on which the elbow lies.
        hand: [n, 3], direction of the hand; None continues the forearm.
        spread: angle between neighbouring fingers in radians.
        fist: fingers closed.
    """

    wrist: np.ndarray
    pole: np.ndarray
    hand: np.ndarray | None = None
    spread: float = 0.08
    fist: bool = False


@dataclass(frozen=True)
class Pose:
    """Both arms and what the trunk does of its own.

    Attributes:
        right, left: `Arm`.
        bob: [n, 3] displacement of the trunk.
    """

    right: Arm
    left: Arm
    bob: np.ndarray


def _pose(arms, bob) -> Pose:
    """arms: the right one, then the left one."""
    right, left = arms
    return Pose(right, left, bob)


class Timing:
    """Random draws of one clip, and the clock that they run on.

    Attributes:
        t: [n] seconds.
        tempo, size: how fast and how widely this subject moves; 1 is usual.
        random: numpy RandomState (numpy promises its numbers for all versions).
    """

    def __init__(self, random, t, tempo, size):
        self.random, self.t, self.tempo, self.size = random, t, tempo, size
        # Some clips begin at rest.
        self._start = random.uniform(0.05, 0.35) if random.uniform() < 0.12 else 0.0

    def between(self, low: float, high: float) -> float:
        return self.random.uniform(low, high)

    def chance(self, share: float) -> bool:
        return self.random.uniform() < share

    def vector(self, *ranges: tuple[float, float]) -> np.ndarray:
        """[3] with entries drawn from (low, high) pairs."""
        return np.array([self.random.uniform(*pair) for pair in ranges])

    def slow(self, amplitude: float, fastest: float = 0.8) -> np.ndarray:
        """[n]: a smooth wander about 0, with frequencies up to `fastest` Hz."""
        out = np.zeros(len(self.t))
        for _ in range(3):
            out += self.random.normal() * np.sin(
                2 * np.pi * (self.random.uniform(0.1, fastest) * self.t + self.random.uniform())
            )
        return amplitude * out / np.sqrt(1.5)

    def phase(self, low: float, high: float) -> np.ndarray:
        """[n]: phase in radians of a movement of `low` to `high` Hz, from anywhere, with an unsteady rate."""
        rate = np.exp(self.random.uniform(np.log(low), np.log(high))) * self.tempo
        ramp = np.clip(self.t / self._start, 0, 1) if self._start else 1.0
        turns = np.cumsum(rate * ramp * (1 + self.slow(0.06)) * np.gradient(self.t))
        return 2 * np.pi * (turns + self.random.uniform())

    def steady(self, spread: float = 0.08) -> np.ndarray:
        """[n] about 1: an amplitude that varies from beat to beat."""
        return 1 + self.slow(spread, 1.2)


def unit(v: np.ndarray) -> np.ndarray:
    """Vectors of length 1 along the last axis."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def skew(phase: np.ndarray, amount: float) -> np.ndarray:
    """A phase that runs faster in one part of its turn; |amount| < 1 keeps it running forward."""
    return phase + amount * np.sin(phase)


def hanging(k: Timing, build: Build, side: int) -> Arm:
    """An arm at rest: beside the body, or bent a little."""
    bent = k.between(0, 0.25) if k.chance(0.3) else k.between(0, 0.06)
    away = k.between(0.02, 0.16)
    wrist = build.at(side) + np.array([side * away, build.reach * (0.97 - bent), 0.06 + bent])
    drift = np.stack([k.slow(0.006), k.slow(0.004), k.slow(0.008)], 1)
    return Arm(wrist + drift, np.array([side * 0.5, 0.2, -1.0]), fist=k.chance(0.5))


def _still(k):
    return np.zeros((len(k.t), 3))


def _pair(side, arm, other):
    """(right, left) from the arm of `side` and the other one."""
    return (arm, other) if side == RIGHT else (other, arm)


def clap(k: Timing, build: Build) -> Pose:
    """0: hands meet in front of chest or belly; both move, or one strikes the other."""
    phase = skew(k.phase(2.0, 4.2), k.between(-0.2, 0.7))
    gap = k.between(0.16, 0.48) * k.size * k.steady() * ((1 - np.cos(phase)) / 2) ** k.between(0.7, 1.5) + 0.05
    tilt = k.between(-0.9, 0.9) if k.chance(0.5) else k.between(-0.25, 0.25)
    axis = np.array([np.cos(tilt), np.sin(tilt), k.between(-0.3, 0.3)])
    share = k.between(0.4, 0.6) if k.chance(0.6) else k.between(0.1, 0.9)
    middle = k.vector((-0.08, 0.08), (0.0, 0.4), (0.2, 0.42)) + np.stack([k.slow(0.01), k.slow(0.012), k.slow(0.01)], 1)
    up = k.between(0, 1)
    arms = []
    for side, part in ((RIGHT, share), (LEFT, 1 - share)):
        wrist = middle + side * part * gap[:, None] * axis + np.array([0, 0.06 * up, -0.04])
        hand = unit(np.array([-side * k.between(0, 0.5), -up, 1 - up + 0.3]) + _still(k))
        arms.append(
            Arm(wrist, np.array([side * k.between(0.5, 1.2), k.between(0.5, 1), -0.3]), hand, k.between(0.02, 0.15))
        )
    return _pose(arms, _still(k))


def _wave(k, build, side):
    """One arm that waves: from the elbow mostly, or from the shoulder, or from the wrist."""
    style = k.random.uniform()
    phase = skew(k.phase(1.2, 3.2), k.between(-0.3, 0.3))
    swing = np.sin(phase) * k.steady()
    flex = k.between(-0.2, 0.6) * np.sin(phase - k.between(0, 0.9))
    lean = k.between(0, 0.6)
    shoulder = build.at(side)
    if style < 0.78:
        width, tilt = k.between(0.28, 0.8) * k.size, k.between(-0.4, 0.4)
        spread, front = k.between(0.1, 1.2), k.between(0, 1.1)
        upper = np.array([side * np.sin(spread), np.cos(spread), front])
        elbow = shoulder + build.upper * unit(upper) + np.stack([k.slow(0.008), k.slow(0.008), k.slow(0.008)], 1)
        elbow += swing[:, None] * k.vector((-0.02, 0.03), (-0.01, 0.01), (0, 0))
    elif style < 0.9:  # the whole arm, raised
        width, tilt = k.between(0.2, 0.5) * k.size, k.between(0.1, 0.8)
        elbow = None
    else:  # hardly more than the hand
        width, tilt = k.between(0.08, 0.2) * k.size, k.between(-0.1, 0.5)
        flex = k.between(0.5, 0.9) * np.sin(phase)
        elbow = (
            shoulder
            + build.upper * unit(k.vector((0.2, 0.9), (0.3, 1), (0.1, 0.7)) * (side, 1, 1))
            + np.zeros((len(k.t), 3))
        )
    angle = tilt * side + width * swing
    along = unit(np.stack([np.sin(angle), -np.cos(angle), np.full(len(angle), lean)], 1))
    wrist = shoulder + build.reach * k.between(0.85, 0.97) * along if elbow is None else elbow + build.fore * along
    bent = angle + flex
    hand = unit(np.stack([np.sin(bent), -np.cos(bent), np.full(len(angle), lean * 0.6)], 1))
    pole = np.array([side * 1.0, 0.6, -0.2]) if elbow is None else elbow - shoulder
    return Arm(wrist, pole, hand, k.between(0.05, 0.3))


def wave(side: int) -> Callable[[Timing, Build], Pose]:
    """1 and 2: one arm waves, the other hangs."""

    def move(k, build):
        return Pose(*_pair(side, _wave(k, build, side), hanging(k, build, -side)), _still(k))

    return move


def _circle(k, build, side, sense):
    """One hand goes round.

    `sense` 1 is clockwise for the subject: up, then to the subject's right, which is the picture's left.
    """
    phase = k.phase(0.6, 1.7)
    turn = phase + k.between(-0.25, 0.25) * np.sin(phase + k.between(0, 6.3))
    whole = k.chance(0.8)
    if whole:  # the arm, nearly straight, on a cone about an axis that points forward and out
        out, high = k.between(0.0, 0.8), k.between(-0.3, 0.35)
        axis = np.array([side * np.sin(out) * np.cos(high), -np.sin(high), np.cos(out) * np.cos(high)])
        centre, radius = axis, np.tan(min(k.between(0.5, 1.1) * k.size**0.5, 1.2))
    else:  # a smaller circle with a bent elbow
        axis = unit(np.array([side * k.between(-0.2, 0.6), k.between(-0.3, 0.3), 1.0]))
        centre, radius = (
            np.array([side * k.between(0.0, 0.5), k.between(-0.1, 0.5), 0.9]),
            k.between(0.35, 0.75) * k.size,
        )
    up = unit(UP - axis * (UP @ axis))
    left = np.cross(up, axis)  # the picture's left, as the axis points forward
    oval = k.between(0.75, 1.15)
    way = centre + radius * k.steady(0.05)[:, None] * (
        np.cos(turn)[:, None] * up + sense * oval * np.sin(turn)[:, None] * left
    )
    straight = k.between(0.82, 0.99) * (1 - k.between(0, 0.12) * (1 + np.cos(turn - k.between(0, 6.3))) / 2)
    from_shoulder = build.reach * straight[:, None] * unit(way) if whole else 0.5 * build.reach * way
    wrist = build.at(side) + from_shoulder + np.stack([k.slow(0.01), k.slow(0.01), k.slow(0.01)], 1)
    return Arm(wrist, np.array([side * k.between(0.3, 1), 1.0, -0.4]), None, k.between(0.02, 0.2), k.chance(0.35))


def circle(side: int, sense: int) -> Callable[[Timing, Build], Pose]:
    """3 to 6: one arm goes round, the other hangs."""

    def move(k, build):
        return Pose(*_pair(side, _circle(k, build, side, sense), hanging(k, build, -side)), _still(k))

    return move


def roll(k: Timing, build: Build) -> Pose:
    """7: forearms lie across the chest and turn about each other."""
    phase = skew(k.phase(1.1, 3.2), k.between(-0.2, 0.2)) * (1 if k.chance(0.7) else -1)
    middle = k.vector((-0.05, 0.05), (0.08, 0.36), (0.24, 0.36)) + np.stack(
        [k.slow(0.01), k.slow(0.01), k.slow(0.01)], 1
    )
    high, deep = k.between(0.07, 0.19) * k.size, k.between(0.05, 0.14) * k.size
    cross, steady = k.between(-0.04, 0.1), k.steady()
    wobble = k.between(0, 0.05)
    arms = []
    for side, ahead in ((RIGHT, 0.0), (LEFT, np.pi + k.between(-0.4, 0.4))):
        turn = phase + ahead
        path = (
            np.stack([wobble * side * np.sin(turn + 1), high * np.cos(turn), deep * np.sin(turn)], 1) * steady[:, None]
        )
        wrist = middle + path - np.array([side * cross, 0, 0])
        hand = unit(np.array([-side * 1.0, k.between(-0.3, 0.2), k.between(-0.1, 0.4)]) + _still(k))
        arms.append(
            Arm(wrist, np.array([side * 1.0, k.between(0.2, 0.9), -0.2]), hand, k.between(0.02, 0.08), k.chance(0.6))
        )
    return _pose(arms, _still(k))


def drums(k: Timing, build: Build) -> Pose:
    """8: both hands beat up and down, mostly in turn, on drums beside each other."""
    phase = k.phase(1.5, 3.8)
    style = k.random.uniform()
    other = (
        phase + np.pi + k.between(-0.4, 0.4)
        if style < 0.8
        else phase + k.between(-0.4, 0.4)
        if style < 0.9
        else phase / 2
    )
    arms = []
    for side, own in ((RIGHT, phase), (LEFT, other)):
        beat = (1 - np.cos(skew(own, k.between(0, 0.6)))) / 2
        lift = k.between(0.1, 0.32) * k.size * k.steady(0.15)
        base = k.vector((0.06, 0.3), (0.2, 0.45), (0.26, 0.46)) * (side, 1, 1)
        around = np.stack([k.slow(0.04), k.slow(0.02), k.slow(0.03)], 1)
        wrist = (
            base
            + around
            + np.stack(
                [side * k.between(-0.1, 0.2) * lift * beat, -lift * beat, -k.between(-0.1, 0.4) * lift * beat], 1
            )
        )
        nod = k.between(0, 0.9) * beat
        hand = unit(np.stack([np.full(len(beat), -side * k.between(0, 0.5)), 0.5 - nod, np.ones(len(beat))], 1))
        arms.append(Arm(wrist, np.array([side * k.between(0.4, 1), 1.0, -0.5]), hand, 0.05, k.chance(0.8)))
    return _pose(arms, 0.4 * _bob(k, phase, 0.02))


def guitar(k: Timing, build: Build) -> Pose:
    """9: one hand holds the neck out to its side, the other strums before the belly; one player in eight is
    left-handed.
    """
    strums = RIGHT if k.chance(0.88) else LEFT
    phase = skew(k.phase(1.5, 4.4), k.between(-0.3, 0.5))
    swing = k.between(0.05, 0.17) * k.size * np.sin(phase) * k.steady(0.15)
    base = k.vector((-0.12, 0.1), (0.28, 0.48), (0.18, 0.3)) * (strums, 1, 1)
    way = unit(np.array([strums * k.between(-0.2, 0.5), 1.0, k.between(-0.1, 0.3)]))
    strum = Arm(
        base + swing[:, None] * way + np.stack([k.slow(0.008), k.slow(0.008), k.slow(0.004)], 1),
        np.array([strums * 1.0, k.between(-0.2, 0.6), -0.6]),
        unit(np.array([-strums * 0.8, 0.4, 0.2]) + 2.0 * swing[:, None] * way),
        0.06,
        k.chance(0.5),
    )
    neck = -strums
    slide = k.slow(k.between(0.005, 0.05), 1.5)[:, None] * unit(np.array([neck * 1.0, -0.5, 0.3]))
    hold = Arm(
        k.vector((0.28, 0.55), (0.0, 0.3), (0.16, 0.36)) * (neck, 1, 1) + slide,
        np.array([neck * 0.4, 1.0, -0.2]),
        unit(np.array([-neck * 0.4, -1.0, 0.3]) + 0.15 * np.sin(phase / 2)[:, None] * np.array([1.0, 0, 0])),
        k.between(0.02, 0.15),
    )
    return Pose(*_pair(strums, strum, hold), _bob(k, phase, k.between(0, 0.03)))


def _bob(k, phase, amplitude):
    """[n, 3]: the trunk goes with the beat, at half its rate."""
    beat = np.sin(phase / 2 + k.between(0, 6.3))
    return amplitude * beat[:, None] * unit(k.vector((-1, 1), (0.2, 1), (-0.5, 0.5)))


# What `other` draws from. Each takes (k, build) and returns a Pose.


def _wander(k, build, side):
    """One hand on a smooth random path before the body."""
    centre = k.vector((0.05, 0.45), (-0.3, 0.4), (0.1, 0.45)) * (side, 1, 1)
    path = np.stack([k.slow(k.between(0.05, 0.22) * k.size, 2.2) for _ in range(3)], 1)
    wrist = build.at(side) * (0.5, 1, 1) + centre + path
    return Arm(wrist, np.array([side * k.between(0.3, 1), 1.0, -0.4]), None, k.between(0.02, 0.25), k.chance(0.4))


def _wander_both(k, build):
    return Pose(_wander(k, build, RIGHT), _wander(k, build, LEFT), _still(k))


def _wander_one(k, build):
    side = RIGHT if k.chance(0.5) else LEFT
    return Pose(*_pair(side, _wander(k, build, side), hanging(k, build, -side)), _still(k))


def _lift(k, build):
    """Both arms, straight, from the sides up and down again, together or in turn."""
    phase, wide, middle = k.phase(0.6, 1.6), k.between(0.5, 1.2) * k.size**0.5, k.between(1.1, 1.9)
    front, ahead, arms = k.between(0, 0.5), 0 if k.chance(0.7) else np.pi, []
    for side in (RIGHT, LEFT):
        angle = middle - wide * np.cos(phase + (ahead if side == LEFT else 0))
        way = np.stack([side * np.sin(angle), np.cos(angle), np.full(len(angle), front)], 1)
        arms.append(Arm(build.at(side) + 0.95 * build.reach * unit(way), np.array([side, 1.0, -0.5]), None, 0.1))
    return _pose(arms, _still(k))


def _wave_both(k, build):
    return Pose(_wave(k, build, RIGHT), _wave(k, build, LEFT), _still(k))


def _punch(k, build):
    """Fists go forward in turn."""
    phase, arms = k.phase(1.0, 2.6), []
    high = k.between(-0.1, 0.2)
    for side, ahead in ((RIGHT, 0), (LEFT, np.pi)):
        out = ((1 + np.cos(skew(phase + ahead, 0.4))) / 2)[:, None]
        near, far = np.array([side * 0.16, high + 0.12, 0.2]), np.array([side * k.between(-0.05, 0.15), high, 0.55])
        arms.append(Arm(near + out * (far - near), np.array([side * 0.8, 1.0, -0.3]), None, 0.05, True))
    return _pose(arms, _bob(k, 2 * phase, 0.02))


def _circle_both(k, build):
    """Both arms go round, as mirror images or alike."""
    senses = (1, -1) if k.chance(0.6) else (1, 1)
    flip = 1 if k.chance(0.5) else -1
    return Pose(_circle(k, build, RIGHT, flip * senses[0]), _circle(k, build, LEFT, flip * senses[1]), _still(k))


def _chop(k, build):
    """One straight arm goes up and down in front."""
    side = RIGHT if k.chance(0.5) else LEFT
    angle = k.between(1.2, 1.9) + k.between(0.4, 0.9) * np.sin(k.phase(0.8, 2.4)) * k.steady()
    way = np.stack([np.full(len(angle), side * k.between(0, 0.6)), np.cos(angle), np.sin(angle)], 1)
    arm = Arm(
        build.at(side) + k.between(0.7, 0.97) * build.reach * unit(way),
        np.array([side * 0.5, 1.0, -0.5]),
        None,
        0.06,
        k.chance(0.3),
    )
    return Pose(*_pair(side, arm, hanging(k, build, -side)), _still(k))


def _open(k, build):
    """Both arms open wide and close again without meeting."""
    angle = k.between(0.5, 0.9) + k.between(0.4, 0.7) * np.sin(k.phase(0.6, 1.6)) * k.steady()
    low, arms = k.between(-0.2, 0.5), []
    for side in (RIGHT, LEFT):
        way = np.stack([side * np.sin(angle), np.full(len(angle), low), np.cos(angle)], 1)
        arms.append(
            Arm(build.at(side) + k.between(0.8, 0.97) * build.reach * unit(way), np.array([side, 1.0, -0.4]), None, 0.1)
        )
    return _pose(arms, _still(k))


def _swipe(k, build):
    """One hand goes across the body from side to side, or along an eight."""
    side = RIGHT if k.chance(0.5) else LEFT
    phase = k.phase(0.6, 1.5)
    wide, eight = k.between(0.2, 0.4) * k.size, k.between(0.06, 0.2) if k.chance(0.5) else 0.0
    path = np.stack([wide * np.sin(phase), eight * np.sin(2 * phase), 0.05 * np.cos(phase)], 1)
    arm = Arm(
        k.vector((-0.05, 0.3), (-0.15, 0.3), (0.35, 0.5)) * (side, 1, 1) + path,
        np.array([side * 0.7, 1.0, -0.3]),
        None,
        0.08,
    )
    return Pose(*_pair(side, arm, hanging(k, build, -side)), _still(k))


def _scissors(k, build):
    """Forearms cross and open before the body."""
    gap = k.between(0.15, 0.3) * k.size * np.sin(k.phase(0.8, 2.2)) * k.steady()
    base, arms = k.vector((0.05, 0.12), (-0.2, 0.3), (0.25, 0.42)), []
    for side in (RIGHT, LEFT):
        wrist = base * (side, 1, 1) + np.stack([side * gap, np.zeros(len(gap)), np.full(len(gap), -side * 0.04)], 1)
        arms.append(Arm(wrist, np.array([side, 0.9, -0.3]), unit(np.array([0, -1.0, 0.3]) + _still(k)), 0.1))
    return _pose(arms, _still(k))


def _salute(k, build):
    """One hand goes from the side to the head and back."""
    side = RIGHT if k.chance(0.5) else LEFT
    way = ((1 - np.cos(k.phase(0.6, 1.3))) / 2)[:, None]
    low = build.at(side) + k.vector((0.05, 0.2), (0.3, 0.5), (0.1, 0.3)) * (side, 1, 1)
    head = np.array([side * k.between(0.06, 0.14), -0.26, 0.12])
    arm = Arm(low + way * (head - low), np.array([side, 0.6, 0.2]), None, 0.04)
    return Pose(*_pair(side, arm, hanging(k, build, -side)), _still(k))


_OTHERS = (
    _wander_both,
    _wander_both,
    _wander_one,
    _lift,
    _wave_both,
    _punch,
    _circle_both,
    _chop,
    _open,
    _swipe,
    _scissors,
    _salute,
)


def other(k: Timing, build: Build) -> Pose:
    """10: some movement that is none of the ten."""
    return _OTHERS[k.random.randint(len(_OTHERS))](k, build)


# By label: (Timing, Build) -> Pose.
MOVES = (
    clap,
    wave(RIGHT),
    wave(LEFT),
    circle(RIGHT, 1),
    circle(RIGHT, -1),
    circle(LEFT, 1),
    circle(LEFT, -1),
    roll,
    drums,
    guitar,
    other,
)
