"""The ablation: its variants, its table, and that runs are made once, go on after a kill, and are held by one
process.
"""

import csv
import dataclasses
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import events
from sim.base import locks
from sim.base.errors import UserError
from train.config import Config, preset
from train.studies import ablate, curve, runs, tables

ENCODER = dataclasses.replace(events.default_encoder("digits"), frames=2, frame_us=150_000).settings()
CFG = Config(dataset="digits", encoder=ENCODER, stem=(8,), width=8, bank=8, float_epochs=1, exact_epochs=1, batch=64)
OPTIONS = [
    "--set",
    "gate=read",
    "--set",
    f"encoder={json.dumps(ENCODER)}",
    "--set",
    "stem=[8]",
    "--set",
    "width=8",
    "--set",
    "bank=8",
    "--set",
    "batch=64",
    "--float-epochs",
    "1",
    "--exact-epochs",
    "1",
]


@pytest.fixture
def few_digits(monkeypatch):
    load = events.load

    def first(*args, **kwargs):
        r = load(*args, **kwargs)
        return dataclasses.replace(r, events=r.events[:100], labels=r.labels[:100], names=r.names[:100])

    monkeypatch.setattr(events, "load", first)


def row(group, variant, folder, **columns):
    """A row of two runs; each column is a pair of numbers."""
    columns = {c: (1.0, 3.0) for c in tables.COLUMNS} | columns
    return {
        "group": group,
        "variant": variant,
        "folder": folder,
        "seeds": [1, 2],
        "runs": [{c: v[i] for c, v in columns.items()} for i in (0, 1)],
    }


def test_variants_are_valid_share_the_default_and_differ_where_they_say():
    cfg = preset("tiny", encoder=events.default_encoder("digits").settings())
    cfg = dataclasses.replace(cfg, energy_uj=8.0, share=0.6, leak=128, early=4, sparsity=0.0, chain=1)
    groups = ablate.variants(cfg)
    made = {}
    for labels in groups.values():
        for folder, changes in labels.values():
            changed = dataclasses.replace(cfg, **changes)
            changed.make_encoder()
            assert made.setdefault(folder, changed) == changed, folder  # one folder, one configuration
            assert (changed == cfg) == (folder == "default"), folder
    assert len({json.dumps(c.to_dict()) for c in made.values()}) == len(made) == 27
    assert {dataclasses.replace(cfg, **c).pruner for _, c in groups["pruner"].values()} == {
        "random",
        "latency",
        "count",
    }
    assert groups["share"]["0.6"][0] == "default" and made["pruner-none"].make_encoder().places == 0
    assert [made[f].energy_uj for f, _ in groups["energy"].values()] == [0.0, 8.0, *(f * 8 for f in ablate.TARGETS)]
    assert "energy" not in ablate.variants(dataclasses.replace(cfg, energy_uj=0.0))


@pytest.mark.parametrize("name", ["digits", "nmnist", "dvs128"])
@pytest.mark.parametrize("factor", [0.5, 2])
def test_other_numbers_of_frames_keep_the_duration(name, factor):
    before = events.default_encoder(name)
    after = events.Encoder(**ablate.frames(before.settings(), factor))
    assert after.frames == before.frames * factor and after.frames * after.frame_us == before.frames * before.frame_us


def test_table_has_mean_and_standard_deviation():
    rows = [
        row("pruner", "none", "pruner-none", float_val=(0.9, 0.92), integer_val=(0.8, 0.8), synops=(1000, 3000)),
        row("pruner", "count", "pruner-count", float_val=(None, None)),
    ]
    text = tables.markdown([tables.summary(r) for r in rows], CFG).splitlines()
    cells = "91.00 ± 1.41 | 80.00 ± 0.00 | – | 2.000 ± 1.414 | 2.0 ± 1.4 | 2,000 ± 1,414 | 2.0 ± 1.4 | 2"
    assert text[4] == f"| pruner | none | 2 | {cells} |"
    assert text[5].startswith("|  | count | 2 | – | 200.00 ± 141.42 |")
    one = row("keep", "1", "pruner-none")
    one["runs"] = one["runs"][:1]
    assert tables.cell("synops", *tables.summary(one)["synops"]) == "1"


def test_differences_from_the_default_are_taken_seed_by_seed():
    default = row("default", "as it stands", "default", integer_val=(0.8, 0.9))
    other = row("pruner", "none", "pruner-none", integer_val=(0.82, 0.94))
    mean, half = tables.summary(other, default)["against_default"]
    assert mean == pytest.approx(0.03) and half == pytest.approx(
        12.7062 * 0.0141421 / 2**0.5, rel=1e-4
    )  # t for one degree of freedom
    assert tables.cell("against_default", mean, half) == "+3.00 ± 12.71"
    other["seeds"] = [2, 3]  # of these, the default has 2
    assert tables.summary(other, default)["against_default"] == (pytest.approx(-0.08), None)
    assert tables.summary(default, default)["against_default"] == (None, None)


def test_files(tmp_path):
    rows = [row("share", "1", "pruner-none"), row("share", "0.6", "share-0.6", synops=(5.0, 7.0))]
    ablate.picture(tmp_path / "accuracy.png", tables.write(tmp_path, rows, CFG, "ablate"))
    lines = list(csv.DictReader(open(tmp_path / "runs.csv")))
    assert [(line["variant"], line["seed"], line["synops"]) for line in lines] == [
        ("1", "1", "1.0"),
        ("1", "2", "3.0"),
        ("0.6", "1", "5.0"),
        ("0.6", "2", "7.0"),
    ]
    assert json.loads((tmp_path / "ablate.json").read_text())["rows"][1]["synops"][0] == 6.0
    assert (tmp_path / "accuracy.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ablate.json", "accuracy.png", "runs.csv", "table.md"]


