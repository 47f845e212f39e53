"""Flower as real processes on loop-back: TLS, authenticated SuperNodes, an app with faults in it.

Nothing here waits a fixed time: every wait is for a condition, with a bound after which the test
fails with the end of every log.
"""

import contextlib
import datetime
import ipaddress
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# What a site does wrong, by its name: the round, the protocol's step, the fault.
FAULTS = '''
"""Faults of single sites, for a test: a reply of garbage, one that comes late, none."""

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array
from flwr.clientapp import ClientApp


class Faulty(ClientApp):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def __call__(self, message, context):
        rules = json.loads(Path(context.node_config["faults"]).read_text())
        rule = rules.get(context.node_config["site"])
        steps = {key.partition(":")[0]: key for key in message.content["veil"]["steps"]}
        if rule is None or rule["round"] != message.metadata.group_id or rule["step"] not in steps:
            return self.inner(message, context)
        marker = Path(rule["marker"])
        if rule["kind"] == "garbage":
            reply = self.inner(message, context)
            junk = np.frombuffer(bytes(range(256)) * 4, np.uint8)
            reply.content["veil.parts"][steps[rule["step"]]] = Array(junk)
            marker.touch()
            return reply
        marker.touch()
        wait_for = Path(rule["until"])
        while not wait_for.exists():
            time.sleep(0.1)
        return self.inner(message, context)
'''


def free_ports(count):
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def program(name):
    """A program of Flower, beside this interpreter or on the path."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


class Deployment:
    """A SuperLink and SuperNodes, each a process group of its own.

    Parameters
    ----------
    app : Path
        The app's folder, as `veil flower new` made it.
    work : Path
        Everything else goes here.
    data : Path
        The folder of the data sets.
    """

    def __init__(self, app, work, data):
        self.app, self.work = app, work
        self.sites = sorted(p.stem for p in (app / "local").glob("*.key"))
        self.port, *self.node_ports = free_ports(1 + len(self.sites))
        self.environment = {
            **os.environ,
            "FLWR_HOME": str(work / "flower"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.3",
            "VEIL_DATA_DIR": str(data),
            "VEIL_NUM_THREADS": "1",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONUNBUFFERED": "1",
        }
        self.processes = {}
        self.ca, self.certificate, self.key = certificates(work)
        self.rules = work / "faults.json"
        self.rules.write_text("{}")
        home = work / "flower"
        home.mkdir()
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{self.port}"\n'
            f'root-certificates = "{self.ca}"\n'
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in list(self.processes):
            self.kill(name)

    def break_sites(self, rules):
        """Put faults into the app's sites; see FAULTS."""
        package = self.app / "veil_app"
        (package / "faults.py").write_text(FAULTS)
        client = package / "client_app.py"
        client.write_text(
            client.read_text() + "\nfrom veil_app import faults\n\napp = faults.Faulty(app)\n"
        )
        self.rules.write_text(json.dumps(rules))

    def start_superlink(self):
        """Start the server; its state is in a file, so that it may be killed and come back."""
        self.start(
            "superlink", "flower-superlink", "--port", str(self.port),
            "--database", str(self.work / "state.db"), "--enable-supernode-auth",
            "--ssl-ca-certfile", str(self.ca), "--ssl-certfile", str(self.certificate),
            "--ssl-keyfile", str(self.key), "--disable-runtime-dependency-installation",
        )  # fmt: skip
        self.wait("the server answers", self.is_healthy, 60)

    def is_healthy(self):
        context = ssl.create_default_context(cafile=str(self.ca))
        try:
            url = f"https://127.0.0.1:{self.port}/health"
            return urllib.request.urlopen(url, timeout=2, context=context).status == 200
        except OSError:
            return False

    def register_and_start(self, site):
        """Register a site's transport key at the server, and start its SuperNode."""
        secret, public = authentication_key(self.work, site)
        done = self.flwr("supernode", "register", str(public), "here")
        assert done.returncode == 0, done.stdout + done.stderr
        self.start_supernode(site, secret)

    def start_supernode(self, site, secret):
        config = {
            "site": site,
            "identity": str(self.app / "local" / f"{site}.key"),
            "roster": str(self.app / "veil_app" / "roster.json"),
            "faults": str(self.rules),
        }
        self.start(
            site, "flower-supernode", "--superlink", f"127.0.0.1:{self.port}",
            "--root-certificates", str(self.ca), "--auth-supernode-private-key", str(secret),
            "--port", str(self.node_ports[self.sites.index(site)]),
            "--node-config", " ".join(f'{k}="{v}"' for k, v in config.items()),
        )  # fmt: skip

    def start_run(self, name, **settings):
        """Start `flwr run`, which follows the run's log until it ends."""
        values = " ".join(
            f'{k}="{v}"' if isinstance(v, str | Path) else f"{k}={v}" for k, v in settings.items()
        )
        self.start(name, "flwr", "run", str(self.app), "here", "--stream", "--run-config", values)

    def start(self, name, command, *arguments):
        with open(self.work / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [program(command), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.work,
                start_new_session=True,
            )

    def flwr(self, *arguments):
        return subprocess.run(
            [program("flwr"), *arguments],
            env=self.environment,
            cwd=self.work,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def kill(self, name):
        """End a process and its children at once, as a power cut would."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def finish(self, name, seconds):
        """Wait until a process has ended by itself."""
        self.wait(f"{name} ends", lambda: self.processes[name].poll() is not None, seconds)
        self.kill(name)

    def log(self, name):
        path = self.work / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait(self, what, condition, seconds):
        """Wait for a condition; when the bound is passed, fail with the logs' ends."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                logs = {p.name: p.read_text(errors="replace") for p in self.work.glob("*.log")}
                ends = "\n".join(f"== {n}\n{text[-3000:]}" for n, text in sorted(logs.items()))
                raise AssertionError(f"after {seconds} s, still waiting until {what}\n{ends}")
            time.sleep(0.1)


def certificates(folder):
    """A certificate authority, and a certificate of 127.0.0.1 that it signed."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip

    def signed(subject, public, *, authority):
        alternative = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
                critical=False,
            )
        )
        if authority:
            builder = builder.add_extension(usage, critical=True)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternative), False)
        return builder.sign(ca_key, hashes.SHA256())

    ca = folder / "ca.pem"
    ca.write_bytes(pem(signed(ca_name, ca_key.public_key(), authority=True)))
    certificate, secret = folder / "server.pem", folder / "server.key"
    certificate.write_bytes(pem(signed(name, key.public_key(), authority=False)))
    secret.write_bytes(private_pem(key))
    return ca, certificate, secret


def authentication_key(folder, site):
    """The elliptic-curve key by which Flower knows a SuperNode, and its public part."""
    key = ec.generate_private_key(ec.SECP384R1())
    secret, public = folder / f"{site}-transport", folder / f"{site}-transport.pub"
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
    )
    return secret, public


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
