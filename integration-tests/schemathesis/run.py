"""Starts a whole mesh with data of its own and lets schemathesis ask it everything that its document has, for some minutes.

Use: run.py KINORA MINUTES. KINORA is the program."""

import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent


def main(kinora, minutes):
    with tempfile.TemporaryDirectory(prefix="kinora-check-api-") as folder:
        folder = pathlib.Path(folder)
        mesh = start(kinora, folder)
        try:
            url = wait_until_ready(mesh, folder)
            caller = sign_in(url, folder)
            status = check(url, caller, minutes)
        finally:
            mesh.send_signal(signal.SIGINT)
            mesh.wait()
    sys.exit(status)


def start(kinora, folder):
    arguments = ["up", "--data-dir", folder / "data", "--models", REPOSITORY / "models"]
    arguments += ["--listen", "127.0.0.1:0", "--log", "warn"]
    return subprocess.Popen([kinora, *arguments], stdout=subprocess.PIPE, stderr=open(folder / "log", "w"), text=True)


def wait_until_ready(mesh, folder):
    for line in mesh.stdout:
        if line.strip().startswith("address"):
            return line.split()[1]
    sys.exit("the mesh did not start:\n" + (folder / "log").read_text())


def sign_in(url, folder):
    """The first operator, who may do everything once the first password is changed."""
    operator = json.loads((folder / "data" / "operator.json").read_text())
    email, first = operator["operator_email"], operator["operator_password"]
    password = secrets.token_hex(16)

    def ask(path, body=None, token=None):
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url + path, data, headers)) as answer:
            return json.load(answer)

    def sign_in_with(password):
        return ask("/v1/auth:signIn", {"email": email, "password": password})["tokens"]

    change = {"current_password": first, "new_password": password}
    ask("/v1/me:changePassword", change, sign_in_with(first)["access_token"])
    tokens = sign_in_with(password)
    return {
        "KINORA_CALLER": ask("/v1/me", token=tokens["access_token"])["user"]["id"],
        "KINORA_SESSION": tokens["session_id"],
        "KINORA_REFRESH_TOKEN": tokens["refresh_token"],
    }


def check(url, caller, minutes):
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml", "run"]
    command += [f"{url}/openapi.json", "--max-time", str(minutes * 60)]
    return subprocess.run(command, env=os.environ | caller, cwd=HERE).returncode


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
