"""Dockerfile, manifests and units are valid and safe, and what they start is ours."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from sqlalchemy import make_url

from changeover.cli.gateway import node_name
from changeover.cli.main import cli
from changeover.errors import EXIT_FAILED, Refused, Replaced, Unreachable
from changeover.node import service as node
from changeover.plan import units
from changeover.plan.load import load_plan
from changeover.site import rights
from tests.docs.test_docs import ROOT

KUBERNETES, SYSTEMD = ROOT / "examples" / "kubernetes", ROOT / "examples" / "systemd"
KUSTOMIZATION = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
UNITS = sorted(SYSTEMD.glob("*.service"))
OLDEST = "1.29"
"""The oldest Kubernetes that docs/deploying.md names."""
ENVOY_END_SECONDS = 10
FINISH_SECONDS = (
    node.FINISH_SECONDS + node.END_SECONDS + 2 * node.SAY_SECONDS + ENVOY_END_SECONDS)
"""The longest end of a node after its drain."""


def manifests(*names: str) -> list[dict[str, Any]]:
    """Return what the files of examples/kubernetes describe; by default all."""
    files = [KUBERNETES / name for name in names] or sorted(KUBERNETES.glob("*.yaml"))
    found = [each for path in files if path.name not in ("kustomization.yaml", "shop.yaml")
             for each in yaml.safe_load_all(path.read_text())]
    assert found
    return found


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the pods that are described, with their names."""
    for each in manifests():
        template = each.get("spec", {}).get("template")
        if template is not None:
            name = each["metadata"].get("name") or each["metadata"]["generateName"]
            yield f"{each['kind']} {name}", template["spec"]


PODS = dict(pods())


