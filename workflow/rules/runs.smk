# One job a run: train (or re-rank other runs), recommend and evaluate in one process; under tuning=search, one job a
# search before it.


rule tune:
    input:
        "<results>/{paper}/{dataset}/data/check.json",
        plan.before_search,
    output:
        expand(
            "<results>/{{paper}}/{{dataset}}/tuning/{{method}}/{{reading}}/{file}",
            file=["trials.csv", "choice.json"],
        ),
    log:
        "<logs>/tune/{paper}/{dataset}/{method}/{reading}.log",
    benchmark:
        "<benchmarks>/tune/{paper}/{dataset}/{method}/{reading}.tsv"
    threads: plan.config.threads
    resources:
        gpu=int(plan.device == "cuda"),
        mem_mb=8000,
        runtime="96h",
    params:
        code=plan.search_code,
        threads=plan.config.threads,
        device=plan.device,
        settings=plan.settings,
    message:
        "Search settings of {wildcards.method} on {wildcards.dataset} ({wildcards.paper}, {wildcards.reading})"
    conda:
        "../../envs/train.yaml"
    shell:
        "python -m reprise tune {wildcards.paper} {wildcards.dataset} {wildcards.method:q} {wildcards.reading:q}"
        " {params.settings} --config device={params.device} --log {log:q}"


rule run:
    # check.json is a plain input: data prepared anew must be trained on anew. Where they turn out equal, Snakemake sees
    # the same checksum or, within one invocation, the store links the finished run instead of training it.
    input:
        "<results>/{paper}/{dataset}/data/check.json",
        plan.choice,
        plan.behind,
    output:
        expand(
            "<results>/{{paper}}/{{dataset}}/runs/{{method}}/{{reading}}/seed{{seed}}/{file}",
            file=["run.json", "history.csv", "cost.json", "groups.csv"],
        ),
    log:
        "<logs>/run/{paper}/{dataset}/{method}/{reading}/seed{seed}.log",
    benchmark:
        "<benchmarks>/run/{paper}/{dataset}/{method}/{reading}/seed{seed}.tsv"
    threads: plan.threads
    resources:
        gpu=plan.gpus,
        mem_mb=plan.memory,
        runtime="24h",
    params:
        code=plan.run_code,
        groups=plan.groups_code,
        threads=plan.config.threads,
        processes=plan.processes,
        device=plan.device,
        settings=plan.settings,
    message:
        "Run {wildcards.method} on {wildcards.dataset} ({wildcards.paper}, {wildcards.reading}, seed {wildcards.seed})"
    conda:
        "../../envs/train.yaml"
    shell:
        "python -m reprise run {wildcards.paper} {wildcards.dataset} {wildcards.method:q} {wildcards.reading:q}"
        " {wildcards.seed} {params.settings} --config device={params.device} --log {log:q}"


rule clock:
    # It takes every core that Snakemake may use, though it computes on few: nothing else may run beside a stopwatch.
    input:
        plan.clocked,
    output:
        "<results>/{paper}/{dataset}/times/{table}/{reading}.csv",
    log:
        "<logs>/clock/{paper}/{dataset}/{table}/{reading}.log",
    benchmark:
        "<benchmarks>/clock/{paper}/{dataset}/{table}/{reading}.tsv"
    threads: workflow.resource_settings.cores or plan.config.threads  # a cluster has no total
    resources:
        mem_mb=8000,
        runtime="2h",
    params:
        code=plan.stage_code("clock"),
        settings=plan.settings,
    message:
        "Hold a stopwatch to the methods of {wildcards.table} on {wildcards.dataset} ({wildcards.paper})"
    conda:
        "../../envs/train.yaml"
    shell:
        "python -m reprise clock {wildcards.paper} {wildcards.dataset} {wildcards.table} {wildcards.reading}"
        " {params.settings} --log {log}"
