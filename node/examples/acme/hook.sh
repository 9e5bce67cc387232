#!/usr/bin/env bash
# DNS-01 (RFC 8555 §8.4) with Presage's own DNS, for dehydrated and for certbot. A record that is set lives for ten
# minutes and goes by itself, so that there is nothing to clean up. --wait: the authority may ask any PoP.
#
#   dehydrated --cron --challenge dns-01 --hook node/examples/acme/hook.sh --domain www.example.net
#   certbot certonly --manual --preferred-challenges dns --manual-auth-hook node/examples/acme/hook.sh -d www.example.net
#
# PRESAGE is the command, presage by default; the daemon to ask is named by PRESAGE_DATA_DIR, as everywhere.
set -euo pipefail

set_record() {
  # Unquoted: the command may be of several words.
  ${PRESAGE:-presage} dns set "_acme-challenge.$1" TXT "$2" --ttl 600 --wait
}

if [[ -n ${CERTBOT_DOMAIN:-} ]]; then
  set_record "$CERTBOT_DOMAIN" "$CERTBOT_VALIDATION"
elif [[ ${1:-} == deploy_challenge ]]; then
  shift
  # Name, file and value of each challenge: several where HOOK_CHAIN is set.
  while (($# >= 3)); do
    set_record "$1" "$3"
    shift 3
  done
fi
