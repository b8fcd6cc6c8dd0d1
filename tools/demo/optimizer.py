"""Muon for the matrices of the layers, AdamW for everything else."""

import torch


def orthogonalize(stack, steps=5):
    """Newton-Schulz iteration: brings a stack of matrices near to their orthogonal factors."""
    a, b, c = 3.4445, -4.7750, 2.0315
    flip = stack.shape[-2] > stack.shape[-1]
    x = stack.mT if flip else stack
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.float()
    return x.mT if flip else x


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates (Nesterov form, decoupled weight decay)."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for param in group["params"]:
                by_shape.setdefault(tuple(param.shape), []).append(param)
            for shape, params in by_shape.items():
                updates = []
                for param in params:
                    buffer = self.state[param].setdefault("momentum", torch.zeros_like(param))
                    buffer.lerp_(param.grad, 1 - group["momentum"])
                    updates.append(param.grad.lerp(buffer, group["momentum"]))
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for param, update in zip(params, orthogonalize(torch.stack(updates))):
                    param.mul_(1 - group["lr"] * group["weight_decay"])
                    param.add_(update, alpha=-group["lr"] * scale)


def build(model, matrix_rate, other_rate):
    """Returns [Muon, AdamW] over the model's parameters."""
    matrices, tables, vectors = [], [], []
    for name, param in model.named_parameters():
        if param.ndim < 2:
            vectors.append(param)
        elif "embed_tokens" in name:
            tables.append(param)
        else:
            matrices.append(param)
    muon = Muon(matrices, lr=matrix_rate, weight_decay=0.1)
    adam = torch.optim.AdamW(
        [{"params": tables, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=other_rate,
        betas=(0.9, 0.98),
        eps=1e-10,
    )
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return [muon, adam]
