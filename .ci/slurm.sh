#!/bin/sh
# A Slurm array job: each task tests one shard of the image types. If a node fails, Slurm requeues its task, which
# continues after the types that it has already tested: results are in the shared directory.
#
#   export ISTER_RUN=nightly-$(date +%F) ISTER_OUT=/shared/ister/$ISTER_RUN
#   id=$(sbatch --parsable --array=1-4 .ci/slurm.sh)
#   sbatch --dependency=afterany:$id --wrap "ister report $ISTER_OUT -o $ISTER_OUT/site --history /shared/ister/history.sqlite"
#
# ISTER_ARGS contains further arguments for `ister test`: --history, --cache-dir, types. The array must be 1-N. To run
# only some tasks again, set ISTER_PARTS to N (`ISTER_PARTS=4 sbatch --array=3 .ci/slurm.sh`).
#SBATCH --job-name=ister
#SBATCH --requeue
#SBATCH --open-mode=append
set -eu
: "${ISTER_RUN:?set it to the name of the run}" "${ISTER_OUT:?set it to a directory that all nodes share}"
part=$SLURM_ARRAY_TASK_ID
parts=${ISTER_PARTS:-$SLURM_ARRAY_TASK_MAX}
if [ -z "${ISTER_PARTS:-}" ] && [ "$SLURM_ARRAY_TASK_MIN-$SLURM_ARRAY_TASK_COUNT" != "1-$SLURM_ARRAY_TASK_MAX" ]; then
    echo "the array is not 1-N; set ISTER_PARTS to the total number of tasks" >&2
    exit 2
fi
# Word splitting of ISTER_ARGS is intended.
# shellcheck disable=SC2086
exec "${ISTER:-ister}" test --run "$ISTER_RUN" --shard "$part/$parts" -o "$ISTER_OUT/part-$part" \
    --discard ${ISTER_ARGS:-}
