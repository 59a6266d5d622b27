#!/usr/bin/env python3
"""onnx-prune beside its peers: whole processes on one file, and the zoo side by side.

    python3 benches/peers.py --model resnet50.onnx            # time and memory of a whole process
    python3 benches/peers.py --zoo DIR                        # valid, share of MACs prunable, MACs reached
    python3 benches/peers.py --setup VENV                     # installs the peers into a virtual environment

Run it with the Python of an environment that has the peers (`--setup` makes one; the zoo's does for all but
Torch-Pruning). The binary is taken from target/release unless `--binary` says otherwise. Peers: onnxsim 0.8.1
(`apply_structured_pruning`, L2 norm) and Torch-Pruning 1.6.1 (`MagnitudePruner`, L2 norm, then the export). All three
remove the same share of channels and write a file; imports count, as they do for a user. Times are medians of runs
taken in turn; memory is the largest resident size of the process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = [
    "onnx==1.18.0", "onnxruntime", "onnxsim==0.8.1", "numpy", "torch-pruning==1.6.1", "torch==2.8.0", "torchvision==0.23.0",
]

ONNXSIM = """
import sys, onnx, onnxsim
model = onnx.load(sys.argv[1])
onnx.save(onnxsim.apply_structured_pruning(model, sparsity=float(sys.argv[3])), sys.argv[2])
"""

# Torch-Pruning works on a module, not on a file: the architecture of the file, built by torchvision.
TORCH_PRUNING = """
import sys, torch, torchvision, torch_pruning as tp
model = getattr(torchvision.models, sys.argv[4])(weights=None).eval()
image = torch.randn(1, 3, 224, 224)
pruner = tp.pruner.MagnitudePruner(model, image, importance=tp.importance.MagnitudeImportance(p=2),
                                   pruning_ratio=float(sys.argv[3]), ignored_layers=[model.fc])
