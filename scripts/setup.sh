#!/bin/sh
# Makes sure that the programs are there which `make demo` or `make test` needs.
#
#   scripts/setup.sh demo|test
#
# On Debian and its kin what is missing is installed, with every service kept from starting. Nothing that is there is removed,
# reconfigured or restarted: where the packages of the test's mail servers would push out another mail server, they are only
# unpacked below the target directory. Elsewhere, and without root or sudo, it says what is missing.
#
# Exit: 0 all there, or only test servers missing (then said and noted in TARGET/not-run.txt); 1 cannot go on; 2 usage.
# shellcheck disable=SC2086,SC2046 # lists of names are split on purpose
set -eu

purpose=${1:-}
case $purpose in
    demo | test) ;;
    *) echo "usage: scripts/setup.sh demo|test" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
target=$(cd "$target" && pwd)
log=$target/setup.log
debs=$target/debs
test_env=$target/test-env
# Derives requests to the API from its description; not in Debian.
schemathesis=schemathesis==4.32.5
python=$target/python
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() { printf 'setup: %s\n' "$*" >&2; }

# A temporary policy of ours is recognised by this line, so that one left by a killed run is not taken for somebody's own.
mark="# temporary, of MailDT's scripts/setup.sh, process"
policy=/usr/sbin/policy-rc.d
no_cluster=/etc/postgresql-common/createcluster.d/maildt-setup.conf

# --- What is there ---------------------------------------------------------------------------------------------------------

any_file() { for file in "$@"; do [ -e "$file" ] && return 0; done; return 1; }
in_path() { command -v "$1" >/dev/null 2>&1; }

