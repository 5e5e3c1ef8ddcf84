"""Prints what a conftest policy denies of a plan: evaluate.py POLICY PLAN"""

import json
import sys
from pathlib import Path

from regopy import Interpreter

policy, plan = sys.argv[1:]
rego = Interpreter()
rego.add_module(policy, Path(policy).read_text())
rego.set_input(json.loads(Path(plan).read_text()))
print(json.dumps(sorted(rego.query("data.main.deny").results[0].expressions[0])))