pruner.step()
torch.onnx.export(model, image, sys.argv[2], opset_version=13, dynamo=False)
"""


def whole_process(command, quiet=True):
    """Seconds, peak bytes and exit code of a command."""
    begin = time.perf_counter()
    sink = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(command, stdout=sink, stderr=sink)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - begin, usage.ru_maxrss * 1024, process.returncode


def compare_processes(options, folder):
    ours = [str(options.binary), str(options.model), "-o", str(folder / "ours.onnx"), "--force", "--criterion", "l2",
            "--ratio", str(options.ratio), "--no-verify", "--no-timing", "--quiet"]
    commands = {"onnx-prune": ours}
    script = {"onnxsim": ONNXSIM, "torch-pruning": TORCH_PRUNING}
    for name, module in (("onnxsim", "onnxsim"), ("torch-pruning", "torch_pruning")):
        if subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode:
            print(f"skipped: {name}: {sys.executable} cannot import {module}")
            continue
        commands[name] = [sys.executable, "-c", script[name], str(options.model), str(folder / f"{name}.onnx"),
                          str(options.ratio), options.architecture]
    runs = {name: [] for name in commands}
    for number in range(options.runs + 1):
        for name, command in commands.items():
            seconds, peak, code = whole_process(command)
            if code:
                whole_process(command, quiet=False)
                sys.exit(f"{name} failed with exit code {code}")
            if number:  # the first run of each warms the page cache
                runs[name].append((seconds, peak))
    size = options.model.stat().st_size
    base = statistics.median(seconds for seconds, _ in runs["onnx-prune"])
    print(f"{options.model.name}, {size / 1e6:.1f} MB, {options.ratio:.0%} of the channels, {options.runs} runs in turn")
    print(f"{'':<14} {'seconds':>8} {'min':>7} {'max':>7} {'ours / it':>10} {'peak MB':>8} {'x file':>7}")
    for name, found in runs.items():
        seconds = [s for s, _ in found]
        median, peak = statistics.median(seconds), max(p for _, p in found)
        print(f"{name:<14} {median:>8.3f} {min(seconds):>7.3f} {max(seconds):>7.3f} {base / median:>10.3f} "
              f"{peak / 1e6:>8.0f} {peak / size:>7.2f}")


def judged(original, pruned):
    """Whether the file passes (ONNX checker with shape inference, loads, runs, same output shapes), MACs and parameters kept."""
    sys.path.insert(0, str(options_zoo_tools()))
    import check

    report = check.Report()
    with open(os.devnull, "w") as sink:
        keep, sys.stdout = sys.stdout, sink
        try:
            parser = argparse.Namespace(original=original, pruned=pruned, masked=None, target_macs=None, dim=[],
                                        runs=1, tolerance=1e-4)
            report.passed = check.judge(parser)
        finally:
            sys.stdout = keep
    import macs

    before, after = macs.count(original, {}), macs.count(pruned, {})
    return report.passed, after["macs"] / max(before["macs"], 1), after["params"] / max(before["params"], 1)


def options_zoo_tools():
    return ROOT.parent / "shared" / "zoo"


def attempt(command, original, pruned):
    pruned.unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if not pruned.exists():
        text = done.stderr.strip().splitlines() or [""]
        why = next((line.strip() for line in text if "why:" in line), text[-1])
        return f"no file: {why[:60]}", False
    try:
        valid, kept, params = judged(original, pruned)
    except Exception as error:
        return f"cannot be judged: {type(error).__name__}", False
    changed = "" if params < 1 else " unchanged"
    return f"{'valid' if valid else 'refused':<8} x{kept:.3f}{changed}", valid and params < 1


def compare_zoo(options, folder):
    print(f"{'model':<34} {'prunable':>8}  {'onnx-prune':<24} onnxsim, its own structured pruning")
    pruned_by = {"ours": 0, "onnxsim": 0}
    models = sorted(options.zoo.glob("*.onnx"))
    for model in models:
        inspected = subprocess.run([str(options.binary), "inspect", str(model), "--json"], capture_output=True)
        share = json.loads(inspected.stdout)["prunable_macs_share"] if inspected.returncode == 0 else 0.0
        ours, ours_good = attempt([str(options.binary), str(model), "-o", str(folder / "a.onnx"), "--force", "--criterion",
                                   "l2", "--ratio", str(options.ratio), "--scope", "all", "--no-timing", "--quiet"],
                                  model, folder / "a.onnx")
        theirs, theirs_good = attempt([sys.executable, "-c", ONNXSIM, str(model), str(folder / "b.onnx"),
                                       str(options.ratio)], model, folder / "b.onnx")
        pruned_by["ours"] += ours_good
        pruned_by["onnxsim"] += theirs_good
        print(f"{model.stem:<34} {share:>8.1%}  {ours:<24} {theirs}", flush=True)
    print(f"{len(models)} models; valid and smaller: onnx-prune {pruned_by['ours']}, onnxsim {pruned_by['onnxsim']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a ResNet-50, or another network of torchvision")
    parser.add_argument("--architecture", default="resnet50", help="its name in torchvision")
    parser.add_argument("--zoo", type=Path, help="a folder of models")
    parser.add_argument("--ratio", type=float, default=0.3, help="share of the channels to remove")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/onnx-prune")
    parser.add_argument("--setup", type=Path, metavar="VENV")
    options = parser.parse_args()
    if options.setup:
        subprocess.run([sys.executable, "-m", "venv", str(options.setup)], check=True)
        subprocess.run([str(options.setup / "bin/pip"), "install", "--quiet", *PEERS], check=True)
        return
    if not options.binary.exists():
        sys.exit(f"{options.binary} is not there: cargo build --release")
    with tempfile.TemporaryDirectory() as folder:
        if options.model:
            compare_processes(options, Path(folder))
        if options.zoo:
            compare_zoo(options, Path(folder))


if __name__ == "__main__":
    main()
