"""Entry point: `snakemake` without a target makes everything up to the report's figures and tables."""


include: "workflow/Snakefile"


# An included file cannot set the default target, so the root declares it.
rule default:
    default_target: True
    input:
        rules.all.input,
    localrule: True
