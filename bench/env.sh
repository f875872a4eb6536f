# Sourced by the scripts of this folder: where things are. BENCH_HOME holds venvs, node_modules, logs and run files.
PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PROJECT
export BENCH_HOME=${BENCH_HOME:-$PROJECT/.cache/bench}
export PYENV_VERSIONS=${PYENV_VERSIONS:-$HOME/.pyenv/versions}
BENCH_PYTHON=$BENCH_HOME/venvs/lg/bin/python
