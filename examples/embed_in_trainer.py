"""Veil in someone else's PyTorch loop: average three sites' models, same bits in any order."""

import torch

import veil

sites = [torch.utils.data.TensorDataset(torch.randn(n, 4), torch.randn(n, 1)) for n in (40, 60, 80)]
model = torch.nn.Linear(4, 1)
layout = veil.fl.Layout.of(model.state_dict())
for _ in range(3):
    start, updates = layout.flatten(model.state_dict()), []
    for data in sites:
        model.load_state_dict(layout.unflatten(start.clone()))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for x, y in torch.utils.data.DataLoader(data, batch_size=20):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
        updates.append(layout.flatten(model.state_dict()))
    mean = veil.fl.weighted_mean(updates, [len(data) for data in sites])
    model.load_state_dict(layout.unflatten(mean))
print(layout.digest(model.state_dict()).hex())
