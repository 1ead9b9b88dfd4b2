"""Checks manifests against the schemas of an API server: VERSION FILE FOLDER.

Prints each kind and name. Writes the configuration of the agent to FOLDER/tracer.toml, and what no API server has by
itself to FOLDER/others.json.
"""

import json
import pathlib
import sys

import kubernetes_validate
import yaml

version, file, folder = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
others = []
for item in yaml.safe_load_all(file.read_text()):
    if item["apiVersion"].startswith("monitoring.coreos.com/"):
        others.append(item)
    else:
        kubernetes_validate.validate(item, version, strict=True)
    if item["kind"] == "ConfigMap":
        (folder / "tracer.toml").write_text(item["data"]["tracer.toml"])
    print(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])
(folder / "others.json").write_text(json.dumps(others))
