#!/usr/bin/env bash
# Installs what the browser tests need beside Python: Chromium with its driver,
# from Debian, and axe-core, into node_modules. Run from the repository's root.
set -euo pipefail

fail() {
  echo "make test-browser: $1" >&2
  exit 1
}

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
command -v npm >/dev/null || missing+=(npm)
if [ "${#missing[@]}" -gt 0 ]; then
  command -v apt-get >/dev/null || fail \
    "${missing[*]} must be installed first: there is no apt-get to do it."
  [ "$(id -u)" = 0 ] || fail \
    "as root, first: apt-get install ${missing[*]}"
  { apt-get update -qq && apt-get install -qq -y "${missing[@]}" >/dev/null; } \
    || fail "apt-get could not install ${missing[*]}."
fi
npm install --silent --no-save --no-package-lock axe-core@4.14.1 || fail \
  'npm could not install axe-core.'
