# From runs to the paper's tables and figures: collect -> tabulate, plot.


rule collect:
    input:
        plan.collected,
    output:
        "<results>/{paper}/metrics.csv",
        "<results>/{paper}/significance.csv",
    log:
        "<logs>/collect/{paper}.log",
    benchmark:
        "<benchmarks>/collect/{paper}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        code=plan.stage_code("collect"),
        settings=plan.settings,
    message:
        "Collect the runs of {wildcards.paper} and test their differences"
    conda:
        "../../envs/report.yaml"
    shell:
        "python -m reprise collect {wildcards.paper} {params.settings} --log {log}"


rule tabulate:
    input:
        data=rules.collect.output,
        facts=plan.facts,
    output:
        multiext("<results>/{paper}/tables/{table}", ".csv", ".md", ".tex"),
        report(
            "<results>/{paper}/tables/{table}.html",
            caption="../report/table.rst",
            category="{paper}",
            labels={"exhibit": "{table}"},
        ),
    log:
        "<logs>/tabulate/{paper}/{table}.log",
    benchmark:
        "<benchmarks>/tabulate/{paper}/{table}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    params:
        code=plan.stage_code("tabulate"),
        settings=plan.settings,
    message:
        "Render {wildcards.table} of {wildcards.paper} beside the printed one"
    conda:
        "../../envs/report.yaml"
    shell:
        "python -m reprise tabulate {wildcards.paper} {wildcards.table} {params.settings} --log {log}"


rule plot:
    input:
        data=rules.collect.output,
        facts=plan.facts,
    output:
        multiext("<results>/{paper}/figures/{figure}", ".pdf", ".png", ".csv"),
        report(
            "<results>/{paper}/figures/{figure}.svg",
            caption="../report/figure.rst",
            category="{paper}",
            labels={"exhibit": "{figure}"},
        ),
    log:
        "<logs>/plot/{paper}/{figure}.log",
    benchmark:
        "<benchmarks>/plot/{paper}/{figure}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    params:
        code=plan.stage_code("plot"),
        settings=plan.settings,
    message:
        "Draw {wildcards.figure} of {wildcards.paper}"
    conda:
        "../../envs/report.yaml"
    shell:
        "python -m reprise plot {wildcards.paper} {wildcards.figure} {params.settings} --log {log}"
