"""A step of a sample: what fails in it sets the sample aside and stops nothing else; it has no rule."""

# A step of a sample is tried so often. One start more records that all were killed with their jobs, by a cluster or a
# machine out of memory. Snakemake counts the starts where the run began; within a cluster's job another one would have
# no more memory than the one before.
TRIES = 3
RETRIES = TRIES if workflow.is_main_process else 0


def attempt_of(wildcards, attempt):
    return attempt


def step_of_sample(stage, command, scratch="", given="input"):
    """`command` such that its failure sets the sample aside (docs/workflow.md); its words go into the rule's log.

    It asks for `retries: RETRIES` and the resource `attempt=attempt_of`. `scratch` is a folder of the step's own;
    `given` are the inputs that are this sample's own.
    """
    return (
        f"velocorpus attempt {stage} {{{given}:q}} :: {{output:q}} --sample {{wildcards.sample:q}} --log {{log:q}} "
        f"--number {{resources.attempt}} --of {TRIES} {f'--scratch {scratch}' if scratch else ''} <<'END'\n{command}\nEND"
    )