# The programs and files of a package; quick, and true wherever they came from.
is_there() {
    case $1 in
        gcc) in_path cc ;;
        ca-certificates)
            any_file /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem /etc/ssl/ca-bundle.pem ;;
        postgresql)
            in_path initdb || any_file /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb \
                /usr/libexec/postgresql*/initdb /usr/local/pgsql/bin/initdb /opt/homebrew/opt/postgresql*/bin/initdb ;;
        postfix) any_file /usr/sbin/postfix "$debs"/usr/sbin/postfix ;;
        dovecot-core) any_file /usr/sbin/dovecot "$debs"/usr/sbin/dovecot ;;
        dovecot-imapd) any_file /usr/lib/dovecot/imap /usr/libexec/dovecot/imap "$debs"/usr/lib/dovecot/imap ;;
        dovecot-lmtpd) any_file /usr/lib/dovecot/lmtp /usr/libexec/dovecot/lmtp "$debs"/usr/lib/dovecot/lmtp ;;
        dovecot-sieve) any_file /usr/bin/sievec "$debs"/usr/bin/sievec ;;
        procps) in_path ps ;;
        nginx) in_path nginx ;;
        chromium) in_path chromium || in_path chromium-browser || in_path google-chrome ;;
        chromium-driver) in_path chromedriver ;;
        prometheus) in_path prometheus && in_path promtool ;;
        prometheus-alertmanager) in_path amtool && { in_path prometheus-alertmanager || in_path alertmanager; } ;;
        python3-venv) in_path python3 && python3 -c 'import ensurepip, venv' 2>/dev/null ;;
        libfaketime) any_file /usr/lib/*/faketime/libfaketime.so.1 /usr/lib/faketime/libfaketime.so.1 /usr/lib64/faketime/libfaketime.so.1 ;;
        *) in_path "$1" ;;
    esac
}

missing_of() {
    missing=
    for package in "$@"; do
        is_there "$package" || missing="$missing $package"
    done
    printf '%s' "${missing# }"
}

needed="postgresql ca-certificates gcc"
servers="postfix dovecot-core dovecot-imapd dovecot-lmtpd dovecot-sieve openssl procps prometheus prometheus-alertmanager libfaketime nginx chromium chromium-driver python3-venv"
[ "$purpose" = test ] || servers=

# --- Debian ----------------------------------------------------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

can_be_root() {
    [ "$(id -u)" = 0 ] || { in_path sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; }
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none \
        apt-get -y -o DPkg::Lock::Timeout=300 --no-install-recommends --no-remove "$@" >>"$log" 2>&1 </dev/null
}

updated=
update_once() {
    [ -z "$updated" ] || return 1
    updated=yes
    say "reading the lists of packages"
    apt update
}

# Runs an apt command; if it fails, perhaps the lists are missing or old.
apt_or_update() { apt "$@" || { update_once && apt "$@"; }; }

would_remove() {
    simulated=$(LC_ALL=C apt-get -s --no-install-recommends install "$@" 2>>"$log") || {
        update_once || true
        simulated=$(LC_ALL=C apt-get -s --no-install-recommends install "$@" 2>>"$log") || return 1
    }
    printf '%s\n' "$simulated" | grep '^Remv ' >>"$log"
}

made_policy=
made_no_cluster=
made_cluster_dirs=

# Takes back what kept services from starting, whatever happened. Only ever what this run has made.
take_back() {
    [ -z "$made_policy" ] || as_root rm -f "$policy"
    [ -z "$made_no_cluster" ] || as_root rm -f "$no_cluster"
    for dir in $made_cluster_dirs; do as_root rmdir "$dir" 2>/dev/null || true; done
    made_policy='' made_no_cluster='' made_cluster_dirs=''
}

put() { as_root sh -c "cat >'$1' && chmod $2 '$1'"; }

# A file that a run of ours left when it was killed.
is_stale() {
    owner=$(sed -n "s|^$mark ||p" "$1" 2>/dev/null)
    [ -n "$owner" ] && ! ps -p "$owner" >/dev/null 2>&1 && ! [ -d "/proc/$owner" ]
}

keep_services_down() {
    trap take_back EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    if [ ! -e "$policy" ] || is_stale "$policy"; then
        made_policy=yes
        printf '#!/bin/sh\n%s %s\nexit 101\n' "$mark" "$$" | put "$policy" 755
    fi
    # Debian's PostgreSQL makes and starts a cluster when it is installed. Ours are private; nobody asked for that one.
    for dir in /etc/postgresql-common /etc/postgresql-common/createcluster.d; do
        [ -d "$dir" ] || { made_cluster_dirs="$dir $made_cluster_dirs"; as_root mkdir "$dir"; }
    done
    if [ ! -e "$no_cluster" ] || is_stale "$no_cluster"; then
        made_no_cluster=yes
        printf '%s %s\ncreate_main_cluster = false\n' "$mark" "$$" | put "$no_cluster" 644
    fi
}

# What was just installed shall not start with the machine either.
keep_disabled() {
    [ -d /run/systemd/system ] || return 0
    for unit in postfix.service dovecot.service dovecot.socket prometheus.service prometheus-alertmanager.service postgresql.service nginx.service; do
        case " $1 " in
            *" ${unit%%.*} "* | *" ${unit%%.*}-core "*) as_root systemctl disable "$unit" >>"$log" 2>&1 || true ;;
        esac
    done
}

# Installs packages, or fails without having removed anything.
install_packages() {
    keep_services_down
    say "installing $*"
    apt_or_update install "$@" && keep_disabled "$*"
}

# Unpacks packages instead of installing them; only what they depend on is installed.
unpack_packages() {
    say "unpacking $* below $debs, because installing would remove other packages:" \
        "$(printf '%s\n' "$simulated" | sed -n 's/^Remv \([^ ]*\).*/\1/p' | tr '\n' ' ')"
    download=$(mktemp -d)
    (
        cd "$download"
        apt-get download "$@" >>"$log" 2>&1 || { update_once && apt-get download "$@" >>"$log" 2>&1; }
    ) || { rm -rf "$download"; return 1; }
    depends=
    for deb in "$download"/*.deb; do
        for name in $(dpkg-deb -f "$deb" Pre-Depends Depends | sed 's/^[A-Za-z-]*: //; s/([^)]*)//g; s/|[^,]*//g; s/:any//g' | tr ',' ' '); do
            case " $* $depends " in *" $name "*) continue ;; esac
            dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q ' installed$' || depends="$depends $name"
        done
    done
    [ -z "$depends" ] || install_packages $depends || { rm -rf "$download"; return 1; }
    mkdir -p "$debs"
    for deb in "$download"/*.deb; do dpkg -x "$deb" "$debs"; done
    rm -rf "$download"
    accounts_for "$@"
}

# The users that a package's installation would have made.
accounts_for() {
    case " $* " in
        *" postfix "*)
            getent group postdrop >/dev/null || as_root groupadd --system postdrop
            getent passwd postfix >/dev/null ||
                as_root useradd --system --user-group --no-create-home --home-dir /var/spool/postfix --shell /usr/sbin/nologin postfix ;;
    esac
    case " $* " in
        *" dovecot-core "*)
            for user in dovecot dovenull; do
                getent passwd $user >/dev/null ||
                    as_root useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin $user
            done ;;
    esac
}

install_servers() {
    if would_remove "$@"; then unpack_packages "$@"; else install_packages "$@"; fi
}

# Postfix asks at installation what kind of server it shall be. An earlier answer stays.
preseed_postfix() {
    in_path debconf-set-selections || return 0
    as_root sh -c 'debconf-show postfix 2>/dev/null | grep -q main_mailer_type' ||
        echo "postfix postfix/main_mailer_type select No configuration" | as_root debconf-set-selections >>"$log" 2>&1 || true
}

install_on_debian() {
    : >"$log"
    missing=$(missing_of $needed)
    [ -z "$missing" ] || install_packages $(printf '%s' "$missing" | sed 's/\bgcc\b/gcc libc6-dev/') ||
        say "could not install all of: $missing (see $log)"
    missing=$(missing_of $servers)
    case " $missing " in *" postfix "*)
        preseed_postfix
        install_servers postfix || say "could not install postfix (see $log)"
    esac
    dovecot=$(printf '%s\n' $missing | grep '^dovecot-' | tr '\n' ' ') || true
    if [ -n "$dovecot" ]; then
        # Of one version, so all from one place.
        any_file "$debs"/usr/sbin/dovecot && dovecot="dovecot-core dovecot-imapd dovecot-lmtpd dovecot-sieve"
        install_servers $dovecot || say "could not install $dovecot (see $log)"
    fi
    for package in $(printf '%s\n' $missing | grep -v '^dovecot-\|^postfix$'); do
        install_packages "$package" || say "could not install $package (see $log)"
    done
    take_back
}

# --- Go --------------------------------------------------------------------------------------------------------------------

missing=$(missing_of $needed $servers)
if [ -n "$missing" ]; then
    if ! in_path apt-get || ! in_path dpkg-query; then
        say "missing, by the names of Debian's packages: $missing. Please install them with your system's package manager."
    elif ! can_be_root; then
        say "missing, and neither root nor sudo to install it: apt-get install --no-install-recommends $missing"
    else
        install_on_debian
    fi
fi

if [ "$purpose" = test ]; then
    : >"$test_env"
    if any_file "$debs"/usr/sbin/postfix && ! any_file /usr/sbin/postfix; then echo "MAILDT_TEST_POSTFIX_ROOT=$debs" >>"$test_env"; fi
    if any_file "$debs"/usr/sbin/dovecot && ! any_file /usr/sbin/dovecot; then echo "MAILDT_TEST_DOVECOT_ROOT=$debs" >>"$test_env"; fi
fi

# Without the right version in an environment of its own it is installed anew.
install_schemathesis() {
    is_there python3-venv || return 1
    [ "$(cat "$python/installed" 2>/dev/null)" = "$schemathesis" ] && return 0
    say "installing $schemathesis below $python"
    rm -rf "$python"
    python3 -m venv "$python" >>"$log" 2>&1 &&
        "$python/bin/pip" install --quiet --disable-pip-version-check --no-input --no-compile --retries 1 "$schemathesis" >>"$log" 2>&1 &&
        echo "$schemathesis" >"$python/installed"
}

if [ "$purpose" = test ]; then
    if install_schemathesis; then
        echo "MAILDT_TEST_SCHEMATHESIS=$python/bin/schemathesis" >>"$test_env"
    else
        say "going on without $schemathesis (see $log)"
        echo "NOT RUN: schemathesis_agrees_with_the_document: $schemathesis could not be installed" >>"$target/not-run.txt"
    fi
fi

missing=$(missing_of $servers)
if [ -n "$missing" ]; then
    say "going on without: $missing"
    echo "NOT RUN: whatever needs these programs: $missing is not installed" >>"$target/not-run.txt"
fi
missing=$(missing_of $needed)
[ -z "$missing" ] || { say "cannot go on without: $missing"; exit 1; }
