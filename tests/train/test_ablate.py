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
from sim.base.errors import UserError
from train.config import Config, preset
from train.studies import ablate

ENCODER = dataclasses.replace(events.default_encoder("digits"), frames=2, frame_us=150_000).settings()
CFG = Config(dataset="digits", encoder=ENCODER, stem=(8,), width=8, bank=8, float_epochs=1, exact_epochs=1, batch=64)
OPTIONS = [
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
    columns = {c: (1.0, 3.0) for c in ablate.COLUMNS} | columns
    return {
        "group": group,
        "variant": variant,
        "folder": folder,
        "seeds": [1, 2],
        "runs": [{c: v[i] for c, v in columns.items()} for i in (0, 1)],
    }


def test_variants_are_valid_share_the_default_and_differ_where_they_say():
    cfg = preset("tiny", encoder=events.default_encoder("digits").settings())
    groups = ablate.variants(cfg)
    made = {}
    for group, labels in groups.items():  # noqa: B007
        for label, (folder, changes) in labels.items():  # noqa: B007
            changed = dataclasses.replace(cfg, **changes)
            events.Encoder(**changed.encoder)
            assert made.setdefault(folder, changed) == changed, folder  # one folder, one configuration
            assert (changed == cfg) == (folder == "default"), folder
    assert len(made) == 16 and len({json.dumps(c.to_dict()) for c in made.values()}) == 16
    top_k = [dataclasses.replace(cfg, **c) for label, (_, c) in groups["pruner"].items() if label != "none"]
    assert {c.pruner for c in top_k} == {"random", "latency", "count", "count+latency"} and {c.keep for c in top_k} == {
        cfg.keep
    }
    assert all(c.gate_from * c.float_epochs > c.float_epochs for c in top_k)  # no gate in the float phase


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
    text = ablate.markdown([ablate.summary(r) for r in rows], CFG).splitlines()
    assert (
        text[4]
        == "| pruner | none | 2 | 91.00 ± 1.41 | 80.00 ± 0.00 | – | 2.000 ± 1.414 | 2,000 ± 1,414 | 2.0 ± 1.4 | 2 |"
    )
    assert text[5].startswith("|  | count | 2 | – | 200.00 ± 141.42 |")
    one = row("keep", "1", "pruner-none")
    one["runs"] = one["runs"][:1]
    assert ablate.cell("synops", *ablate.summary(one)["synops"]) == "1"


def test_differences_from_the_default_are_taken_seed_by_seed():
    default = row("default", "as it stands", "default", integer_val=(0.8, 0.9))
    other = row("pruner", "none", "pruner-none", integer_val=(0.82, 0.94))
    mean, half = ablate.summary(other, default)["against_default"]
    assert mean == pytest.approx(0.03) and half == pytest.approx(
        12.7062 * 0.0141421 / 2**0.5, rel=1e-4
    )  # t for one degree of freedom
    assert ablate.cell("against_default", mean, half) == "+3.00 ± 12.71"
    other["seeds"] = [2, 3]  # of these, the default has 2
    assert ablate.summary(other, default)["against_default"] == (pytest.approx(-0.08), None)
    assert ablate.summary(default, default)["against_default"] == (None, None)


def test_files(tmp_path):
    ablate.write(tmp_path, [row("keep", "1", "pruner-none"), row("keep", "0.6", "keep-0.6", synops=(5.0, 7.0))], CFG)
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
    assert [ablate.parse_seeds(t) for t in ("3", "4-6", "1,5", "7,")] == [[1, 2, 3], [4, 5, 6], [1, 5], [7]]
    for text in ("", "x", "0", "1-x", "3-1"):
        with pytest.raises(UserError, match="--seeds"):
            ablate.parse_seeds(text)


def test_a_folder_is_held_by_one(tmp_path):
    with ablate.locked(tmp_path) as mine, ablate.locked(tmp_path) as other:
        assert mine and not other
        assert ablate.run(tmp_path, CFG) is None
    with ablate.locked(tmp_path) as mine:
        assert mine


def test_an_out_of_another_configuration_is_refused(tmp_path):
    ablate.claim(tmp_path, CFG)
    ablate.claim(tmp_path, dataclasses.replace(CFG, seed=9))
    with pytest.raises(UserError, match="another configuration .lr differ"):
        ablate.claim(tmp_path, dataclasses.replace(CFG, lr=1.0))
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / ablate.DONE).write_text(json.dumps({"config": dataclasses.replace(CFG, lr=1.0).to_dict()}))
    with pytest.raises(UserError, match="default: holds a run of another configuration"):
        ablate.finished(tmp_path / "default", CFG)


def test_user_errors_are_one_line():
    for arguments, text in (
        (["--only", "colour"], "unknown group 'colour'"),
        (["--set", "keep=[]"], "must prune"),
        (["--seeds", "x"], "--seeds x"),
        (["--dataset", "nothing"], "nothing"),
    ):
        run = subprocess.run([sys.executable, "-m", "train", "ablate", *arguments], capture_output=True, text=True)
        assert run.returncode == 2 and text in run.stderr.strip().splitlines()[-1] and "Traceback" not in run.stderr


@pytest.mark.slow
def test_finished_runs_are_kept_and_a_killed_one_goes_on(tmp_path, monkeypatch, few_digits):
    from train import loop

    trained, train = [], loop.train

    def noted(cfg, run_dir, *args, **kwargs):
        trained.append(run_dir.parent.name)
        return train(cfg, run_dir, *args, **kwargs)

    monkeypatch.setattr(loop, "train", noted)
    numbers = ablate.numbers

    def killed(*args):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    arguments = [*OPTIONS, "--seeds", "1", "--only", "default,scan", "--out", str(out), "--json"]
    monkeypatch.setattr(ablate, "numbers", killed)
    assert CliRunner().invoke(ablate.main, arguments).exit_code != 0
    assert trained == ["default"] and not (out / "default/seed1" / ablate.DONE).exists()
    log = (out / "default/seed1/log.jsonl").read_text()

    monkeypatch.setattr(ablate, "numbers", numbers)
    first = CliRunner().invoke(ablate.main, arguments)
    assert first.exit_code == 0, first.output
    assert trained == ["default", "default", "scan-forward", "scan-reversal"]
    assert (out / "default/seed1/log.jsonl").read_text() == log  # went on from its end
    again = CliRunner().invoke(ablate.main, arguments)
    assert len(trained) == 4 and again.stdout == first.stdout
    rows = json.loads(first.stdout)["rows"]
    assert [(r["group"], r["variant"]) for r in rows] == [
        ("default", "as it stands"),
        ("scan", "forward"),
        ("scan", "reversal"),
        ("scan", "twin"),
    ]
    assert rows[0] | {"group": "", "variant": ""} == rows[3] | {"group": "", "variant": ""}
    assert (
        rows[1]["parameters"][0] < rows[3]["parameters"][0] and 0 < rows[0]["kept"][0] < 1 and rows[0]["synops"][0] > 0
    )
    assert "| scan | forward | 1 |" in (out / "table.md").read_text()


def test_a_table_of_nothing_is_refused(tmp_path):
    result = CliRunner().invoke(ablate.main, [*OPTIONS, "--table", "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, UserError) and "no run of these groups and seeds is finished" in str(
        result.exception
    )
