#!/bin/sh
# Statistics of shards by GNU parallel, on this machine or by ssh on others that see the same folders (`--sshloginfile nodes`).
#
#   deploy/parallel.sh MODEL DATA SHARDS OUT [FLAGS of calibrate, such as --mean ... --std ...]
#   PARALLEL="--jobs 4 --sshloginfile nodes --workdir $PWD" deploy/parallel.sh model.onnx images 64 out
#
# Run again, it does what is missing: a part that is there and whole is not made a second time (`--resume-failed`).
set -eu
[ $# -ge 4 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
model=$1 data=$2 shards=$3 out=$4
shift 4
mkdir -p "$out/parts"
seq 0 $((shards - 1)) | parallel --retries 3 --joblog "$out/joblog" --resume-failed ${PARALLEL:---jobs 2} --quote \
  onnx-prune calibrate "$model" --data "$data" --shard "{}/$shards" -o "$out/parts/{}.stats" --threads 1 --force --quiet "$@"
onnx-prune merge "$out"/parts/*.stats -o "$out/merged.stats" --force
