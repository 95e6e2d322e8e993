#!/bin/sh
# One task of a Slurm array: a part of the types each. A task whose node dies is requeued by Slurm, and goes on with what it had
# proven already: results are in the shared folder.
#
#   export ISTER_RUN=nightly-$(date +%F) ISTER_OUT=/shared/ister/$ISTER_RUN
#   id=$(sbatch --parsable --array=1-4 .ci/slurm.sh)
#   sbatch --dependency=afterany:$id --wrap "ister report $ISTER_OUT -o $ISTER_OUT/site --history /shared/ister/history.sqlite"
#
# What is in ISTER_ARGS goes to `ister test` as well: --history, --cache-dir, types.
#SBATCH --job-name=ister
#SBATCH --requeue
#SBATCH --open-mode=append
set -eu
: "${ISTER_RUN:?name the run}" "${ISTER_OUT:?name a folder that all nodes share}"
part=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))
# Several words on purpose.
# shellcheck disable=SC2086
exec "${ISTER:-ister}" test --run "$ISTER_RUN" --shard "$part/$SLURM_ARRAY_TASK_COUNT" -o "$ISTER_OUT/part-$part" \
    --discard ${ISTER_ARGS:-}
