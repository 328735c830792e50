# shellcheck shell=bash
# Shared by the setup scripts: messages, the cache, locks and checked downloads.
# Messages go to stderr; stdout carries only what a script answers.

scripts_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache_dir=${XDG_CACHE_HOME:-$HOME/.cache}/kinora

say() { printf 'kinora setup: %s\n' "$*" >&2; }

die() {
    printf 'kinora setup: error: %s\n' "$1" >&2
    shift
    printf '    %s\n' "$@" >&2
    exit 1
}

# lock NAME: one setup of a kind at a time; held until the script ends, released also when it is killed.
lock() {
    mkdir -p "$cache_dir"
    exec 9>"$cache_dir/.$1.lock"
    flock --nonblock 9 && return
    say "waiting for another setup of $1 to finish"
    flock 9
}

# require_python HINT: python3 with pip is what the downloads go through.
require_python() {
    command -v python3 >/dev/null || die "python3 is missing" "Install python3 with pip, or $1"
    python3 -m pip --version >/dev/null 2>&1 || die "python3 has no pip" "Install pip, or $1"
    [ "$(uname -sm)" = "Linux x86_64" ] || die "no downloads are pinned for $(uname -sm)" "Instead, $1"
}

# wheel_field NAME COLUMN: looks a wheel up in the table of pinned ones.
wheel_field() {
    awk -v name="$1" -v column="$2" '$1 == name { print $column }' "$scripts_dir/wheels.txt"
}

# fetch_wheel NAME HINT: downloads a pinned wheel once, checks its sum, prints its path.
fetch_wheel() {
    local name=$1 hint=$2 version sum target incoming
    version=$(wheel_field "$name" 2)
    sum=$(wheel_field "$name" 3)
    target=$cache_dir/downloads/$name-$version.whl
    if [ ! -f "$target" ]; then
        require_python "$hint"
        incoming=$cache_dir/downloads/$name.incoming
        rm -rf "$incoming" && mkdir -p "$incoming"
        say "downloading $name $version"
        run_pip "$name==$version" "$incoming" || die "could not download $name $version" \
            "Check the network and pip's index settings, then run this again: finished pieces are kept." \
            "Without a network, $hint"
        printf '%s  %s\n' "$sum" "$(echo "$incoming"/*.whl)" | sha256sum --check --status ||
            die "the download of $name $version does not have the pinned sha256" \
                "expected $sum" "got      $(sha256sum "$incoming"/*.whl | cut -d' ' -f1)"
        mv "$incoming"/*.whl "$target" && rmdir "$incoming"
    fi
    printf '%s\n' "$target"
}

# run_pip REQUIREMENT FOLDER: asks pip for that one wheel, and keeps pip's temporary files in the cache's disk.
run_pip() {
    local platform flags=()
    for platform in manylinux_2_31 manylinux_2_28 manylinux_2_27 manylinux_2_25 manylinux_2_17 manylinux2014; do
        flags+=(--platform "${platform}_x86_64")
    done
    TMPDIR=$2 python3 -m pip --disable-pip-version-check download --no-deps --only-binary=:all: \
        --implementation cp --python-version 3.11 --abi cp311 "${flags[@]}" \
        --retries 2 --dest "$2" "$1" >&2
}

# node_server NAME VARIABLE WHAT WHY: prints the path of the server of tools/NAME, with its packages installed in the cache,
# or what VARIABLE names instead. WHAT it is, and WHY it is needed, is for people.
node_server() {
    local name=$1 variable=$2 what=$3 why=$4 folder
    if [ -n "${!variable:-}" ]; then
        [ -f "${!variable}" ] || die "$variable is ${!variable}, which is no file" "Unset it to have one made ready."
        printf '%s\n' "${!variable}"
        return
    fi
    folder=$(node_packages "$name" "$what" "$why" server.mjs)
    printf '%s\n' "$folder/server.mjs"
}

# node_packages NAME WHAT WHY FILE...: prints a folder in the cache that has the packages of tools/NAME installed, and the
# FILEs from there beside them.
node_packages() {
    local name=$1 what=$2 why=$3 hint="install node 20 or later with npm."
    local source_dir=$scripts_dir/../tools/$name version final
    command -v node >/dev/null || die "node is missing" "$why, $hint"
    command -v npm >/dev/null || die "npm is missing" "$why, $hint"
    [[ "$(node --version)" =~ ^v([2-9][0-9]|[1-9][0-9]{2})\. ]] || die "node is $(node --version)" "Instead, $hint"

    # Other files or other packages get another folder: a test never runs old ones.
    version=$(cd "$source_dir" && cat package.json package-lock.json "${@:4}" | sha256sum | cut -c1-16)
    final=$cache_dir/$name-$version
    if [ ! -d "$final" ]; then
        lock "$name"
        if [ ! -d "$final" ]; then
            rm -rf "$final.partial" && mkdir -p "$final.partial"
            (cd "$source_dir" && cp package.json package-lock.json "${@:4}" "$final.partial")
            say "installing $what"
            npm ci --prefix "$final.partial" --ignore-scripts --no-audit --no-fund >&2 ||
                die "could not install the packages of tools/$name" \
                    "Check the network and npm's registry settings, then run this again."
            mv "$final.partial" "$final"
            say "$what is ready in $final"
        fi
    fi
    printf '%s\n' "$final"
}

# python_packages NAME WHY FILE...: prints the path of a Python that has the packages of the requirement FILEs, by their
# hashes, installed in the cache as NAME. WHY they are needed is for people.
python_packages() {
    local name=$1 why=$2 hint="install python3 3.11 or later with pip." python version final
    shift 2
    command -v python3 >/dev/null || die "python3 is missing" "$why, $hint"
    python=$(command -v python3)
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "python3 is $("$python" --version)" "$why, $hint"

    # Another Python or other packages get another folder: a test never runs old ones.
    version=$({ printf '%s\n' "$python" && "$python" --version && cat "$@"; } | sha256sum | cut -c1-16)
    final=$cache_dir/$name-$version
    if [ ! -d "$final" ]; then
        lock "$name"
        if [ ! -d "$final" ]; then
            rm -rf "$final.partial" && mkdir -p "$final.partial"
            say "installing $name"
            TMPDIR=$final.partial "$python" -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps \
                --only-binary=:all: --root-user-action ignore --retries 2 --target "$final.partial/packages" "${@/#/-r}" >&2 ||
                die "could not install $name" "Check the network and pip's index settings, then run this again."
            printf '#!/bin/sh\nPYTHONPATH=%q exec %q "$@"\n' "$final/packages" "$python" >"$final.partial/python"
            chmod +x "$final.partial/python"
            mv "$final.partial" "$final"
            say "$name is ready in $final"
        fi
    fi
    printf '%s\n' "$final/python"
}
