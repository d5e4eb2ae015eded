# What reproduced: compare -> report; and whether the numbers of record still hold: regression.


rule compare:
    input:
        data=rules.collect.output,
        facts=plan.facts,
    output:
        "<results>/{paper}/verdict.csv",
        "<results>/{paper}/claims.csv",
        "<results>/{paper}/order.csv",
    log:
        "<logs>/compare/{paper}.log",
    benchmark:
        "<benchmarks>/compare/{paper}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        code=plan.stage_code("compare"),
        settings=plan.settings,
    message:
        "Compare {wildcards.paper} with what it printed and claimed"
    conda:
        "../../envs/report.yaml"
    shell:
        "python -m reprise compare {wildcards.paper} {params.settings} --log {log}"


rule report:
    input:
        plan.on_scorecard,
    output:
        report("<results>/scorecard.html", caption="../report/scorecard.rst", category="scorecard"),
        "<results>/scorecard.md",
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    params:
        code=plan.stage_code("report"),
        settings=plan.settings,
    message:
        "Write the scorecard"
    conda:
        "../../envs/report.yaml"
    shell:
        "python -m reprise report {params.settings} --log {log}"


rule regression:
    # No benchmark: its file would count as made already, and the next call would check nothing.
    input:
        plan.of_record,
    log:
        "<logs>/regression.log",
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    params:
        settings=plan.settings,
    message:
        "Compare the runs with the numbers of record"
    conda:
        "../../envs/report.yaml"
    shell:
        "python -m reprise regression {params.settings} --log {log}"
