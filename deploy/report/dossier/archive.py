"""Makes the archive: the net, its report, the figures, samples with their outputs, this program, and a check."""

import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from sim import netx
from sim.base import files
from sim.base.errors import UserError
from sim.net import Net

from .. import gather
from ..asked import Asked
from ..content import Report
from ..page import page
from . import samples

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
SOURCES = ("sim", "events", "deploy")
ENDINGS = (".py", ".toml", ".html", ".css", ".js", ".md", ".mk")
NEEDED = ("click", "h5py", "numba", "numpy", "rich", "scipy", "threadpoolctl")  # by the check without Lava
LAVA = ("asteval", "matplotlib", "networkx", "scikit-learn")  # by lava-nc, beyond those
SUMS = "SHA256SUMS"


def dossier(
    path: str | Path, out: str | Path, asked: Asked, say: Callable[[str], object] = lambda text: None
) -> Report:
    """Measures a net and writes the archive, whole or not at all.

    Args:
        out: a name that ends in .zip, .tar.gz or .tgz. asked, say: as of `deploy.report.measure`.

    Raises:
        UserError: another ending; as of `deploy.report.measure`. CannotWrite: see `sim.base.files`.
    """
    pack = _packer(out)
    report = gather.measure(path, asked, say)
    say("dossier")
    net = netx.load(path)
    x, labels = gather.planned_samples(net, path, asked)
    content = _content(path, report, net, asked, samples.record(net, x, labels))
    folder = re.sub(r"[^\w.-]", "_", Path(path).stem) + "-dossier"
    files.fill(out, lambda file: pack(file, folder, content))
    return report


def _packer(out):
    name = str(out).lower()
    if name.endswith(".zip"):
        return _zip
    if name.endswith((".tar.gz", ".tgz")):
        return _tar
    raise UserError(f"{out}: a dossier ends in .zip, .tar.gz or .tgz")


def _content(path, report, net, asked, recorded):
    """Name -> bytes of every file of the archive."""
    own, moved = _own_files(asked)
    npz = io.BytesIO()
    samples.write(recorded, npz)
    plan = None if report.plan is None else report.plan.to_json()
    packing = None if report.plan is None else report.plan.packing
    facts = dict(
        net="model.net",
        digest=report.digest,
        ours=isinstance(net, Net),
        board=moved.board,
        tables=list(moved.tables),
        packing=packing,
        counted=bool(report.plan and report.plan.costs),
    )
    texts = {
        "README.md": _filled("README.md", report),
        "Makefile": _filled("check.mk", report),
        "facts.json": json.dumps(facts, indent=1),
        "verify.json": json.dumps({k: report.raw.get(k) for k in ("parity", "lava", "lava_equals_engine")}),
        "run.json": json.dumps(report.raw.get("fast")),
        "plan.json": json.dumps(plan),
        "report.html": page(report),
        "environment.txt": "".join(f"{name} {version}\n" for name, version in report.versions.items()),
        "requirements.txt": _pins(NEEDED) + 'tomli; python_version < "3.11"\n',
        "requirements-lava.txt": _pins(LAVA),
    }
    out = {name: text.encode() for name, text in texts.items()}
    out |= {"model.net": Path(path).read_bytes(), "samples.npz": npz.getvalue()} | own | dict(_sources())
    if (ROOT / "LICENSE").is_file():
        out["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    sums = "".join(f"{hashlib.sha256(out[name]).hexdigest()}  {name}\n" for name in sorted(out))
    return out | {SUMS: sums.encode()}


def _own_files(asked):
    """(files that the user brought as a board or as prices, `asked` with their names in the archive)."""
    own, names = {}, []
    for name in (asked.board, *asked.tables):
        if Path(name).suffix:
            inside = f"prices-and-board/{Path(name).name}"
            if own.setdefault(inside, Path(name).read_bytes()) != Path(name).read_bytes():
                raise UserError(f"{name}: another file of that name is in the dossier already; rename one")
            name = inside
        names.append(name)
    return own, replace(asked, board=names[0], tables=tuple(names[1:]))


def _sources():
    """(name, bytes) of this program, as far as the check needs it."""
    for package in SOURCES:
        for place in sorted((ROOT / package).rglob("*")):
            if place.is_file() and place.suffix in ENDINGS and "__pycache__" not in place.parts:
                yield f"src/{place.relative_to(ROOT).as_posix()}", place.read_bytes()


def _pins(names):
    lines = []
    for name in names:
        try:
            lines.append(f"{name}=={metadata.version(name)}\n")
        except metadata.PackageNotFoundError:
            lines.append(f"{name}\n")
    return "".join(lines)


def _filled(name, report):
    """A template beside this file; what is put in is one line without marks of Markdown."""
    accuracy, parity = report.accuracy, report.parity
    values = {
        "NET": Path(report.net).name,
        "KIND": report.kind,
        "DIGEST": report.digest,
        "ACCURACY": "not measured"
        if accuracy is None
        else f"{100 * accuracy.value:.1f} % of {accuracy.n} samples of {accuracy.dataset}",
        "PARITY": "not compared"
        if parity is None
        else f"{' = '.join(parity.executors)}: {parity.compared:,} values, {parity.differences} differ",
        "FIT": _fit(report.plan),
        "COMMAND": report.command,
        "LAVA": _version("lava-nc", "0.10.0"),
    }
    text = (HERE / name).read_text(encoding="utf-8")
    pieces = text.split("@@")
    clean = lambda value: re.sub(r"[^\w .,:;%()/=+'-]", "_", " ".join(str(value).split()))  # noqa: E731
    return "".join(clean(values[piece]) if i % 2 else piece for i, piece in enumerate(pieces))


def _version(name, usual):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return usual


def _fit(plan):
    if plan is None:
        return "not planned"
    if not plan.fits:
        return f"does not fit {plan.board.title}"
    return f"{plan.placed.cores_used} of {plan.board.cores} neurocores of {plan.board.title}"


def _zip(file, folder, content):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            entry = zipfile.ZipInfo(f"{folder}/{name}", (1980, 1, 1, 0, 0, 0))
            entry.external_attr, entry.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)


def _tar(file, folder, content):
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
