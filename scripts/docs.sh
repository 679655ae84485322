#!/usr/bin/env bash
# Guards the documents: links lead somewhere, functions named in a link are in the file that it
# leads to, and every word that metrics, logs and explain use is in the manual.
#
# Usage: scripts/docs.sh [ROOT]      ROOT is a checkout; this one otherwise.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

faults=0
fault() { faults=$((faults + 1)); printf 'docs: %s\n' "$*" >&2; }

# Prints FILE without fenced code.
prose() { awk '/^[[:space:]]*```/ { code = !code; next } !code' "$1"; }

# The anchors of FILE's headings, as GitHub makes them.
anchors() {
  prose "$1" | sed -nE 's/^#{1,6} +//p' | tr '[:upper:]' '[:lower:]' |
    sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

# One line for each inline link of FILE: its text, a tab, its target.
links() { prose "$1" | grep -oE '\[[^][]*\]\([^()[:space:]]+\)' | sed -E 's/^\[(.*)\]\((.*)\)$/\1\t\2/' || true; }

check_link() { # FILE TEXT TARGET
  local path=${3%%#*} anchor='' file name
  [[ $3 == *'#'* ]] && anchor=${3#*#}
  file=$1
  [[ -z $path ]] || file=$(dirname "$1")/$path
  [[ -e $file ]] || { fault "$1: link to $3, which does not exist"; return; }
  if [[ -n $anchor && $file == *.md ]] && ! anchors "$file" | grep -qxF -- "$anchor"; then
    fault "$1: link to $3, but no heading of that name"
  fi
  # `Type::name` or `name` as the text of a link to code: the last word must be there.
  if [[ $file == *.rs && $file != */lib.rs && $2 =~ ^\`([A-Za-z_:]+)(\(\))?\`$ ]]; then
    name=${BASH_REMATCH[1]##*::}
    grep -qwF -- "$name" "$file" || fault "$1: $file has no $name any more"
  fi
}

documents=0
while IFS= read -r document; do
  documents=$((documents + 1))
  while IFS=$'\t' read -r text target; do
    [[ $target =~ ^(https?|mailto): ]] || check_link "$document" "$text" "$target"
  done < <(links "$document")
done < <(find . \( -name target -o -name .git -o -name results \) -prune -o -name '*.md' -print | sort)

# explained PAGE WHAT WORD…: each word stands in the page, as code.
explained() {
  local page=$1 what=$2 word
  shift 2
  [[ -e $page ]] || { fault "$page is missing"; return; }
  # Too few words mean that the source is written differently by now, and nothing is checked.
  (($# >= 4)) || { fault "found only $# words for \"$what\"; see scripts/docs.sh"; return; }
  for word in "$@"; do
    grep -qF -- "\`$word\`" "$page" || fault "$page does not explain $what \`$word\`"
  done
}

decide=crates/policy/src/decide/answer.rs
# within FILE TYPE: the words that `as_str` of TYPE gives.
within() {
  awk -v begin="impl $2 {" '$0 == begin { inside = 1 } inside && /^}/ { exit } inside' "$1" |
    grep -oE '=> "[a-z_]+"' | grep -oE '[a-z_]+' || true
}
mapfile -t reasons < <(within $decide Reason; grep -oE '"pinned_[a-z_]+"' $decide | tr -d '"')
mapfile -t eligibilities < <(within $decide Eligibility)
mapfile -t refusals < <(within $decide Refusal)
mapfile -t whys < <(grep -oE '^ +[A-Za-z]+ = "[a-z_]+",$' crates/sql/src/class.rs | grep -oE '"[a-z_]+"' | tr -d '"')
mapfile -t metrics < <(grep -ohE '"weir_[a-z_]+"' crates/{proxy,admin,control}/src/*.rs |
  tr -d '"' | grep -vE '^weir_(monitor|probe|refused)$' | sort -u)

explained docs/routing.md "the reason" "${reasons[@]}"
explained docs/routing.md "what may speak against a node:" "${eligibilities[@]}"
explained docs/routing.md "the refusal" "${refusals[@]}"
explained docs/routing.md "the cause of a class" "${whys[@]}"
explained docs/operations.md "the metric" "${metrics[@]}"

if ((faults)); then
  echo "docs: $faults fault(s)" >&2
  exit 1
fi
echo "docs: $documents documents; all links lead somewhere, all words are explained"
