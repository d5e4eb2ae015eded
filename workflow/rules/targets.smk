# Every other name that a command line may ask for: the scorecard, each paper, each table and figure.

for name, exhibits in plan.targets.exhibits.items():
    if name != "all":

        rule:
            name:
                name
            input:
                plan.targets.files(exhibits),
