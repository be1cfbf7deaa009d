#!/usr/bin/env bash
# Fetches what the browser flows are carried out with: Chromium, ffmpeg (for the films), Playwright.
# What is there stays; what cannot be fetched is printed with its command, and the script ends with 1.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=0

have() { command -v "$1" >/dev/null 2>&1; }

say_how() {
    echo "missing: $1. Get it with: $2"
    missing=1
}

wanted=()
have chromium || have chromium-browser || have google-chrome-stable || have google-chrome || wanted+=(chromium)
have ffmpeg || wanted+=(ffmpeg)
if [ ${#wanted[@]} -gt 0 ]; then
    command="apt-get install -y --no-install-recommends ${wanted[*]}"
    if have apt-get && [ "$(id -u)" = 0 ]; then
        export DEBIAN_FRONTEND=noninteractive
        if ! { apt-get update -qq && $command >/dev/null; }; then
            say_how "${wanted[*]}" "$command"
        fi
    elif have apt-get; then
        say_how "${wanted[*]}" "sudo apt-get update && sudo $command"
    else
        say_how "${wanted[*]}" "npx playwright install chromium ffmpeg (in tests/perf/playwright)"
    fi
fi

# Playwright itself, at the versions of the lock files; it downloads no browser of its own.
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
for project in "$@"; do
    [ "$project/node_modules/.package-lock.json" -nt "$project/package-lock.json" ] && continue
    command="npm ci --silent --no-audit --no-fund --prefix $project"
    if have npm && $command; then
        touch "$project/node_modules/.package-lock.json"
    else
        say_how "the modules of $project" "$command"
    fi
done

exit $missing
