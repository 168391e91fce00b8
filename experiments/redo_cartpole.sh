#!/bin/sh
# DQN at replay ratio 4 on CartPole, without ReDo and with it at two thresholds: the experiment of docs/recycling.md.
# About 2 minutes a run on one idle core. Usage: experiments/redo_cartpole.sh FOLDER [SEED ...]
set -eu
folder=$1
shift
[ $# -gt 0 ] || set -- 1 2 3 4 5
run() {
    name=$1
    shift
    dormancy train dqn --env CartPole-v1 --seed "$seed" --steps 15000 --replay-ratio 4 --target-period 100 \
        --set hidden=128,128 --set epsilon_decay_agent_steps=4000 --log-period 2000 --checkpoint-period 1500 \
        --threads 1 --quiet "$@" --out "$folder/$name-seed$seed"
}
for seed; do
    run dqn
    run dqn-redo --redo --redo-tau 0.1
    run dqn-redo-tau0 --redo --redo-tau 0
done
