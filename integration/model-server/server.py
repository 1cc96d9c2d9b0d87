"""A model server as small as one can be: loads a model, then answers /health and /predict?x=NUMBER.

An answer tells which process gave it (a UUID drawn at initialisation) and how often that process initialised itself, so that
one sees whether a container was restored or started again.
"""

import json
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlparse

INITIALISED = 0
INSTANCE = None
MODEL = None


def initialise():
    global INITIALISED, INSTANCE, MODEL
    import numpy
    import torch

    torch.manual_seed(20)
    torch.set_grad_enabled(False)
    MODEL = torch.nn.Sequential(
        torch.nn.Linear(256, 2048),
        torch.nn.GELU(),
        torch.nn.Linear(2048, 2048),
        torch.nn.GELU(),
        torch.nn.Linear(2048, 16),
        torch.nn.Softmax(dim=-1),
    ).eval()
    MODEL(torch.from_numpy(numpy.zeros(256, dtype=numpy.float32)))
    INSTANCE = str(uuid.uuid4())
    INITIALISED += 1


def predict(x):
    import torch

    return [round(p, 6) for p in MODEL(torch.full((256,), x)).tolist()]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlparse(self.path)
        if url.path == "/health":
            self.answer(200, {"status": "ready"})
        elif url.path == "/predict":
            x = float(parse_qs(url.query).get("x", ["1"])[0])
            self.answer(
                200, {"prediction": predict(x), "instance": INSTANCE, "initialised": INITIALISED}
            )
        else:
            self.answer(404, {"error": "ask /health or /predict?x=NUMBER"})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args):
        pass


if __name__ == "__main__":
    started = time.monotonic()
    initialise()
    print(f"ready after {time.monotonic() - started:.2f} s", file=sys.stderr, flush=True)
    HTTPServer(("", 8000), Handler).serve_forever()
