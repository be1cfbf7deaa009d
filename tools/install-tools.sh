#!/usr/bin/env bash
# Fetches the foreign tools that tests and benchmarks hold ecoload against, and what browser flows need; with the
# argument `browser` the latter alone.
# What is there stays; what cannot be fetched is printed with its command, and the script ends with 1.
set -euo pipefail
cd "$(dirname "$0")/.."

K6=go.k6.io/k6@v1.8.1 # v2.2.0 cannot be had by `go install`: the module proxy lists no version of k6/v2
PRETTIER=3.10.1
JAR_VERSION=2.2.2
JAR=.tools/HdrHistogram-$JAR_VERSION.jar
mkdir -p .tools/bin
export PATH=$PWD/.tools/bin:$PATH:/usr/sbin
missing=0

have() { command -v "$1" >/dev/null 2>&1; }

say_how() {
    echo "missing: $1. Get it with: $2"
    missing=1
}

# Debian's packages, named by the command that each brings.
pairs=(ffmpeg:ffmpeg)
have chromium || have chromium-browser || have google-chrome-stable || have google-chrome || pairs+=(chromium:chromium)
if [ "${1:-all}" = all ]; then
    pairs+=(nginx:nginx-light wrk:wrk hey:hey shellcheck:shellcheck java:default-jre-headless openssl:openssl cc:gcc)
fi
wanted=()
for pair in "${pairs[@]}"; do
    have "${pair%%:*}" || wanted+=("${pair#*:}")
done
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
        say_how "${wanted[*]}" "your system's packages"
    fi
fi

# Playwright, at the versions of the lock files; it downloads no browser of its own.
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
for project in tests/perf/playwright tests/browser; do
    [ "$project/node_modules/.package-lock.json" -nt "$project/package-lock.json" ] && continue
    command="npm ci --silent --no-audit --no-fund --prefix $project"
    if have npm && $command; then
        touch "$project/node_modules/.package-lock.json"
    else
        say_how "the modules of $project" "$command"
    fi
done

[ "${1:-all}" = all ] || exit $missing

if ! have k6; then
    if ! have go || ! GOBIN=$PWD/.tools/bin go install "$K6"; then
        say_how k6 "GOBIN=$PWD/.tools/bin go install $K6"
    fi
fi

if [ ! -x .tools/bin/prettier ]; then
    command="npm install --silent --no-audit --no-fund --prefix .tools/prettier prettier@$PRETTIER"
    if have npm && $command; then
        ln -sf ../prettier/node_modules/.bin/prettier .tools/bin/prettier
    else
        say_how prettier "$command && ln -sf ../prettier/node_modules/.bin/prettier .tools/bin/prettier"
    fi
fi

if [ ! -f "$JAR" ]; then
    command="mvn -q dependency:copy -Dartifact=org.hdrhistogram:HdrHistogram:$JAR_VERSION -DoutputDirectory=.tools"
    if ! have mvn || ! $command; then
        say_how "the Java HdrHistogram ($JAR)" "$command"
    fi
fi

exit $missing
