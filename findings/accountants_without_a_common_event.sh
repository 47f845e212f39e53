#!/usr/bin/env bash
# dp-accounting: events that an accountant takes one by one, and none takes together.
#
# Both accountants of the package take all three neighbouring relations. An engineer would expect
# that two mechanisms, each of which some accountant composes under a relation, can be composed
# together by one of the two. Under each relation there are pairs for which that fails, and which
# pairs those are changes with the relation in both directions: a Laplace event is a matter of PLD and
# RDP under ADD_OR_REMOVE_ONE and of RDP alone under REPLACE_ONE, where a Poisson-sampled Gaussian is
# one of PLD alone. `supports` tells for one event at a time.
#
# Exits 0 if the package behaves as written below, 1 if not. Installs into a folder of its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'dp-accounting==0.6.0'

cat >"$folder/pairs.py" <<'PYTHON'
import itertools
from importlib.metadata import version

from dp_accounting import NeighboringRelation, dp_event, pld, rdp

EVENTS = {
    "zCDP": dp_event.ZCDpEvent(0.1),
    "Gaussian": dp_event.GaussianDpEvent(2.0),
    "sampled Gaussian": dp_event.PoissonSampledDpEvent(0.1, dp_event.GaussianDpEvent(2.0)),
    "Laplace": dp_event.LaplaceDpEvent(2.0),
    "sampled Laplace": dp_event.PoissonSampledDpEvent(0.1, dp_event.LaplaceDpEvent(2.0)),
    "randomized response": dp_event.RandomizedResponseDpEvent(0.5, 2),
}


def accountants(event, relation):
    made = {
        "PLD": pld.PLDAccountant(relation),
        "RDP": rdp.RdpAccountant(neighboring_relation=relation),
    }
    return {name for name, accountant in made.items() if accountant.supports(event)}


print("dp-accounting", version("dp-accounting"))
for relation in NeighboringRelation:
    for (a, x), (b, y) in itertools.combinations(EVENTS.items(), 2):
        own, other = accountants(x, relation), accountants(y, relation)
        if own and other and not own & other:
            print(f"{relation.name}: {a} ({'+'.join(own)}) with {b} ({'+'.join(other)})")
PYTHON

cat >"$folder/expected" <<'TEXT'
dp-accounting 0.6.0
ADD_OR_REMOVE_ONE: zCDP (RDP) with sampled Laplace (PLD)
REPLACE_ONE: zCDP (RDP) with sampled Gaussian (PLD)
REPLACE_ONE: sampled Gaussian (PLD) with Laplace (RDP)
REPLACE_SPECIAL: zCDP (RDP) with sampled Laplace (PLD)
TEXT

"$folder/env/bin/python" "$folder/pairs.py" 2>"$folder/log" >"$folder/seen" || {
  cat "$folder/log"; exit 1
}
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" || {
  echo 'The behaviour has changed: see the difference above.'
  exit 1
}
