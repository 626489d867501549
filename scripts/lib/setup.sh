# Prepares this checkout; sourced by scripts/demo and scripts/test.
#
#   set_up demo     what running the program takes
#   set_up test     the same and what the checks take
#
# Makes .venv and, as root on Debian, installs missing packages. Touches nothing else. Says nothing when there is nothing
# to do. Two runs at the same time wait for each other.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv="$root/.venv"
python="$venv/bin/python"

# ip and nft are here on Debian, and not on the PATH of every user.
PATH="$PATH:/usr/sbin:/sbin"

set_up() {
    local purpose=$1
    # The folder itself is the lock: no file is left behind, and the kernel releases it whatever happens.
    exec 9<"$root"
    flock 9
    install_commands "$purpose"
    make_venv
    install_project "$purpose"
    # Not held while the demo or the tests run.
    exec 9<&-
}

fail() {
    printf 'tungo: %s\n' "$*" >&2
    exit 1
}

# Runs a command quietly; what it said is shown if it fails.
quietly() {
    local said status=0
    said=$("$@" 2>&1 </dev/null) || status=$?
    [ "$status" -eq 0 ] || printf '%s\n' "$said" >&2
    return "$status"
}

install_commands() {
    local purpose=$1 command packages=()
    local -A package_of=(
        [ip]=iproute2 [nft]=nftables [ping]=iputils-ping
        [mount]=mount [unshare]=util-linux [setpriv]=util-linux
    )
    [ "$purpose" = demo ] || package_of+=([iperf3]=iperf3 [iptables-nft]=iptables [ethtool]=ethtool)
    for command in "${!package_of[@]}"; do
        command -v "$command" >/dev/null || packages+=("${package_of[$command]}")
    done
    [ "${#packages[@]}" -eq 0 ] || install_packages "${packages[@]}"
}

install_packages() {
    local install=(apt-get install --yes --no-install-recommends "$@")
    command -v apt-get >/dev/null || fail "these Debian packages or their like are missing, please install them: $*"
    [ "$(id -u)" -eq 0 ] || fail "these packages are missing, install them with: sudo ${install[*]}"
    printf 'tungo: installing %s\n' "$*" >&2
    export DEBIAN_FRONTEND=noninteractive
    # A fresh system has no package lists yet, and old lists name packages that are gone.
    "${install[@]}" >/dev/null 2>&1 </dev/null && return
    quietly apt-get update || fail "apt-get update failed"
    quietly "${install[@]}" || fail "could not install $*"
}

# Prints the first Python that is new enough.
find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed, and no python3 on the PATH is"
}

make_venv() {
    "$python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
    local base
    base=$(find_python)
    # Debian keeps these in a package of their own.
    "$base" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
    [ -w "$root" ] || fail "$root is not writable: run this once as its owner"
    printf 'tungo: making %s (once)\n' "$venv" >&2
    quietly "$base" -m venv --clear "$venv" || fail "could not make $venv with $base"
}

# The dependencies are installed again when pyproject.toml or the place of the checkout changes.
install_project() {
    local purpose=$1 extra="" stamp
    [ "$purpose" = demo ] || extra="[dev]"
    stamp="$root $(sha256sum <"$root/pyproject.toml")"
    # What is enough for the tests is enough for the demo.
    is_current "$venv/.installed-test" "$stamp" && return
    [ "$purpose" = demo ] && is_current "$venv/.installed-demo" "$stamp" && return
    printf 'tungo: installing the dependencies into %s\n' "$venv" >&2
    quietly "$python" -m pip install --disable-pip-version-check --quiet --editable "$root$extra" ||
        fail "pip could not install the dependencies"
    printf '%s\n' "$stamp" >"$venv/.installed-$purpose"
}

is_current() {
    [ -r "$1" ] && [ "$(cat "$1")" = "$2" ]
}
