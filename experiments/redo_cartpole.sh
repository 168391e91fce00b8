#!/bin/sh
# DQN at replay ratio 4 with and without ReDo on CartPole, five seeds each: the experiment of docs/recycling.md.
# About 2 minutes a run on one idle core. Usage: experiments/redo_cartpole.sh FOLDER [SEED ...]
set -eu
folder=$1
shift
[ $# -gt 0 ] || set -- 1 2 3 4 5
for seed; do
    for redo in "" --redo; do
        # shellcheck disable=SC2086  # an empty $redo must vanish
        dormancy train dqn --env CartPole-v1 --seed "$seed" --steps 15000 --replay-ratio 4 --target-period 100 \
            --set hidden=128,128 --set epsilon_decay_agent_steps=4000 --log-period 2000 --checkpoint-period 1500 \
            --threads 1 --quiet $redo --out "$folder/dqn${redo:+-redo}-seed$seed"
    done
done
