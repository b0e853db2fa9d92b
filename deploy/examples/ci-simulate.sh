#!/bin/sh
# Checks a change in a repository of configurations against the branch that is served.
#
#   sh ci/simulate.sh [CONFIG] [BASE] > simulate.json
#
# CONFIG is the path of the configuration in the repository (pharos.toml), BASE the branch (origin/main). The script runs
# `pharos check --deny-warnings`, then compares with the commit at which the change left BASE. Exit code 1: a warning, an
# error, or more than MAX_MOVED (5%) of the addresses that rules decide for get other mirrors. Every file that the
# configuration names must be in the repository, feeds too, because both commits are read with their own files.
set -eu

config=${1:-pharos.toml}
base=${2:-origin/main}
pharos=${PHAROS:-pharos}

cd "$(git rev-parse --show-toplevel)"
"$pharos" check --deny-warnings --config "$config" >&2

fork=$(git merge-base "$base" HEAD)
old=$(mktemp -d)
trap 'rm -rf "$old"' EXIT
# Two commands instead of a pipe, because a pipe in POSIX sh hides the failure of its first command.
git archive --output "$old/fork.tar" "$fork"
tar -xf "$old/fork.tar" -C "$old"
if [ ! -e "$old/$config" ]; then
  echo "$config is new: nothing to compare with" >&2
  exit 0
fi
"$pharos" simulate "$config" --against "$old/$config" --max-moved "${MAX_MOVED:-5%}" --json