def test_seeds():
    assert [runs.parse_seeds(t) for t in ("3", "4-6", "1,5", "7,")] == [[1, 2, 3], [4, 5, 6], [1, 5], [7]]
    for text in ("", "x", "0", "1-x", "3-1"):
        with pytest.raises(UserError, match="--seeds"):
            runs.parse_seeds(text)


def test_a_folder_is_held_by_one(tmp_path):
    for name in (locks.STUDY, locks.RUNNING):  # of a study, of `python -m train`
        with locks.held(tmp_path, "trains", "wait", name):
            assert runs.run(tmp_path, CFG) is None


def test_an_out_of_another_configuration_is_refused(tmp_path):
    runs.claim(tmp_path, CFG)
    runs.claim(tmp_path, dataclasses.replace(CFG, seed=9))
    with pytest.raises(UserError, match="another configuration .lr differ"):
        runs.claim(tmp_path, dataclasses.replace(CFG, lr=1.0))
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / runs.DONE).write_text(json.dumps({"config": dataclasses.replace(CFG, lr=1.0).to_dict()}))
    with pytest.raises(UserError, match="default: holds a run of another configuration"):
        runs.finished(tmp_path / "default", CFG)


def test_user_errors_are_one_line():
    for arguments, text in (
        (["--only", "colour"], "unknown group 'colour'"),
        (["--set", "share=1"], "must prune"),
        (["--seeds", "x"], "--seeds x"),
        (["--dataset", "nothing"], "nothing"),
    ):
        run = subprocess.run([sys.executable, "-m", "train", "ablate", *arguments], capture_output=True, text=True)
        assert run.returncode == 2 and text in run.stderr.strip().splitlines()[-1] and "Traceback" not in run.stderr


@pytest.mark.slow
def test_finished_runs_are_kept_and_a_killed_one_goes_on(tmp_path, monkeypatch, few_digits):
    from train.run import loop

    trained, train = [], loop.train

    def noted(cfg, run_dir, *args, **kwargs):
        trained.append(run_dir.parent.name)
        return train(cfg, run_dir, *args, **kwargs)

    monkeypatch.setattr(loop, "train", noted)
    numbers = runs.numbers

    def killed(*args):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    arguments = [*OPTIONS, "--seeds", "1", "--only", "default,gate", "--out", str(out), "--json"]
    monkeypatch.setattr(runs, "numbers", killed)
    assert CliRunner().invoke(ablate.main, arguments).exit_code != 0
    assert trained == ["default"] and not (out / "default/seed1" / runs.DONE).exists()
    log = (out / "default/seed1/log.jsonl").read_text()

    monkeypatch.setattr(runs, "numbers", numbers)
    first = CliRunner().invoke(ablate.main, arguments)
    assert first.exit_code == 0, first.output
    assert trained == ["default", "default", "gate-none"]
    assert (out / "default/seed1/log.jsonl").read_text() == log  # went on from its end
    again = CliRunner().invoke(ablate.main, arguments)
    assert len(trained) == 3 and again.stdout == first.stdout
    rows = json.loads(first.stdout)["rows"]
    assert [(r["group"], r["variant"]) for r in rows] == [
        ("default", "as it stands"),
        ("gate", "read"),
        ("gate", "none"),
    ]
    assert rows[0] | {"group": "", "variant": ""} == rows[1] | {"group": "", "variant": ""}
    assert rows[2]["parameters"][0] < rows[0]["parameters"][0]
    assert 0 < rows[0]["kept"][0] < 1 and rows[0]["synops"][0] > 0 and rows[0]["uj"][0] > 0
    assert "| gate | read | 1 |" in (out / "table.md").read_text()


def test_targets_of_the_curve():
    assert curve.parse_targets("7.5, 0,5") == [5.0, 7.5, 0.0] and curve.parse_targets("3") == [3.0]
    for text in ("", "x", "-1", "1,nan", "1e12"):
        with pytest.raises(UserError, match="--targets"):
            curve.parse_targets(text)
    made = curve.variants([5.0, 0.0])["target"]
    assert made == {"5 uJ": ("uj-5", {"energy_uj": 5.0}), "no target": ("uj-off", {"energy_uj": 0.0})}


@pytest.mark.slow
def test_the_curve_is_made_by_one_command_and_goes_on(tmp_path, few_digits):
    arguments = [*OPTIONS[:-4], "--set", "float_epochs=1", "--set", "exact_epochs=1", "--out", str(tmp_path / "out")]
    one = CliRunner().invoke(curve.main, [*arguments, "--targets", "1.5"])
    assert one.exit_code == 0, one.output
    log = (tmp_path / "out/uj-1.5/seed1/log.jsonl").read_text()
    both = CliRunner().invoke(curve.main, [*arguments, "--targets", "1.5,0", "--json"])
    rows = json.loads(both.stdout)["rows"]
    assert [r["variant"] for r in rows] == ["1.5 uJ", "no target"] and all(r["uj"][0] > 0 for r in rows)
    assert (tmp_path / "out/uj-1.5/seed1/log.jsonl").read_text() == log  # made once
    assert (tmp_path / "out/curve.png").read_bytes()[:4] == b"\x89PNG"
    assert "| target | 1.5 uJ | 1 |" in (tmp_path / "out/table.md").read_text()


def test_a_table_of_nothing_is_refused(tmp_path):
    result = CliRunner().invoke(ablate.main, [*OPTIONS, "--table", "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, UserError) and "no run of these groups and seeds is finished" in str(
        result.exception
    )
