#!/bin/sh
# Statistics in a Slurm array, merged, and the model pruned with them; each step waits for the one before.
#
#   deploy/slurm.sh MODEL DATA SHARDS OUT [FLAGS of calibrate and prune, such as --mean ... --std ...]
#   PRUNE_FLAGS="--target-macs 0.5" SBATCH_CPUS=4 deploy/slurm.sh model.onnx images 64 out
#
# A task that fails or is killed is queued again, three times (`--requeue`); a part is written whole or not at all, so that a task
# that ran twice does no harm. OUT holds the parts, `merged.stats`, `pruned.onnx` and `report.json`.
set -eu
[ $# -ge 4 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
model=$1 data=$2 shards=$3 out=$4
shift 4
mkdir -p "$out/parts" "$out/log"
cpus=${SBATCH_CPUS:-1}
usual="--parsable --cpus-per-task=$cpus --open-mode=append --export=ALL"

# The arguments of the jobs, as words that the shell reads again.
flags=
for word in "$@"; do
  flags="$flags '$(printf %s "$word" | sed "s/'/'\\\\''/g")'"
done

calibrate=$(sbatch $usual --requeue --array="0-$((shards - 1))" --job-name=calibrate --output="$out/log/calibrate-%a.log" <<JOB
#!/bin/sh
again() { [ "\${SLURM_RESTART_COUNT:-0}" -lt 3 ] && scontrol requeue "\${SLURM_ARRAY_JOB_ID}_\$SLURM_ARRAY_TASK_ID"; }
onnx-prune calibrate '$model' --data '$data' --shard auto --shards $shards --threads $cpus \\
  -o '$out/parts/'\$SLURM_ARRAY_TASK_ID.stats --force --quiet $flags || { code=\$?; again; exit \$code; }
JOB
)

# After the tasks ended, however they did: `merge` names what is missing.
merge=$(sbatch $usual --job-name=merge --dependency="afterany:$calibrate" --output="$out/log/merge.log" <<JOB
#!/bin/sh
onnx-prune merge '$out'/parts/*.stats -o '$out/merged.stats' --force
JOB
)

sbatch $usual --job-name=prune --dependency="afterok:$merge" --kill-on-invalid-dep=yes --output="$out/log/prune.log" <<JOB
#!/bin/sh
onnx-prune '$model' --statistics '$out/merged.stats' --threads $cpus -o '$out/pruned.onnx' --report '$out/report.json' \\
  --force ${PRUNE_FLAGS:-} $flags
JOB
