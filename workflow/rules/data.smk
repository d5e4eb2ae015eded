# From a public address to a paper's split: fetch -> canonicalise -> prepare -> check.


rule fetch:
    input:
        plan.placed_by_hand,
    output:
        "<resources>/raw/{source}/source.json",
    log:
        "<logs>/fetch/{source}.log",
    benchmark:
        "<benchmarks>/fetch/{source}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="6h",
    params:
        record=plan.catalogued,
        settings=plan.settings,
    message:
        "Fetch {wildcards.source} and verify it"
    conda:
        "../../envs/data.yaml"
    shell:
        "python -m reprise fetch {wildcards.source} {params.settings} --log {log}"


rule canonicalise:
    input:
        "<resources>/raw/{source}/source.json",
    output:
        "<resources>/canonical/{source}/canonical.json",
        expand("<resources>/canonical/{{source}}/{table}.parquet", table=["interactions", "items", "users"]),
    log:
        "<logs>/canonicalise/{source}.log",
    benchmark:
        "<benchmarks>/canonicalise/{source}.tsv"
    threads: 1
    resources:
        mem_mb=8000,
        runtime="2h",
    params:
        reader=plan.reader,
        code=plan.reader_code,
        settings=plan.settings,
    message:
        "Bring {wildcards.source} into the common form"
    conda:
        "../../envs/data.yaml"
    shell:
        "python -m reprise canonicalise {wildcards.source} --reader {params.reader} {params.settings} --log {log}"


rule prepare:
    input:
        plan.canonical,
    output:
        expand("<results>/{{paper}}/{{dataset}}/data/{table}.parquet", table=["train", "valid", "test", "items", "users"]),
        "<results>/{paper}/{dataset}/data/stats.json",
    log:
        "<logs>/prepare/{paper}/{dataset}.log",
    benchmark:
        "<benchmarks>/prepare/{paper}/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=8000,
        runtime="2h",
    params:
        code=plan.data_code,
        settings=plan.settings,
    message:
        "Filter and split {wildcards.dataset} as {wildcards.paper} does"
    conda:
        "../../envs/data.yaml"
    shell:
        "python -m reprise prepare {wildcards.paper} {wildcards.dataset} {params.settings} --log {log}"


rule check:
    input:
        rules.prepare.output,
    output:
        "<results>/{paper}/{dataset}/data/check.json",
    log:
        "<logs>/check/{paper}/{dataset}.log",
    benchmark:
        "<benchmarks>/check/{paper}/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        code=plan.stage_code("check"),
        settings=plan.settings,
    message:
        "Look for leaks between the parts of {wildcards.dataset} in {wildcards.paper}"
    conda:
        "../../envs/data.yaml"
    shell:
        "python -m reprise check {wildcards.paper} {wildcards.dataset} {params.settings} --log {log}"