def started() -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Yield every command that is started, with where it stands and variables that it is given."""
    for name, pod in PODS.items():
        for container in pod["containers"]:
            words = [word.replace("$(POD_NAME)", "edge-0") for word in container["args"]]
            yield name, words, {}
    for unit in UNITS:
        line = re.search(r"^ExecStart=(.*)$", unit.read_text(), re.M)
        assert line is not None
        given = environment(unit)
        words = [given[word[2:-1]] if word.startswith("${") else word
                 for word in shlex.split(line[1])]
        yield unit.name, [words[0].removeprefix("/opt/changeover/bin/"), *words[1:]], given


def environment(unit: Path) -> dict[str, str]:
    """Return the variables of a unit's example file."""
    name = unit.stem.removeprefix("changeover-")
    assert f"EnvironmentFile=/etc/changeover/{name}.env\n" in unit.read_text()
    lines = (SYSTEMD / f"{name}.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


COMMANDS = {name: (words, given) for name, words, given in started()}


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_manifest_is_what_kubernetes_takes(version: str) -> None:
    """Kubernetes' own schemas know each field, in the oldest version and in the newest."""
    for each in manifests():
        kubernetes_validate.validate(each, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_noticed() -> None:
    """The schemas are strict: a typing error in a manifest fails the test above."""
    wrong = manifests("gateway.yaml")[0]
    wrong["spec"]["template"]["spec"]["terminationGraceSeconds"] = 120
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_renders_what_the_files_say() -> None:
    """`kubectl apply -k` has something to send, with the image and the plan put in."""
    done = subprocess.run(["kubectl", "kustomize", str(KUBERNETES)], capture_output=True,
                          text=True, check=True)
    rendered = list(yaml.safe_load_all(done.stdout))
    assert len(rendered) == len(manifests(*KUSTOMIZATION["resources"])) + 1
    assert "image: changeover\n" not in done.stdout
    plan = next(each for each in rendered if each["metadata"]["name"] == "plan")
    assert yaml.safe_load(plan["data"]["shop.yaml"])["migration"] == "shop"
    for each in rendered:
        kubernetes_validate.validate(each, OLDEST, strict=True)


@pytest.mark.parametrize("name", sorted(PODS))
def test_no_pod_has_rights_that_it_does_not_need(name: str) -> None:
    """Not root, nothing to write but its volumes, no rights on its machine or on Kubernetes."""
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    context = pod["securityContext"]
    assert context["runAsNonRoot"] and context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in DOCKERFILE
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                       "capabilities": {"drop": ["ALL"]}}
        mounted = {each["mountPath"] for each in container["volumeMounts"]}
        assert {"/tmp", "/var/lib/changeover"} <= mounted  # noqa: S108  where the image writes
        # one that is out of memory ends alone; a limit of CPU would make users wait
        assert "memory" in container["resources"]["limits"]
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()


def test_no_secret_is_in_the_repository() -> None:
    """Secrets are named, never given: what stands in the examples must be replaced."""
    assert all(each["kind"] != "Secret" for each in manifests(*KUSTOMIZATION["resources"]))
    given = [value for each in manifests("secrets.example.yaml")
             for value in each["stringData"].values()]
    given += [value for unit in UNITS for name, value in environment(unit).items()
              if name in ("CHANGEOVER_STORE_URL", "PREFECT_API_AUTH_STRING")]
    assert given and all("REPLACE_ME" in value for value in given)
    known = {(each["metadata"]["name"], key) for each in manifests("secrets.example.yaml")
             for key in each["stringData"]}
    for pod in PODS.values():
        for variable in (each for one in pod["containers"] for each in one["env"]):
            assert "value" not in variable or "REPLACE_ME" not in variable["value"]
            if "secretKeyRef" in variable.get("valueFrom", {}):
                wanted = variable["valueFrom"]["secretKeyRef"]
                assert (wanted["name"], wanted["key"]) in known
    mounted = {source["secret"]["name"] for pod in PODS.values() for each in pod["volumes"]
               for source in each.get("projected", {}).get("sources", ())}
    assert mounted and mounted <= {name for name, _ in known}


def test_each_part_has_a_role_of_its_own() -> None:
    """Only the job that makes the tables is their owner; `store grants` knows the others' roles."""
    urls = {each["metadata"]["name"]: each["stringData"].get("url", "")
            for each in manifests("secrets.example.yaml")}
    found = {}
    for name, pod in PODS.items():
        for variable in pod["containers"][0]["env"]:
            if variable["name"] == "CHANGEOVER_STORE_URL":
                url = urls[variable["valueFrom"]["secretKeyRef"]["name"]]
                found[name] = make_url(url).username
    assert found == {
        "StatefulSet edge": "changeover_node", "StatefulSet judge": "changeover_observer",
        "StatefulSet desk": "changeover_console", "Deployment worker": "changeover_worker",
        "Job deploy-plan-": "changeover"}
    roles = {f"changeover_{role}" for role in rights.ROLES}
    assert set(found.values()) - {"changeover"} <= roles
    for unit in UNITS:
        assert make_url(environment(unit)["CHANGEOVER_STORE_URL"]).username in roles


def test_glass_can_be_broken_at_a_node_that_is_not_ready() -> None:
    """It has a name all the same, at which it shows a certificate; users have ready nodes only."""
    services = {each["metadata"]["name"]: each["spec"] for each in manifests("gateway.yaml")
                if each["kind"] == "Service"}
    assert services["edge"]["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in services["gateway"]
    assert [port["name"] for port in services["edge"]["ports"]] == ["break-glass"]
    container = PODS["StatefulSet edge"]["containers"][0]
    said = dict(word.split("=", 1) for word in container["args"] if "=" in word)
    assert said["--advertise"] == "https://$(POD_NAME).edge.changeover.svc:8102"
    assert "DNS:*.edge.changeover.svc'" in (ROOT / "docs" / "deploying.md").read_text()
    known = {each["metadata"]["name"]: each["stringData"].keys()
             for each in manifests("secrets.example.yaml")}
    files = {f"/etc/break-glass/{key}" for name in ("break-glass", "break-glass-tls")
             for key in known[name]}
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert {said["--tls-certificate"], said["--tls-key"],
            given["CHANGEOVER_BREAK_GLASS_TOKEN_FILE"]} == files


def test_whoever_rolls_back_may_page_people() -> None:
    """Observers, workers and consoles reach the outside: each may have to tell somebody."""
    policy = next(each["spec"] for each in manifests("network.yaml")
                  if each["metadata"]["name"] == "outside")
    senders = policy["podSelector"]["matchExpressions"][0]["values"]
    assert {"observer", "worker", "console"} <= set(senders)
    assert policy["egress"][0]["to"][0]["ipBlock"]["cidr"] == "0.0.0.0/0"
    assert {"port": 443} in policy["egress"][0]["ports"]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_can_be_typed(name: str) -> None:
    """What a container or a unit starts is a command of ours with options that it takes."""
    (program, *words), given = COMMANDS[name]
    if program == "changeover":
        command = cli.get_command(click.Context(cli), words[0])
        assert command is not None, words
        asked = command.make_context(words[0], words[1:]).params
        assert asked.get("migration") in (None, "shop")
        assert asked.get("name") is None or node_name(asked["name"])
    elif program == "python":
        assert words[0] == "-m" and find_spec(words[1]) is not None
        options = subprocess.run([sys.executable, "-m", words[1], "--help"], capture_output=True,
                                 text=True, check=True, env={**os.environ, **given}).stdout
        assert all(word.split("=")[0] in options for word in words if word.startswith("--"))
    else:
        assert program == "prefect"


def test_nodes_have_time_to_end() -> None:
    """Neither Kubernetes nor systemd kills a node that drains and waits for the last answers."""
    pod = PODS["StatefulSet edge"]
    drain = next(word for word in pod["containers"][0]["args"] if word.startswith("--drain="))
    seconds = units.parse_duration(drain.removeprefix("--drain=")).total_seconds()
    assert pod["terminationGracePeriodSeconds"] > seconds + FINISH_SECONDS
    unit = (SYSTEMD / "changeover-gateway.service").read_text()
    found = re.search(r"--drain (\S+)$.*^TimeoutStopSec=(\d+)$", unit, re.M | re.S)
    assert found is not None
    assert int(found[2]) > units.parse_duration(found[1]).total_seconds() + FINISH_SECONDS
    # killed, it leaves Envoy; with any other mode systemd would end Envoy, too
    assert "\nKillMode=process\n" in unit


def test_a_node_that_a_copy_of_its_home_replaced_is_not_started_again() -> None:
    """Two machines that always start it would end each other for ever."""
    unit = (SYSTEMD / "changeover-gateway.service").read_text()
    assert f"\nRestartPreventExitStatus={Replaced.exit_code}\n" in unit
    assert Replaced.exit_code not in {EXIT_FAILED, Refused.exit_code, Unreachable.exit_code}


def test_the_plan_of_the_example_is_one() -> None:
    """The plan beside the manifests loads, and is of the migration that they name."""
    assert KUSTOMIZATION["configMapGenerator"][0]["files"] == ["shop.yaml"]
    assert load_plan(KUBERNETES / "shop.yaml").migration == "shop"


def test_the_dockerfile_is_as_hadolint_wants_it() -> None:
    """No rule of the usual linter is broken without a word why."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout
    ignored = re.findall(r"hadolint ignore=", DOCKERFILE)
    assert len(ignored) == len(re.findall(r"^# .*\n(# .*\n)*# hadolint ignore=", DOCKERFILE, re.M))


def test_the_image_has_all_packages_and_nothing_else() -> None:
    """What is copied is there and let through; whatever else lies beside the code stays out."""
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M)
              for name in line.split()[:-1]]
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = [line[1:] for line in ignore if line.startswith("!")]
    assert "*" in ignore and sorted(copied) == sorted(let_through)
    assert all((ROOT / name).exists() for name in copied)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "tests"}
    assert packages <= set(copied)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_knows_every_line_of_a_unit(unit: Path, tmp_path: Path) -> None:
    """systemd has nothing to say of the unit, once its program is there."""
    text = re.sub(r"^(ExecStart=)\S+", rf"\g<1>{shutil.which('true')}", unit.read_text(),
                  flags=re.M)
    (tmp_path / unit.name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / unit.name],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
