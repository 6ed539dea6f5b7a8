"""A training step's forward and backward pass as one CUDA graph.

A step of these nets is hundreds of kernels, each so short that a GPU does it sooner than Python asks for the next. A
graph is recorded once, and its replay asks for all of them at once, on new numbers in the same memory. What Python
decides on the way is part of the recording: when one of these things changes (the phase, the size of the batch), it is
made anew."""

import gc

import torch

from sim.base.errors import UserError

# passes before a recording, as torch asks for: kernels are compiled and libraries set up, which a recording must not
# contain
WARM_UP = 3


class Recorded:
    """`passes(model, x, y, exact)` by replay; x is the tuple of tensors that `train.data.to_device` gives.

    Args:
        model: a `SmolMamba` on a GPU, in training mode whenever this is called, and of no earlier pass of which a
            tensor with a gradient's history is still held.
        passes: forward and backward; leaves gradients in the parameters and returns tensors.
    """

    def __init__(self, model, passes):
        self.model, self.passes, self.key = model, passes, None

    def __call__(self, x, y, exact):
        """Leaves in the model's parameters, `activity` and `rate`s what `passes` leaves there, until the next call.
        Returns what it returns.

        Raises:
            UserError: CUDA refuses to record the passes.
        """
        key = exact, x[0].shape, self.model.folded
        if key != self.key:
            self._record(x, y, exact)
            self.key = key
        for own, given in zip(self.x, x):
            own.copy_(given)
        self.y.copy_(y)
        assert self.graph is not None  # it was recorded for this key
        self.graph.replay()
        for parameter, grad in self.grads:
            parameter.grad = grad
        self.model.activity = dict(self.activity)
        for layer, rate in self.rates:
            layer.rate = rate
        return self.out

    def _record(self, x, y, exact):
        model, self.graph = self.model, None
        self.x, self.y = tuple(t.clone() for t in x), y.clone()
        # what is left of a pass on another stream would draw that stream into the recording, which CUDA refuses
        gc.collect()
        before = [
            buffer.clone() for buffer in model.buffers()
        ]  # the norms' statistics, which the warm-up must not count in
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self._passes(exact)
        torch.cuda.current_stream().wait_stream(side)
        model.activity, graph = {}, torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # threads that load data may go on
                self.out = self._passes(exact)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise UserError(
                f"a step could not be recorded as a CUDA graph ({str(error).splitlines()[0][:200]}); go on with"
                " --no-graph, which is slower"
            ) from error
        for buffer, was in zip(model.buffers(), before):
            buffer.copy_(was)
        self.graph = graph
        self.grads = [(p, p.grad) for p in model.parameters() if p.grad is not None]
        self.activity = dict(model.activity)
        self.rates = [(layer, layer.rate) for layer in model.layers()]

    def _passes(self, exact):
        self.model.zero_grad(set_to_none=True)
        return self.passes(self.model, self.x, self.y, exact)
