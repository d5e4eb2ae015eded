# The front door. `snakemake --cores all` reruns every paper; `macr`, `macr_table2`, `macr_figure7`, `scorecard` make a
# part, `regression` checks the numbers of record, `snakemake --list` shows every target. See README.md.
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.10")


configfile: "config/config.yaml"


sys.path.insert(0, str(Path(workflow.basedir, "workflow")))
from reprise.dag import open_dag

plan = open_dag(config, workflow)
shell.prefix(plan.shell_prefix)


pathvars:
    **plan.pathvars,


wildcard_constraints:
    **plan.wildcards,


localrules:
    all,
    fetch,
    check,
    collect,
    tabulate,
    plot,
    compare,
    report,
    regression,


onerror:
    print(
        "If a run or data set failed, it is `not run: <reason>` from now on: the same command again renders the rest,"
        " retry=true tries the failed again.",
        file=sys.stderr,
    )


rule all:
    input:
        plan.targets.files(plan.targets.exhibits["all"]),


include: "workflow/rules/data.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/exhibits.smk"
include: "workflow/rules/verdicts.smk"
include: "workflow/rules/targets.smk"
