#!/bin/sh
# One task of a Slurm array: a part of the types each. A task whose node dies is requeued by Slurm, and goes on with what it had
# proven already: results are in the shared directory.
#
#   export ISTER_RUN=nightly-$(date +%F) ISTER_OUT=/shared/ister/$ISTER_RUN
#   id=$(sbatch --parsable --array=1-4 .ci/slurm.sh)
#   sbatch --dependency=afterany:$id --wrap "ister report $ISTER_OUT -o $ISTER_OUT/site --history /shared/ister/history.sqlite"
#
# What is in ISTER_ARGS goes to `ister test` as well: --history, --cache-dir, types. The array is 1-N, or ISTER_PARTS says N: then
# some tasks of it can be done again (`ISTER_PARTS=4 sbatch --array=3 .ci/slurm.sh`).
#SBATCH --job-name=ister
#SBATCH --requeue
#SBATCH --open-mode=append
set -eu
: "${ISTER_RUN:?name the run}" "${ISTER_OUT:?name a directory that all nodes share}"
part=$SLURM_ARRAY_TASK_ID
parts=${ISTER_PARTS:-$SLURM_ARRAY_TASK_MAX}
if [ -z "${ISTER_PARTS:-}" ] && [ "$SLURM_ARRAY_TASK_MIN-$SLURM_ARRAY_TASK_COUNT" != "1-$SLURM_ARRAY_TASK_MAX" ]; then
    echo "the array is not 1-N: say of how many parts these are with ISTER_PARTS" >&2
    exit 2
fi
# Several words on purpose.
# shellcheck disable=SC2086
exec "${ISTER:-ister}" test --run "$ISTER_RUN" --shard "$part/$parts" -o "$ISTER_OUT/part-$part" \
    --discard ${ISTER_ARGS:-}
