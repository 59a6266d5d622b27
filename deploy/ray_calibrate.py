"""Statistics of shards as Ray tasks, merged, and the model pruned with them.

    python deploy/ray_calibrate.py MODEL DATA SHARDS OUT [FLAGS of calibrate and prune]

Workers see the same folders. A task that dies with its worker is tried again by Ray (`max_retries`), one that fails by
`retry_exceptions`; a part is written whole or not at all. Uses the Python package where it is installed, else the command.
"""

import pathlib
import subprocess
import sys

import ray


def run(arguments):
    """A command of onnx-prune in this process, or as a program where the package is not installed."""
    try:
        from onnx_prune import _native
    except ImportError:
        subprocess.run(["onnx-prune", *arguments], check=True)
    else:
        print(_native.run(["--config", "none", *arguments], None, None, False)[1])


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=True)
def calibrate(model, data, shard, shards, part, flags):
    run(["calibrate", model, "--data", data, "--shard", f"{shard}/{shards}", "--threads", "1", "-o", part, "--force", "--quiet", *flags])
    return part


@ray.remote(num_cpus=1)
def prune(model, parts, out, flags):
    run(["merge", *parts, "-o", f"{out}/merged.stats", "--force"])
    run([model, "--statistics", f"{out}/merged.stats", "-o", f"{out}/pruned.onnx", "--report", f"{out}/report.json", "--force", *flags])
    return f"{out}/pruned.onnx"


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    model, data, shards, out = sys.argv[1:5]
    flags = sys.argv[5:]
    folder = pathlib.Path(out).resolve()
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    model, data = str(pathlib.Path(model).resolve()), str(pathlib.Path(data).resolve())
    ray.init(ignore_reinit_error=True)
    tasks = [
        calibrate.remote(model, data, shard, int(shards), str(folder / "parts" / f"{shard}.stats"), flags)
        for shard in range(int(shards))
    ]
    print(ray.get(prune.remote(model, ray.get(tasks), str(folder), flags)))


if __name__ == "__main__":
    main()
