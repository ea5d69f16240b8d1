"""The stages of a deployment, against the same sls by ``state.sls``, one after another, in the same process."""

from collections.abc import Callable

from bench.figure import Figure, by_round, in_turns, median, seconds
from bench.warm import WarmMachine, machine
from tests.machine import WorkTree

GOAL = 0.25
ROUNDS = 9

_SLS = """\
{folder}/{sls}:
  file.directory: []

{folder}/{sls}/settings:
  file.managed:
    - contents: {sls}
    - require:
      - file: {folder}/{sls}

{sls}-done:
  test.nop: []
"""


def measure(say: Callable[[str], None]) -> Figure:
    with machine() as made:
        return _measure(made, say)


def _measure(made: WarmMachine, say: Callable[[str], None]) -> Figure:
    from corpus.project import workflow

    made.init("trivial")
    (made.folder / "made").mkdir()
    sls = {name: _SLS.format(folder=made.folder / "made", sls=name) for name in workflow.SLS}
    made.store(made.work_tree("trivial", {f".salt/{name}.sls": text for name, text in sls.items()}))
    WorkTree(made, "plain", made.folder / "srv/salt/plain").write({f"{name}.sls": text for name, text in sls.items()})

    # A second deployment archives the first: from here on each runs every stage of its mode.
    made.ok("mc_project.deploy_project", "trivial")
    report = made.ok("mc_project.deploy_project", "trivial")
    ran = {"deploy": True, **{stage: told["result"] for stage, told in report["stages"].items() if told["states"]}}
    names = [workflow.ALL[stage].sls if stage in workflow.ALL else stage for stage in ran]
    say(f"{len(names)} sls of 3 states each: {', '.join(names)}")

    stages: list[float] = []

    def deploy() -> float:
        answer = {}
        took = seconds(lambda: answer.update(made.ok("mc_project.deploy_project", "trivial")))
        stages.append(sum(told["seconds"] for told in answer["stages"].values()))
        return took

    def state_sls() -> float:
        return seconds(lambda: [_run(made, name) for name in names])

    deployments, plain = in_turns(ROUNDS, deploy, state_sls, say)
    return Figure(
        "stages of a deployment, to the same sls by state.sls",
        median(deployments) / median(plain),
        GOAL,
        {
            "deployment_s": median(deployments),
            "stages_s": median(stages[1:]),
            "state_sls_s": median(plain),
            "sls": len(names),
            "by_round": by_round(deployments, plain),
        },
    )


def _run(made: WarmMachine, name: str) -> None:
    states = made.ok("state.sls", f"plain.{name}")
    if len(states) != 3 or not all(state["result"] for state in states.values()):
        raise RuntimeError(f"state.sls plain.{name}: {states}")
