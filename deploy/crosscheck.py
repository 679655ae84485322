"""Checks what no schema can: that the rendered manifests fit each other and the configuration.

Usage: crosscheck.py WEIR < rendered.yaml      WEIR is the `weir` binary.

Prints every mistake and fails if there is one.
"""

import os
import re
import subprocess
import sys
import tempfile

import yaml

mistakes = []


def expect(truth, text):
    if not truth:
        mistakes.append(text)


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", duration).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def matches(selector, labels):
    wanted = (selector or {}).get("matchLabels", selector) or {}
    return bool(wanted) and wanted.items() <= labels.items()


def check_selectors(objects, pod):
    """Everything that selects pods must select these, and by something."""
    labels = pod["metadata"]["labels"]
    for thing in objects:
        kind, name, spec = thing["kind"], thing["metadata"]["name"], thing.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector"))
        if kind in ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"):
            expect(matches(selector, labels), f"{kind} {name} does not select Weir's pods")
    for spread in pod["spec"]["topologySpreadConstraints"]:
        expect(matches(spread["labelSelector"], labels), "a spread constraint counts other pods")


def check_ports(objects, container, config):
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    meant = {"sql": config["listen"], "admin": config["admin"]["listen"]}
    for name, address in meant.items():
        host, port = address.rsplit(":", 1)
        expect(int(port) == ports.get(name), f"config.yaml and the container differ on port {name}")
        expect(host == "0.0.0.0", f"{name} listens on {host}: no other pod can reach it")
    for service in (thing for thing in objects if thing["kind"] == "Service"):
        for port in service["spec"]["ports"]:
            name = service["metadata"]["name"]
            expect(port["targetPort"] in ports, f"Service {name} leads to no port of the container")
            expect(port["port"] == ports.get(port["targetPort"]), f"Service {name} renumbers a port")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        expect(container[probe]["httpGet"]["port"] == "admin", f"{probe} does not ask the admin API")


def check_shutdown(pod, container, config):
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = seconds(config["pool"]["shutdown_timeout"])
    expect(pause + drain < grace, f"killed after {grace} s, yet preStop {pause} + drain {drain} s")


def check_configuration(weir, text, secrets):
    """`weir check` must accept config.yaml with the variables that the Secret sets."""
    named = set(re.findall(r"(?<!\$)\$\{(\w+)\}", "\n".join(plain_lines(text))))
    if secrets:
        keys = {key for secret in secrets for key in (secret.get("stringData") or secret.get("data"))}
        expect(named == keys, f"config.yaml and the Secret differ on {sorted(named ^ keys)}")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        env = {"PATH": os.environ["PATH"]} | dict.fromkeys(named, "dummy-value-of-a-secret")
        run = subprocess.run([weir, "check", "-c", file.name], env=env, capture_output=True, text=True)
        expect(run.returncode == 0, f"weir check: {run.stdout}{run.stderr}")


def plain_lines(text):
    return (line for line in text.splitlines() if not line.lstrip().startswith("#"))


def main():
    objects = [thing for thing in yaml.safe_load_all(sys.stdin) if thing]
    of = lambda kind: [thing for thing in objects if thing["kind"] == kind]
    (deployment,) = of("Deployment")
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    (config_map,) = of("ConfigMap")
    text = config_map["data"]["config.yaml"]
    config = yaml.safe_load(text)

    mounted = [volume["configMap"]["name"] for volume in pod["spec"]["volumes"]]
    expect(config_map["metadata"]["name"] in mounted, "the ConfigMap is not mounted")
    check_selectors(objects, pod)
    check_ports(objects, container, config)
    check_shutdown(pod, container, config)
    check_configuration(sys.argv[1], text, of("Secret"))

    for mistake in mistakes:
        print(f"crosscheck: {mistake}", file=sys.stderr)
    sys.exit(1 if mistakes else 0)


main()
