#!/bin/sh
# SAC beside the SAC of Stable-Baselines3 on HalfCheetah and Hopper, at equal hyper-parameters: docs/trainers.md.
# One run after the other; those that are there are skipped, a run that was cut off goes on (ours) or begins anew.
# Usage: experiments/sac_mujoco.sh dormancy|sb3 FOLDER [SEED ...]
set -eu
side=$1 folder=$2
shift 2
[ $# -gt 0 ] || set -- 0 1 2
export OMP_NUM_THREADS=1
for seed; do
    for env in HalfCheetah-v5 Hopper-v5; do
        out=$folder/$side-$env-seed$seed
        [ ! -d "$out" ] || continue
        case $side in
        dormancy)
            dormancy train sac --env "$env" --seed "$seed" --steps 60000 --threads 1 --quiet --resume \
                --set target_entropy_per_action=-1 --set reward_scale=1 --set adam_epsilon=1e-8 \
                --set replay_capacity=1000000 --evaluation-period 60000 --evaluation-episodes 10 \
                --checkpoint-period 10000 --resume-period 10000 --out "$out.part"
            ;;
        sb3)
            rm -rf "$out.part"
            python experiments/sac_baseline.py "$env" "$seed" "$out.part"
            ;;
        esac
        mv "$out.part" "$out"
    done
done
