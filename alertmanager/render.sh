#!/bin/sh
# Writes Alertmanager's configuration from alertmanager.yml and the environment, which Alertmanager itself does not read.
#
#   render.sh OUT [COMMAND [ARGUMENT…]]
#
# OUT is a file, made readable for its owner only because secrets go into it, or - for standard output. COMMAND, if there is
# one, takes over afterwards. What is not set stays off; with nothing set nobody is told anything. Names are MailDT's own:
#
#   DISCORD_WEBHOOK_URL                       alerts to people
#   ALERT_MAIL_RECIPIENT, ALERT_SMTP_HOST     the same by e-mail, only besides Discord; also
#   ALERT_SMTP_PORT _USER _PASS _TLS _FROM    (_TLS: implicit, starttls or none; implicit means port 465 here)
#   WATCHDOG_URL                              a dead man's switch, which gets a POST each minute
#
# Each is also read from the file that NAME_FILE names. Exit: 64 usage, 78 such a file cannot be read, or both are set. Needs sh and awk, no more.
set -eu

[ $# -ge 1 ] || { echo 'usage: render.sh OUT [COMMAND [ARGUMENT…]]' >&2; exit 64; }
out=$1
shift
here=$(cd "$(dirname "$0")" && pwd)

say() { echo "render.sh: $*" >&2; }
refuse() { say "$*"; exit 78; }

# Puts the value of $1 into the variable of that name, for awk to see.
setting() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$file" ]; then
        [ -z "$value" ] || refuse "both $1 and $1_FILE are set"
        [ -r "$file" ] || refuse "$1_FILE: $file cannot be read"
        value=$(cat "$file")
    fi
    export "$1=$value"
}

for name in DISCORD_WEBHOOK_URL ALERT_MAIL_RECIPIENT ALERT_SMTP_HOST ALERT_SMTP_PORT ALERT_SMTP_USER ALERT_SMTP_PASS \
    ALERT_SMTP_TLS ALERT_SMTP_FROM WATCHDOG_URL; do
    setting $name
done

# Sets port and tls of the mail server, or why there is no e-mail. That never stops the other ways.
mail_server() {
    why='' port=$ALERT_SMTP_PORT tls=true
    case $ALERT_SMTP_TLS-$ALERT_SMTP_PORT in
        implicit- | implicit-465 | - | -465) port=465 ;;
        implicit-*) why="ALERT_SMTP_TLS=implicit works only on port 465 here, not on $ALERT_SMTP_PORT" ;;
        starttls-) port=587 ;;
        none-) port=25 tls=false ;;
        starttls-465 | none-465) why='ALERT_SMTP_PORT=465 is always TLS from the first byte' ;;
        starttls-* | -*) ;;
        none-*) tls=false ;;
        *) why="ALERT_SMTP_TLS=$ALERT_SMTP_TLS is none of implicit, starttls, none" ;;
    esac
    ALERT_SMTP_FROM=${ALERT_SMTP_FROM:-$ALERT_SMTP_USER}
    [ -n "$ALERT_SMTP_FROM" ] || why='neither ALERT_SMTP_FROM nor ALERT_SMTP_USER is set'
    [ -n "$ALERT_SMTP_HOST" ] || why='ALERT_SMTP_HOST is not set'
    [ -n "$DISCORD_WEBHOOK_URL" ] || why='it must not be the only way to tell that mail fails. Set DISCORD_WEBHOOK_URL too'
}

on=
[ -z "$DISCORD_WEBHOOK_URL" ] || on="$on discord"
[ -z "$WATCHDOG_URL" ] || on="$on watchdog"
if [ -n "$ALERT_MAIL_RECIPIENT" ]; then
    mail_server
    if [ -n "$why" ]; then
        say "no e-mail: $why"
    else
        on="$on email"
        ALERT_SMTP_HOST=$ALERT_SMTP_HOST:$port ALERT_SMTP_TLS=$tls
    fi
fi
case " $on " in
    *' discord '*) ;;
    *) say 'alerts are told to nobody: DISCORD_WEBHOOK_URL is not set' ;;
esac
export on here

render() {
    awk '
        # A YAML text in single quotes, in which only the quote itself is special.
        function quoted(text) {
            gsub(/\047/, "\047\047", text)
            return "\047" text "\047"
        }
        BEGIN { count = split(ENVIRON["on"], parts, " ") }
        {
            line = $0
            for (i = 1; i <= count; i++) sub("^ *#" parts[i] " ", spaces(line), line)
            if (line !~ /^ *#/ && match(line, /@[A-Z_]+@/)) {
                name = substr(line, RSTART + 1, RLENGTH - 2)
                value = name == "ALERT_SMTP_TLS" ? ENVIRON[name] : quoted(ENVIRON[name])
                line = substr(line, 1, RSTART - 1) value substr(line, RSTART + RLENGTH)
            }
            # The output may lie elsewhere than the templates.
            if (line ~ /^  - templates\//) line = "  - " quoted(ENVIRON["here"] "/" substr(line, 5))
            if (line !~ /^ *#/ && line != "") print line
        }
        function spaces(text) { match(text, /^ */); return substr(text, 1, RLENGTH) }
    ' "$here/alertmanager.yml"
}

if [ "$out" = - ]; then
    render
else
    umask 077
    render >"$out"
fi
if [ $# -gt 0 ]; then
    # The program has its configuration; its environment need not hold the secrets as well.
    unset DISCORD_WEBHOOK_URL ALERT_SMTP_PASS WATCHDOG_URL
    exec "$@"
fi
