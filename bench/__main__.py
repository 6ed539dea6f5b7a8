"""`python -m bench`: speed of the executors and of the training kernels. Example: `python -m bench --quick`."""

import json
import os
import statistics
import time

import click
import numpy as np
from rich.console import Console
from rich.table import Table


def median(function, runs):
    """Median seconds of `runs` calls after one warm-up."""
    function()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def executors(net_path, quick):
    """Samples per second of each executor on the net's own golden sample, repeated. The simulators' start-up is left out."""
    from sim import engine, netx
    from sim.simulator import simulate
    net, golden = netx.read(net_path), netx.read_golden(net_path)
    tokens = np.repeat(golden.tokens[:1], 64, 0)
    rates = {"engine": 64 / median(lambda: engine.run(net, tokens), 3 if quick else 10)}
    rates["Lava, fused"] = 4 / simulate(net, tokens[:4], "fused").run_seconds
    if not quick:
        rates["Lava, stock"] = 1 / simulate(net, tokens[:1], "stock").run_seconds
    rates["SLAYER, integer mode"] = _slayer(net_path, tokens[:16], 2 if quick else 5)
    return [{"what": f"{net_path}: {name}", "value": rate, "unit": "samples/s", "ratio": rates["engine"] / rate} for name, rate in rates.items()]


def _slayer(net_path, tokens, runs):
    from train import checkpoint
    from train.evaluate import predict
    model, _ = checkpoint.load(str(net_path).replace(".net", ".pt"))
    return len(tokens) / median(lambda: predict(model, tokens, True, batch=len(tokens)), runs)


def kernel(shape, runs):
    """Training kernel against SLAYER's loop, forward and backward, [batch, channels, steps]; one thread."""
    import torch
    from train import dynamics
    from train.slayer import slayer
    dynamics.set_threads(1)
    torch.set_flush_denormal(True)
    batch, n, steps = shape
    x = (torch.randint(-20, 21, (batch, steps, n)) * (2 / 64)).transpose(1, 2).requires_grad_()
    y = x.detach().contiguous().requires_grad_()
    neuron = slayer.neuron.cuba.Neuron(threshold=1.0, current_decay=0.1, voltage_decay=4095 / 4096, tau_grad=0.005, scale_grad=10)
    i_decay, bias, gain = torch.full((n,), 410), torch.zeros(n), torch.ones(n)
    ours = median(lambda: dynamics.cuba(x, bias, i_decay, 4095, gain, 0.5, 1.0).sum().backward(), runs)
    theirs = median(lambda: neuron(y).sum().backward(), 1 if runs < 5 else 2)
    name = f"CUBA forward + backward {list(shape)}"
    return [{"what": f"{name}: kernel", "value": 1e3 * ours, "unit": "ms", "ratio": 1.0}, {"what": f"{name}: SLAYER's loop", "value": 1e3 * theirs, "unit": "ms", "ratio": theirs / ours}]


@click.command(epilog="Example: python -m bench --quick --json")
@click.option("--quick", is_flag=True, help="Fewer runs, no stock simulation, smaller kernels: under a minute.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def main(quick, as_json):
    """Time the executors on the nets in models/, and the training kernel. `ratio` is against the first row of its group, in this run."""
    rows = []
    for net in ("models/digits-tiny.net",) if quick else ("models/digits-tiny.net", "models/nmnist-small.net"):
        rows += executors(net, quick)
    rows += kernel((8, 64, 256) if quick else (32, 256, 1024), 3 if quick else 5)
    if as_json:
        print(json.dumps({"cores": os.cpu_count(), "rows": rows}))
        return
    table = Table("what", "value", "unit", "ratio", title=f"{os.cpu_count()} cores")
    for row in rows:
        table.add_row(row["what"], f"{row['value']:,.4g}", row["unit"], f"{row['ratio']:,.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
