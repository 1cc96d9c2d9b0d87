"""A model server as small as one can be: loads a model, then answers /health and /predict?x=NUMBER.

Environment: MODEL=linear asks for a model that needs no PyTorch; WEIGHTS names a directory of float16 files, which are read
whole before the first answer, as servers of large models do.

An answer tells which process gave it (a UUID drawn at initialisation) and how often that process initialised itself, so that
one sees whether a container was restored or started again.
"""

import json
import math
import os
import random
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlparse

INITIALISED = 0
INSTANCE = None
MODEL = None


def softmax(values):
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


def linear_model():
    numbers = random.Random(20)
    slopes = [numbers.gauss(0, 1) for _ in range(16)]
    return lambda x: softmax([slope * x for slope in slopes])


def torch_model():
    import numpy
    import torch

    torch.manual_seed(20)
    torch.set_grad_enabled(False)
    model = torch.nn.Sequential(
        torch.nn.Linear(256, 2048),
        torch.nn.GELU(),
        torch.nn.Linear(2048, 2048),
        torch.nn.GELU(),
        torch.nn.Linear(2048, 16),
        torch.nn.Softmax(dim=-1),
    ).eval()
    if "WEIGHTS" in os.environ:
        with os.scandir(os.environ["WEIGHTS"]) as entries:
            files = sorted(entry.path for entry in entries)
        weights = [numpy.fromfile(file, dtype=numpy.float16) for file in files]
        model[4].bias.copy_(torch.from_numpy(sum(w[-16:].astype(numpy.float32) for w in weights)))
        model.weights = weights
    model(torch.from_numpy(numpy.zeros(256, dtype=numpy.float32)))
    return lambda x: model(torch.full((256,), x)).tolist()


def initialise():
    global INITIALISED, INSTANCE, MODEL
    MODEL = linear_model() if os.environ.get("MODEL") == "linear" else torch_model()
    INSTANCE = str(uuid.uuid4())
    INITIALISED += 1


def predict(x):
    return [round(p, 6) for p in MODEL(x)]


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
