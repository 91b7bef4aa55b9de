"""MLServer with an inference worker per core and adaptive batching; bytes travel as its protocol's base64."""

from __future__ import annotations

import argparse
import asyncio

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import Base64Codec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from benchmarks.serving.peers.reading import MAX_BATCH, answers, load_tensorflow, options, reader_of

MODEL = "nodule-classifier"


class SliceModel(MLModel):
    """Slices as the elements of one BYTES tensor."""

    async def load(self) -> bool:
        """Load the model in each worker."""
        assert self.settings.parameters is not None
        assert self.settings.parameters.extra is not None
        self._reader = reader_of(argparse.Namespace(**self.settings.parameters.extra))
        self._backend = load_tensorflow(1)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One row of each output for each slice of the batch."""
        files = Base64Codec.decode_input(payload.inputs[0])
        found = answers(self._backend, [self._reader.patch(data) for data in files])
        outputs = [
            ResponseOutput(name=name, shape=[len(found), 1], datatype="FP32", data=[answer[name] for answer in found])
            for name in ("malignancy", "nodule")
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)


async def serve() -> None:
    """Serve the V2 protocol at /v2/models/nodule-classifier/infer."""
    given = options()
    settings = Settings(
        host="127.0.0.1",
        http_port=given.port,
        grpc_port=given.port + 1,
        metrics_port=given.port + 2,
        parallel_workers=given.cores,
        debug=False,
        use_structured_logging=False,
    )
    model = ModelSettings(
        name=MODEL,
        implementation=SliceModel,
        max_batch_size=MAX_BATCH,
        max_batch_time=0.001,
        parameters=ModelParameters(extra=vars(given)),
    )
    server = MLServer(settings)
    await server.start(models_settings=[model])


if __name__ == "__main__":
    asyncio.run(serve())
